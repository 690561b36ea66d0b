"""What a model repeats: the answers it was trained on, and itself."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from tonetune.core.rows import Generation
from tonetune.scoring.endings import Endings
from tonetune.scoring.words.repetition import ngrams

WORD = re.compile(r"\w+(?:['’]\w+)*")
COPIED_NGRAM = 8


def words_of(text: str) -> list[str]:
    """The text's words in lower case, without punctuation: a copy with another comma is a copy."""
    return WORD.findall(text.lower().replace("’", "'"))


def longest_copies(answers: Sequence[Sequence[str]], sources: Sequence[Sequence[str]]) -> list[int]:
    """For each answer the number of words of the longest span that stands word for word in one source."""
    longest = [0] * len(answers)
    going, n = list(range(len(answers))), 0
    while going:
        n += 1
        known = {gram for source in sources for gram in ngrams(source, n)}
        going = [i for i in going if any(gram in known for gram in ngrams(answers[i], n))]
        for i in going:
            longest[i] = n
    return longest


def copied_share(answers: Sequence[Sequence[str]], sources: Sequence[Sequence[str]], n: int = COPIED_NGRAM) -> float:
    """The share of the answers' n-grams that stand in a source; 0 if no answer has n words."""
    known = {gram for source in sources for gram in ngrams(source, n)}
    found = [gram in known for answer in answers for gram in ngrams(answer, n)]
    return sum(found) / max(1, len(found))


def distinct(answers: Sequence[Sequence[str]], n: int) -> float:
    """Different n-grams for each n-gram (Li et al. 2016): 1 = no two the same. It falls as the text grows."""
    grams = [gram for answer in answers for gram in ngrams(answer, n)]
    return len(set(grams)) / max(1, len(grams))


def opening_share(answers: Sequence[Sequence[str]]) -> float:
    """The share of the answers that begin with the two words that most of them begin with."""
    openings = Counter(tuple(answer[:2]) for answer in answers if answer)
    return max(openings.values(), default=0) / max(1, len(answers))


def originality(
    generations: Sequence[Generation], system: str, trained_on: Sequence[str], endings: Endings
) -> dict[str, float]:
    """The system's figures, to 6 digits: lengths are in words, shares from 0 to 1.

    `unfinished` is the share of answers that end as no text of the persona does: cut by `evaluate.max_new_tokens`, or broken
    off. It is next to 0 of a persona whose texts often end without any mark.

    The measures that depend on how much text there is are taken for each sampling seed and then averaged, so that
    systems with more seeds compare with the teacher, who answers once.
    """
    sources = [words_of(text) for text in trained_on]
    by_seed: dict[int, list[list[str]]] = {}
    unfinished = []
    for row in generations:
        if row.system == system:
            by_seed.setdefault(row.seed, []).append(words_of(row.text))
            unfinished.append(not endings.ended(row.text))
    answers = [answer for group in by_seed.values() for answer in group]
    copies, lengths = longest_copies(answers, sources), [len(answer) for answer in answers]
    figures: dict[str, Any] = {
        "longest_copy": max(copies),
        "mean_copy": np.mean(copies),
        "copied_8grams": copied_share(answers, sources),
        **{f"distinct_{n}": np.mean([distinct(group, n) for group in by_seed.values()]) for n in (1, 2, 3)},
        "top_opening": np.mean([opening_share(group) for group in by_seed.values()]),
        "words": np.mean(lengths),
        "words_spread": np.std(lengths),
        "unfinished": np.mean(unfinished),
    }
    return {name: round(float(value), 6) for name, value in figures.items()}
