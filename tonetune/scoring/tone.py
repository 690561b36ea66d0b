"""How much does a text sound like the persona? Its words and the base's hidden states, weighed by what readers rated.

A classifier of one teacher's texts ranks another writer's persona above plain texts, but does not know how much of the
tone it is. So its log-odds, and those of the same views of characters and sentences, are only part of what the score
looks at; the other part are the untuned base's hidden states, which hold more of a register than its favourite words.
What they mean is fitted to readers' ratings of many writers, where there are ratings of the persona; else the
classifier's own calibrated probability is the score.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from tonetune.core.rows import Example
from tonetune.core.text import sentences, word_count
from tonetune.scoring.calibration import fit_ratings
from tonetune.scoring.fluency import States
from tonetune.scoring.words.corruptions import paste_catchphrases
from tonetune.scoring.words.tfidf import WORDS_AND_MARKS, tfidf_ngrams

WORDS = 60.0  # a usual answer: its length is a figure too
GAMMA = 0.25  # of the kernel, over the number of figures; chosen on ratings of writers left out
# Of the tone, from 0 to 1: what readers hear in the teacher's persona and plain answers, and in plain ones with catchphrases.
PERSONA, PLAIN, PASTED = 0.97, 0.1, 0.33


class Probabilities(Protocol):
    """A fitted classifier of texts."""

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray: ...


@dataclass(frozen=True)
class ToneViews:
    """Three classifiers of persona and other texts: of whole texts by words and by characters, and of single sentences."""

    words: Pipeline
    characters: Pipeline
    sentences: Pipeline

    def figures(self, texts: Sequence[str]) -> np.ndarray:
        """(texts, 10): the log-odds and probabilities of the views, over a text's sentences, and how it is built."""
        texts = [text or "." for text in texts]
        split = [sentences(text) or ["."] for text in texts]
        flat = self.sentences.decision_function([sentence for one in split for sentence in one])
        odds = np.split(flat, np.cumsum([len(one) for one in split])[:-1])
        words = np.array([word_count(text) for text in texts], dtype=float)
        columns = [view.decision_function(texts) for view in (self.words, self.characters)]
        columns += [1 / (1 + np.exp(-column)) for column in columns]
        columns += [np.array([summary(one) for one in odds]) for summary in (np.mean, np.min, lambda one: one[0])]
        columns += [words / WORDS, np.array([float(len(one)) for one in split])]
        columns.append(words / WORDS / columns[-1])
        return np.stack(columns, axis=1)


def fit_views(persona: Sequence[str], others: Sequence[str]) -> ToneViews:
    """Fit the three views on texts in the tone and texts that are not."""

    def fitted(features: Pipeline, yes: Sequence[str], no: Sequence[str]) -> Pipeline:
        model = LogisticRegression(C=10, class_weight="balanced", solver="liblinear", random_state=0)
        return make_pipeline(features, model).fit([*yes, *no], [1] * len(yes) + [0] * len(no))

    def split(texts: Sequence[str]) -> list[str]:
        return [sentence for text in texts for sentence in sentences(text)]

    return ToneViews(
        words=fitted(tfidf_ngrams((1, 2), token=WORDS_AND_MARKS), persona, others),
        characters=fitted(tfidf_ngrams((2, 5), analyzer="char_wb"), persona, others),
        sentences=fitted(tfidf_ngrams((1, 2), token=WORDS_AND_MARKS), split(persona), split(others)),
    )


def fit_tone(
    figures: np.ndarray, ratings: np.ndarray, writers: Sequence[str], known: np.ndarray, tones: np.ndarray
) -> Pipeline:
    """Fit the mean ratings of texts by `writers`, from 0 to 1, and beside them the `tones` of the `known` texts."""
    return fit_ratings(
        np.vstack([figures, known]),
        np.append(ratings, tones),
        [*writers, *["known"] * len(tones)],
        np.ones(len(ratings) + len(tones)),
        GAMMA / figures.shape[1],
    )


def known_tones(examples: Sequence[Example], catchphrases: Sequence[str], seed: int) -> tuple[list[str], np.ndarray]:
    """The teacher's texts, and plain ones with catchphrases, with as much of the tone as readers hear in such texts."""
    paired = [example for example in examples if not example.unpaired]
    texts = [example.answer for example in examples]
    plain = [example.plain for example in paired]
    pasted = [paste_catchphrases(text, catchphrases, seed) for text in plain] if catchphrases else []
    return [*texts, *plain, *pasted], np.repeat([PERSONA, PLAIN, PASTED], [len(texts), len(plain), len(pasted)])


class Tone:
    """How much of the tone readers hear in a text, from 0 to 1; without ratings the classifier's probability."""

    def __init__(self, views: ToneViews, classifier: Probabilities, states: States, rated: Pipeline | None = None):
        self.views = views
        self.classifier = classifier
        self.states = states
        self.rated = rated

    def figures(self, texts: Sequence[str]) -> np.ndarray:
        """(texts, 10 + hidden size): what `rated` predicts from."""
        return np.hstack([self.views.figures(texts), self.states([text or "." for text in texts])])

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        if self.rated is None:
            return self.classifier.predict_proba(texts)[:, 1]
        return np.clip(self.rated.predict(self.figures(texts)), 0, 1)
