"""Words, sentences and shingles of a text, and what can be read off them without a model."""

import re
import unicodedata

SENTENCE = re.compile(r"[^.?!]+[.?!]+[\"']?|[^.?!]+$")


def sentences(text: str) -> list[str]:
    """The text's sentences, each with its closing mark."""
    return [match.group().strip() for match in SENTENCE.finditer(text) if match.group().strip()]


def shingles(text: str, size: int = 5) -> set[str]:
    """The character n-grams of the text's letters and digits, in lower case."""
    letters = " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())
    return {letters[i : i + size] for i in range(max(1, len(letters) - size + 1))}


WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]*]*$")


REFUSAL = re.compile(
    r"\bas an? (?:large |mere |humble )?(?:language model|chatbot|virtual assistant|(?:ai|artificial intelligence)"
    r"(?:,| i\b| (?:language )?model| assistant| system))"
    r"|\bi(?:'m| am) (?:just |only |merely )?an? (?:ai|artificial intelligence|(?:large )?language model)\b"
    r"|\bi(?:'m| am) (?:very |so |really )?(?:sorry|afraid),?(?: but)?(?: that)? i "
    r"(?:can't|cannot|can not|won't|am unable|am not able)"
    r"|\bi (?:can't|cannot|can not|won't|will not) "
    r"(?:assist|comply|fulfill?|provide|engage in|generate|participate|help (?:you )?with"
    r"|answer (?:that|this)|(?:speak|respond) as)\b"
    r"|\bi(?:'m| am) (?:unable|not able) to (?:assist|comply|fulfill?|provide|engage|generate|help|answer|respond|discuss)\b"
    r"|\bi (?:don't|do not) have (?:personal |any )*(?:opinions|feelings|beliefs|experiences|preferences)\b"
    r"|\b(?:my|openai's) (?:guidelines|programming|training data|knowledge cutoff|content policy)\b"
)


# Words that no English text does without, save those that look the same in its neighbours (am, as, do, no, so, was, we).
_COMMON = (
    "the a and or but if because than then that this these those though although however which who what when "
    "where why how whether of to in into from by with without about against between through during since until "
    "while under before after again out up down off around away i you it she they him them her us my your his its "
    "our their myself yourself itself is isn wasn are be been being were have has had having haven hasn does "
    "doesn did didn done don would wouldn could couldn should shouldn can might must not all any some such every "
    "each only own same just even ever never still always also too very quite rather enough more most much many "
    "both few other another first last next there here now back nothing something somebody anybody nobody "
    "everybody got get go goes going know say said see think make one two way thing things people good well yes "
    "oh okay yeah please thank welcome like really pretty maybe"
)


ENGLISH = frozenset(_COMMON.split())


def excerpt(text: str, length: int = 60) -> str:
    """The beginning of the text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[:length].rstrip() + "..."


def words(text: str) -> list[str]:
    """The text's words in lower case, with straight apostrophes."""
    return WORD.findall(_straight(text))


def english_share(text: str) -> float:
    """The share of the words that are common English ones: half of English prose, next to none of anything else."""
    found = words(text)
    return sum(word.partition("'")[0] in ENGLISH for word in found) / max(1, len(found))


def refusal(text: str) -> str | None:
    """The phrase by which the text declines or talks of being an AI, if there is one."""
    match = REFUSAL.search(_straight(text))
    return match.group() if match else None


def ends_in_sentence(text: str) -> bool:
    """Whether the text ends in . ? ! or an ellipsis, with or without closing quotes, brackets, asterisks and emoji."""
    end = len(text)
    while end and unicodedata.category(text[end - 1]) in ("So", "Sk", "Mn", "Cf", "Zs"):  # also joiners, and spaces
        end -= 1
    return SENTENCE_END.search(text[:end]) is not None


def shingle_similarity(one: str, other: str) -> float:
    """Jaccard similarity of the texts' 5-character shingles."""
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


def _straight(text: str) -> str:
    return text.lower().replace("\u2019", "'")
