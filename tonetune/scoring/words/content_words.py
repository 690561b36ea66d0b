"""Which words of a text carry its matter rather than its manner, and which of its numbers and names survive a rewriting."""

import re

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")

# Fixed phrases that join or weigh sentences; inside them even a noun carries no matter.
CONNECTIVES = re.compile(
    r"\b(?:in (?:general|(?:that|this|any|most|which) cases?|my (?:opinion|view|experience)|practice|particular|principle|order|short"
    r"|other words|addition|effect|fact|reality|the end|part)|for (?:example|instance|one thing|the most part)|as (?:a (?:rule|result"
    r"|matter of fact)|well|usual|far as|such)|on (?:the (?:whole|other hand|contrary)|average|balance)|to (?:some|a certain|a large) "
    r"extent|at (?:all|least|most|first|the (?:same time|end of the day|very least))|by (?:and large|contrast)|of course|in the same way"
    r"|no (?:way|doubt|matter)|the (?:thing|point|trouble|problem) is|point being|to be (?:clear|fair|honest|precise)|that said|come on"
    r"|hold on|wait|you know|turns out|let'?s face it|so to speak|long story short|the short answer|it is (?:possible|likely) that)\b"
)
INTERJECTIONS = "yes just pretty maybe perhaps plus minus instead far soon till yeah yep yup nope nah uh um uhh hmm hey wow whoops oops ugh yikes ha haha heh oh ah okay ok alas bless heaven pray please sorry boom wham bam meh phew"
CONTRACTED = "gonna gotta kinda sorta wanna cause dunno lemme ain"
LIGHT_VERBS = (
    "be do have go get give take make let keep put come want need try use seem turn look know think say mean guess suppose believe "
    "reckon feel find see tell happen start begin run ought shall dare tend wish like care bother figure bet swear suspect expect hope fear "
    "agree accept admit suggest consider regard prefer mention doubt matter help work"
)
DEGREE = (
    "super total pure single entire whole zero tops plenty lot bit tad bunch ton loads half main usual general possible likely certain "
    "sure simple clear fine good great nice bad best worst better worse real actual right wrong similar different important useful "
    "sensible reasonable difficult hard easy big small little tiny huge long short old new straight exact quick weird wild perfect proper "
    "kind sort type way thing stuff point case example opinion view result fact rule part end effect extent order reason answer"
)
PEOPLE = "people person folk somebody guy human anybody everybody man woman fellow"


def _stem(word: str) -> str:
    """The word without a plural or verb ending, roughly: enough to tell `gets` and `getting` from `goat`."""
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 2:
            stem = word[: -len(ending)]
            return stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "ls" else stem
    return word.removesuffix("e") if len(word) > 3 else word


_PAST = "was were been did done had went gone got gotten gave given took taken made kept came wanted tried used seemed knew thought said meant felt found saw seen told began begun ran"
MANNER = frozenset(
    form
    for word in " ".join((INTERJECTIONS, CONTRACTED, LIGHT_VERBS, DEGREE, PEOPLE, _PAST)).split()
    for form in (word, _stem(word))
)


def content_words(text: str) -> str:
    """Stems of the words that carry the matter, joined by spaces.

    Left out: function words, contractions, interjections, fixed connectives, light verbs, adverbs in -ly, and words
    that only grade, hedge or stand for anybody. These make up a register, whatever is being talked about.
    """
    kept = []
    for word in WORD.findall(CONNECTIVES.sub(" ", text.lower())):
        if len(word) > 2 and "'" not in word and not word.endswith("ly") and word not in ENGLISH_STOP_WORDS:
            stem = _stem(word)
            if word not in MANNER and stem not in MANNER:
                kept.append(stem)
    return " ".join(kept)


NUMERAL = re.compile(r"\d+(?:[.,]\d+)*")
NAME = re.compile(r"(?<![.!?:\u2026\"\u201c] )(?<!^)\b[A-Z][\w'-]*")
UNITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
NUMBER_WORDS = {word: str(number) for number, word in enumerate(UNITS)} | {
    word: str(10 * number)
    for number, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2)
}
NO_NUMBER = {"zero", "one"}
"""As words they mostly count nothing: "one of them", "no one"."""


def numbers(text: str) -> set[str]:
    """The text's numbers as digits without separators, also those written as a single word."""
    counted = {
        NUMBER_WORDS[word] for word in WORD.findall(text.lower()) if word in NUMBER_WORDS and word not in NO_NUMBER
    }
    return counted | {numeral.replace(",", "") for numeral in NUMERAL.findall(text)}


def names(text: str) -> set[str]:
    """Words with a capital that no sentence begins with, in lower case and without a possessive; "I" is none."""
    found = {name.lower().removesuffix("'s") for name in NAME.findall(text.replace("\u2019", "'"))}
    return found - {"i", "i'm", "i'd", "i'll", "i've"}


def survival(plain: str, rewriting: str) -> float:
    """The share of the plain text's numbers and names that are in its rewriting too; 1 where it has none."""
    here = numbers(rewriting) | set(re.findall(r"[\w-]+", rewriting.lower()))
    needed = numbers(plain) | names(plain)
    return len(needed & here) / len(needed) if needed else 1.0
