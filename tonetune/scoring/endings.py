"""Where a text is finished: as the persona's own texts end, be it in a full stop, in an emoji or in nothing at all."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tonetune.core.text import ends_in_sentence, word_count

SENTENCE, EMOJI, WORD = "sentence", "emoji", "word"
"""Kinds of end; any other is the mark itself, such as `)` or `~`."""
# Of the persona's texts: what fewer of them end in is a slip, and a length that fewer of them stay below an exception.
OWN_SHARE = 0.05
MIN_WORDS = 5
PLACEHOLDER = re.compile(r"\[[a-z ]+\]$")  # [name], [link]: what the import puts in place of words


def kind_of_end(text: str) -> str:
    """`SENTENCE`, with or without what may follow its mark; else what the last character is: `EMOJI`, `WORD` or a mark.

    "" for a text of nothing.
    """
    text = text.rstrip()
    if ends_in_sentence(text):
        return SENTENCE
    if PLACEHOLDER.search(text):
        return WORD
    for character in reversed(text):
        category = unicodedata.category(character)
        if category in ("Mn", "Me", "Cf", "Zs"):  # accents, joiners, variation selectors: part of what is before them
            continue
        return EMOJI if category in ("So", "Sk") else WORD if category[0] in "LN" else character
    return ""


@dataclass(frozen=True)
class Endings:
    """What a text of the persona ends in, and how few words it may have."""

    kinds: tuple[str, ...] = (SENTENCE,)
    """As `kind_of_end` has them. With `WORD` among them a text that was cut off cannot be told from one that was not."""
    min_words: int = MIN_WORDS

    def ended(self, text: str) -> bool:
        """Whether the text ends as the persona's do."""
        return kind_of_end(text) in self.kinds

    def finished(self, text: str) -> bool:
        """Whether it also has as many words as nearly all of them."""
        return word_count(text) >= self.min_words and self.ended(text)


def learn_endings(texts: Sequence[str]) -> Endings:
    """The endings of the persona's `texts`: what at least `OWN_SHARE` of them end in, a full stop in any case.

    `min_words` is `MIN_WORDS`, or fewer where more than `OWN_SHARE` of the texts are shorter.
    """
    counts = Counter(map(kind_of_end, texts))
    kinds = {kind for kind, count in counts.items() if kind and count >= OWN_SHARE * len(texts)}
    lengths = [word_count(text) for text in texts]
    fewest = int(np.quantile(lengths, OWN_SHARE, method="lower"))
    return Endings(tuple(sorted(kinds | {SENTENCE})), max(1, min(MIN_WORDS, fewest)))
