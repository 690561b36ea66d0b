"""Which language a text is in, by py3langid, whose model comes with its package."""

from functools import cache

from tonetune.core.errors import UserError

ENGLISH = "en"
"""Of the exchanges, the probes, the neutral texts, and what the scores are fitted on."""
FEWEST_WORDS, FEWEST_CHARACTERS = 4, 40  # of fewer no model can tell the language: they pass, if they are ASCII
MARGIN = 5.0  # nats by which another language must fit better: a short text fits many


def _rank(text: str) -> dict[str, float]:
    """How well each language fits the text, as a log-likelihood."""
    import py3langid  # here, because it reads its model at import

    return {str(code): float(score) for code, score in py3langid.rank(text)}


def language_of(text: str, expected: str) -> str:
    """The ISO 639-1 code of the text's language: `expected`, unless another one fits clearly better."""
    if expected not in known_languages():
        raise UserError(
            f"split.quality.language: {expected!r} is not among {', '.join(sorted(known_languages()))}; or off"
        )
    if len(text.split()) < FEWEST_WORDS and len(text) < FEWEST_CHARACTERS and text.isascii():
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
