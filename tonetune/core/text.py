"""Words, sentences and shingles of a text, what can be read off them, and which language it is in.

Scripts without spaces between words are counted by characters: two of Chinese or Japanese, five of Thai, Lao, Khmer or
Burmese make a word, about as many as they have.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

from tonetune.core.errors import UserError

# The marks that end a sentence in Chinese, Japanese, Arabic, Hindi; no white space needs to follow those of the first two.
WIDE_ENDS, OTHER_ENDS = "。！？", "؟।۔"
SENTENCE = re.compile(
    rf"[^.?!{WIDE_ENDS}{OTHER_ENDS}]+[.?!{WIDE_ENDS}{OTHER_ENDS}]+[\"'”’」』]?|[^.?!{WIDE_ENDS}{OTHER_ENDS}]+$"
)

ENGLISH = "en"
"""Of the exchanges, the probes, the neutral texts, and what the scores are fitted on."""
MIN_WORDS, MIN_CHARACTERS = 4, 40  # of fewer no model can tell the language: they pass, if they are ASCII
MARGIN = 5.0  # nats by which another language must fit better: a short text fits many


def sentences(text: str) -> list[str]:
    """The text's sentences, each with its closing mark."""
    return [match.group().strip() for match in SENTENCE.finditer(text) if match.group().strip()]


def first_sentences(text: str, most: int | None) -> str:
    """The text up to the end of its `most`-th sentence; all of it for None.

    A full stop within a number or before a lower-case letter ends no sentence.
    """
    if most is None:
        return text
    ends = [end.end() for end in NEXT_SENTENCE.finditer(text)]
    return text[: ends[most - 1]] if len(ends) >= most else text


def in_parts(text: str, most: int | None) -> list[str]:
    """The text in parts of up to `most` sentences each; all of it as one for None, and none of an empty text."""
    parts = []
    while text:
        parts.append(first_sentences(text, most))
        text = text[len(parts[-1]) :].lstrip()
    return parts


def shingles(text: str, size: int = 5) -> set[str]:
    """The character n-grams of the text's letters and digits, in lower case."""
    letters = " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())
    return {letters[i : i + size] for i in range(max(1, len(letters) - size + 1))}


WIDE = "\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese and Japanese
UNSPACED = rf"{WIDE}\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # and Thai, Lao, Burmese, Khmer
# A character of such a script is a piece of its own, as nothing says where its words end.
SPACED_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
WORD = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+(?:'[^\W_{UNSPACED}]+)*")
ONE_UNSPACED, ONE_WIDE = re.compile(f"[{UNSPACED}]"), re.compile(f"[{WIDE}]")


# The end of a sentence that another one follows.
NEXT_SENTENCE = re.compile(
    r"(?<!\b[A-Z])(?<!\bMr)(?<!\bMs)(?<!\bMrs)(?<!\bDr)(?<!\bSt)[.!?…؟।۔]+[\"'”’)\]*]*(?=\s+[^\sa-z.!?…])"
    r"|[。！？]+[\"'”’)\]*」』）]*(?=\s*[^\s。！？」』）”’])"
)
SENTENCE_END = re.compile(r"[.!?…。！？؟।۔][\"'”’)\]*」』）]*$")


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


# What models say before the answer itself.
LEAD_IN = re.compile(
    r"^\W*(?:(?:sure|certainly|of course|okay|absolutely)[,!.]? here(?:'s| is| are)\b[^.?!:\n]{0,80}:"
    r"|here(?:'s| is| are)\b[^.?!:\n]{0,60}\b(?:answer|version|rewrite|rewrite[nd]?|response|reply|rephras\w+|text)\b[^.?!:\n]{0,40}:"
    # A first line of its own that names the answer, or is nothing but a word of service.
    r"|(?:here you go|there you go|as requested|rewritten|below|sure|certainly|hier ist|voici)\b[^.?!:\n]{0,60}:(?=\s*\n)"
    r"|in (?:my|your|his|her|their) own (?:voice|words)[^.?!:\n]{0,20}:(?=\s*\n)"
    r"|(?:(?:certainly|sure|of course|okay|ok|absolutely)\b[,.!]? (?:so )?)?(?:below is|here(?:'s| is)|the)\b[^.?!:\n]{0,40}"
    r"\b(?:rewritten|answer|version|response|reply)\b[^.?!:\n]{0,30}:(?=\s*\n)"
    r"|(?:(?:the|my|plain|persona|rewritten|final|short) )*(?:answer|response|reply|rewrite|version)\s*:"
    # Chinese and Japanese (below is ..., here is ..., the answer), Thai (this is ..., the answer).
    r"|(?:(?:\u597d\u7684|\u5f53\u7136|\u306f\u3044|\u627f\u77e5\u3057\u307e\u3057\u305f|\u3082\u3061\u308d\u3093\u3067\u3059)\W*)?"
    r"(?:(?:\u4ee5\u4e0b|\u4e0b\u9762|\u8fd9)\u662f|(?:\u4ee5\u4e0b|\u3053\u3061\u3089)[\u304c\u306f])"
    r"[^\u3002\uff1f\uff01\n]{0,40}(?:[\uff1a:](?=\s*\n)|(?:\u56de\u7b54|\u7b54\u6848|\u56de\u590d|\u6539\u5199|\u7248\u672c"
    r"|\u7b54\u3048|\u66f8\u304d\u76f4\u3057|\u30d0\u30fc\u30b8\u30e7\u30f3)[^\u3002\n]{0,8}(?:[\uff1a:]|\u3067\u3059\u3002(?=\s*\n)))"
    r"|(?:\u56de\u7b54|\u7b54\u6848|\u56de\u590d|\u7b54\u3048)\s*[\uff1a:]"
    r"|\u0e19\u0e35\u0e48\u0e04\u0e37\u0e2d[^\n]{0,60}:(?=\s*\n)|\u0e04\u0e33\u0e15\u0e2d\u0e1a\s*:)",
    re.IGNORECASE,
)
# Control tokens of chat templates, HTML and its entities, Markdown, and UTF-8 that was read as Latin-1.
MARKUP = re.compile(
    r"<\|[^|<>]{1,40}\|>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|</?think>"
    r"|</?(?:[a-z][a-z0-9]*)(?:\s[^<>]*)?/?>|&(?:[a-z]{2,8}|#\d{1,6}|#x[0-9a-f]{1,6});"
    r"|(?:^|\n)\s*(?:#{1,6}\s|[-*\u2022]\s|\d{1,2}[.)]\s[^\n]*\n\s*\d{1,2}[.)]\s|>\s)|\*\*|__(?=\w)|`|\[[^\]\n]+\]\([^)\n]+\)"
    r"|\u00c3[\u0080-\u00bf]|\u00e2\u20ac|\u00e2[\u0080-\u009f]|\u00c2[\u00a0-\u00bf]|\u00ef\u00bb\u00bf|\ufffd",
    re.IGNORECASE,
)
# Lower-case English ones with one word before, or every "5 minutes down the road" is an address; German ones with the place.
STREET = (
    r"\b\d{1,5} (?:[A-Z]\w+ ){1,3}(?:Street|St|Avenue|Ave|Road|Rd|Lane|Boulevard|Blvd|Drive|Way)\b"
    r"|\b\d{1,4} (?!(?:the|an?|my|your|this|that|one|main|side|mile|minute|lane|way|on|in|of|by)\b)[a-z]{3,} (?:street|road|avenue)\b"
    r"|\b(?:[^\W\d_][\w-]*(?:stra(?:\u00df|ss)e|str\.)|[A-Z\u00c4\u00d6\u00dc][\w-]+ (?:Stra(?:\u00df|ss)e|Str\.|Allee|Gasse)"
    r"|(?!(?:Park|Arbeits|Sitz|Stell|Um|Heim|Rund|Hin|R\u00fcck)(?:platz|weg))[A-Z\u00c4\u00d6\u00dc][\w-]{2,}(?:weg|gasse|platz|allee|damm|ufer))"
    r" \d{1,4}(?: ?[a-z]\b)?(?:, ?\d{5} [A-Z\u00c4\u00d6\u00dc][\w-]+)?"
)
CONTACT = re.compile(
    r"[\w.+-]+@[\w-]+\.\w+|https?://\S+|\bwww\.\w+|\b[\w-]+\.(?:com|org|net|io|de|co\.uk)\b"
    r"|(?<![\w.,])(?:\+\d{1,3}[ -]?)?(?:\(\d{2,5}\)[ -]?|\d{2,5}[ -])\d{3,4}[ -]\d{3,5}(?![\w,])|(?<!\w)\+\d[\d -]{7,15}\d"
    r"|(?<![\w.,])\d{3}\.\d{3}\.\d{4}(?!\w|[.,]\d)"
    rf"|{STREET}"
)


def lead_in(text: str) -> str | None:
    """What stands before the answer itself, such as "Here is the rewritten answer:", if there is something."""
    return _first(LEAD_IN, text.replace("\u2019", "'"))


def markup(text: str) -> str | None:
    """The first piece of markup, of a chat template or of a broken encoding, if there is one."""
    return _first(MARKUP, text)


def contact(text: str) -> str | None:
    """The first mail address, link, telephone number or street address, if there is one."""
    return _first(CONTACT, text)


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found.group().strip() if found else None


def excerpt(text: str, length: int = 60) -> str:
    """The beginning of the text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[:length].rstrip() + "..."


def words(text: str) -> list[str]:
    """The text's words in lower case, with straight apostrophes; of a script without spaces its characters."""
    return WORD.findall(_straight(text))


def spaced_words(text: str) -> list[str]:
    """What stands between spaces and marks, in lower case: words, and where none are between words, clauses."""
    return SPACED_WORD.findall(_straight(text))


def word_count(text: str) -> int:
    """How many words the text has: what stands between spaces, and its share of a word for each character without any."""
    if not (characters := ONE_UNSPACED.findall(text)):
        return len(text.split())
    spaced = [piece for piece in ONE_UNSPACED.sub(" ", text).split() if any(c.isalnum() for c in piece)]
    return len(spaced) + -(-sum(map(_tenths, characters)) // 10)


def phrases(text: str, size: int) -> list[str]:
    """Every run of `size` words in the text, in lower case, in the order in which they begin."""
    found = words(text)
    ends = (_end(found, start, size) for start in range(len(found)))
    return [_joined(found[start:end]) for start, end in enumerate(ends) if end is not None]


def opening(text: str, size: int) -> str:
    """The first `size` words of the text, in lower case, or all of them."""
    found = words(text)
    return _joined(found[: _end(found, 0, size)])


def _end(found: Sequence[str], start: int, size: int) -> int | None:
    """Where `size` words from `start` end among the pieces of `words`; None if there are fewer."""
    total = 0
    for end in range(start, len(found)):
        total += _tenths(found[end])
        if total >= 10 * size:
            return end + 1
    return None


def _tenths(piece: str) -> int:
    """How many tenths of a word one of the pieces of `words` is."""
    if not ONE_UNSPACED.match(piece):
        return 10
    return 5 if ONE_WIDE.match(piece) else 2


def _joined(pieces: Sequence[str]) -> str:
    return re.sub(f"(?<=[{UNSPACED}]) (?=[{UNSPACED}])", "", " ".join(pieces))


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


def _rank(text: str) -> dict[str, float]:
    """How well each language fits the text, as a log-likelihood."""
    import py3langid  # here, because it reads its model, which comes with its package, at import

    return {str(code): float(score) for code, score in py3langid.rank(text)}


def language_of(text: str, expected: str) -> str:
    """The ISO 639-1 code of the text's language: `expected`, unless another one fits clearly better."""
    if expected not in known_languages():
        raise UserError(
            f"split.quality.language: {expected!r} is not among {', '.join(sorted(known_languages()))}; or off"
        )
    if len(text.split()) < MIN_WORDS and len(text) < MIN_CHARACTERS and text.isascii():
        return expected
    ranked = _rank(text)
    best = max(ranked, key=ranked.__getitem__)
    return best if ranked[best] > ranked[expected] + MARGIN else expected


def detected_language(text: str) -> str:
    """The ISO 639-1 code of the language that fits the text best."""
    ranked = _rank(text)
    return max(ranked, key=ranked.__getitem__)


@cache
def known_languages() -> frozenset[str]:
    """The codes of the languages that can be told apart."""
    return frozenset(_rank("a"))
