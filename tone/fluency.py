"""Is it acceptable, finished, non-repetitive English? Scored 0 to 1 from the order of its words, not from its matter.

A text is reduced to its skeleton: function words stay, every other word becomes its ending. Shuffled words make
skeletons that English does not have, and so do words that are doubled, lost or swapped, whatever the text is about.
"""

import re
from collections.abc import Sequence

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from tone.controls import shuffle_words, slip_words
from tone.ngrams import tfidf_ngrams

TOKEN = re.compile(r"[A-Za-z]+(?:'[a-z]+)?|\d+|[^\w\s]")
ENDINGS = ("ing", "ed", "ly", "tion", "ness", "ment", "er", "est", "ful", "ous", "al", "s", "y")
CONTRACTIONS = re.compile(r"'(?:s|t|re|ve|ll|d|m)$")
FEWEST_WORDS = 5
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


def damaged(texts: Sequence[str], seed: int) -> list[str]:
    """Each text twice: with the words of each sentence shuffled, and with slips in a quarter of its words."""
    return [shuffle_words(text, seed) for text in texts] + [slip_words(text, seed) for text in texts]


def fit_word_order(texts: Sequence[str], unseen: Sequence[str], seed: int) -> CalibratedClassifierCV:
    """A classifier of skeletons, fitted on `texts` against their damaged selves; calibrated on `unseen` ones likewise."""
    model = make_pipeline(
        tfidf_ngrams(1, 3, buckets=BUCKETS), LogisticRegression(C=30, class_weight="balanced", max_iter=1000)
    )
    broken = [*damaged(texts, seed), *damaged(texts, seed + 1)]
    model.fit([skeleton(text) for text in [*texts, *broken]], [1] * len(texts) + [0] * len(broken))
    broken = damaged(unseen, seed)
    calibrated = CalibratedClassifierCV(FrozenEstimator(model), method="sigmoid", cv=2, ensemble=False)
    return calibrated.fit([skeleton(text) for text in [*unseen, *broken]], [1] * len(unseen) + [0] * len(broken))


def distinct_share(text: str, n: int = 3) -> float:
    """Distinct word n-grams over all of them; 1.0 where nothing is said twice."""
    words = [word.lower() for word in re.findall(r"[A-Za-z0-9']+", text)]
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def finished(text: str) -> bool:
    """Whether it ends as a sentence does and has at least a few words."""
    return len(text.split()) >= FEWEST_WORDS and re.search(r"[.?!][\"')]*$", text.strip()) is not None


def fluency(texts: Sequence[str], word_order: CalibratedClassifierCV) -> np.ndarray:
    """The probability of the text's word order, 0 for what is unfinished or empty, less for what repeats itself."""
    order = word_order.predict_proba([skeleton(text) for text in texts])[:, 1]
    # Teacher answers repeat almost no three words (share 0.97 and more); half of them repeated is worth nothing.
    repetition = np.clip((np.array([distinct_share(text) for text in texts]) - 0.5) / 0.4, 0, 1)
    return order * repetition * np.array([finished(text) for text in texts], dtype=float)
