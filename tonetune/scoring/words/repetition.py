"""How much a text says twice."""

import re
from collections.abc import Iterator, Sequence

import numpy as np


def ngrams(words: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    """The runs of n words in a row."""
    return (tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def distinct_share(text: str, n: int = 3) -> float:
    """Distinct word n-grams over all of them; 1.0 where nothing is said twice, 0.0 where there are not n words."""
    grams = list(ngrams([word.lower() for word in re.findall(r"[A-Za-z0-9']+", text)], n))
    return len(set(grams)) / len(grams) if grams else 0.0


def unrepeated(texts: Sequence[str]) -> np.ndarray:
    """From 1 for a text that says nothing twice to 0 for one of whose runs of three words half are repeated, or that has none.

    Answers that make sense repeat almost no three words: the teacher's have a distinct share of 0.97 and more.
    """
    return np.clip((np.array([distinct_share(text) for text in texts]) - 0.5) / 0.4, 0, 1)
