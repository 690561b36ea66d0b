"""Is it acceptable, finished, non-repetitive English? Scored 0 to 1 from the order of its words, not from its matter.

Two views of the order, each a classifier of texts as they are against the same texts with words moved, doubled or lost.
What both say is weighed together on texts that neither was fitted on:
- The text's skeleton: function words stay, every other word becomes its ending. Words that are shuffled, doubled, lost or
  swapped make skeletons that English does not have.
- The hidden states of the base model's first layers, which know English: what is acceptable can be read off them
  linearly (Conneau et al. 2018, https://arxiv.org/abs/1805.01070).
"""

import re
from collections.abc import Callable, Sequence

import numpy as np
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from tonetune.scoring.endings import Endings
from tonetune.scoring.words.corruptions import shuffle_words, slip_words
from tonetune.scoring.words.repetition import unrepeated
from tonetune.scoring.words.tfidf import tfidf_ngrams

States = Callable[[Sequence[str]], np.ndarray]  # `HiddenStates`, whose module imports torch, or what stands for them

TOKEN = re.compile(r"[A-Za-z]+(?:'[a-z]+)?|\d+|[^\w\s]")
ENDINGS = ("ing", "ed", "ly", "tion", "ness", "ment", "er", "est", "ful", "ous", "al", "s", "y")
CONTRACTIONS = re.compile(r"'(?:s|t|re|ve|ll|d|m)$")
BUCKETS = 2**18


def skeleton(text: str) -> str:
    """Function words, punctuation and the endings of all other words."""
    kept = []
    for token in TOKEN.findall(text):
        word = token.lower()
        if word in ENGLISH_STOP_WORDS or CONTRACTIONS.search(word) or not word[0].isalnum():
            kept.append(word)
        elif word[0].isdigit():
            kept.append("0")
        else:
            kept.append("-" + next((ending for ending in ENDINGS if word.endswith(ending)), "x"))
    return " ".join(kept)


def corrupted(texts: Sequence[str], seed: int) -> list[str]:
    """Each text twice: with the words of each sentence shuffled, and with slips in a quarter of its words."""
    return [shuffle_words(text, seed) for text in texts] + [slip_words(text, seed) for text in texts]


class WordOrder:
    """The probability that a text's words stand in an order that English has; beside it, where a text is finished."""

    def __init__(
        self,
        states: States,
        skeletons: Pipeline,
        hidden: Pipeline,
        weighed: Pipeline,
        endings: Endings = Endings(),  # noqa: B008  # frozen
    ):
        self.states = states
        self.skeletons = skeletons
        self.hidden = hidden
        self.weighed = weighed
        self.endings = endings

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        return self.weighed.predict_proba(views(texts, self.states, self.skeletons, self.hidden))[:, 1]


def views(texts: Sequence[str], states: States, skeletons: Pipeline, hidden: Pipeline) -> np.ndarray:
    """(texts, 2): the log-odds of each view of the order."""
    seen = skeletons.decision_function([skeleton(text) for text in texts])
    return np.stack([seen, hidden.decision_function(states(texts))], axis=1)


def fit_word_order(
    texts: Sequence[str],
    unseen: Sequence[str],
    states: States,
    seed: int,
    endings: Endings = Endings(),  # noqa: B008  # frozen
) -> WordOrder:
    """Both views fitted on `texts` against the same corrupted, and weighed on `unseen` ones likewise, at even odds."""
    broken = [*corrupted(texts, seed), *corrupted(texts, seed + 1)]
    skeletons = make_pipeline(
        tfidf_ngrams((1, 3), buckets=BUCKETS), LogisticRegression(C=30, class_weight="balanced", max_iter=1000)
    )
    skeletons.fit([skeleton(text) for text in [*texts, *broken]], [1] * len(texts) + [0] * len(broken))
    # The states cost a forward pass a text: one corrupted copy each, shuffled or slipped by turns, is enough.
    broken = [(shuffle_words, slip_words)[turn % 2](text, seed) for turn, text in enumerate(texts)]
    hidden = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=3000))
    hidden.fit(states([*texts, *broken]), [1] * len(texts) + [0] * len(broken))

    broken = corrupted(unseen, seed)
    weighed = make_pipeline(StandardScaler(), LogisticRegression(C=10, class_weight="balanced", max_iter=1000))
    weighed.fit(views([*unseen, *broken], states, skeletons, hidden), [1] * len(unseen) + [0] * len(broken))
    return WordOrder(states, skeletons, hidden, weighed, endings)


def fluency(texts: Sequence[str], word_order: WordOrder) -> np.ndarray:
    """The probability of the text's word order, 0 for what is unfinished or empty, less for what repeats itself."""
    return (
        word_order(texts)
        * unrepeated(texts)
        * np.array([word_order.endings.finished(text) for text in texts], dtype=float)
    )
