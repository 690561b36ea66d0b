"""The two tone classifiers: word n-grams, and the base's hidden states; each with regularised logistic regression."""

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from tonetune.core.params import ToneClassifier
from tonetune.core.rows import Example
from tonetune.scoring.corruptions import cut_in_half, paste_catchphrases, repeat_sentence, shuffle_words
from tonetune.scoring.tfidf import WORDS_AND_MARKS, tfidf_ngrams


def labelled(examples: Sequence[Example]) -> tuple[list[str], np.ndarray]:
    """Persona answers (1) and plain answers (0) of the examples; a plain answer that several samples share counts once.

    Where both are one text (exchanges that nobody wrote in the tone) there is nothing to tell apart: those are left out.
    """
    told_apart = [example for example in examples if example.answer != example.plain]
    persona = [example.answer for example in told_apart]
    plain = list(dict.fromkeys(example.plain for example in told_apart))
    return [*persona, *plain], np.repeat([1, 0], [len(persona), len(plain)])


def negatives(examples: Sequence[Example], others: Sequence[str], catchphrases: Sequence[str], seed: int) -> list[str]:
    """What else is not the tone: degenerate texts, catchphrases on plain answers, and `others`: other voices."""
    degenerate = [
        change(example.answer)
        for number, example in enumerate(examples)
        for change in [(lambda text: shuffle_words(text, seed), repeat_sentence, cut_in_half)[number % 3]]
    ]
    plain = list(dict.fromkeys(example.plain for example in examples))
    pasted = [paste_catchphrases(text, catchphrases, seed) for text in plain]
    return [*degenerate, *pasted, *others]


def fit_classifier(texts: Sequence[str], labels: np.ndarray, settings: ToneClassifier, seed: int) -> Pipeline:
    """Fit on texts labelled 1 (persona) and 0."""
    features = tfidf_ngrams(settings.ngrams, token=WORDS_AND_MARKS)
    model = LogisticRegression(C=settings.C, class_weight="balanced", solver="liblinear", random_state=seed)
    return make_pipeline(features, model).fit(texts, labels)


def fit_reporting(states: np.ndarray, labels: np.ndarray) -> Pipeline:
    """The reporting classifier, of another kind: on the base's hidden states (texts, size), labelled 1 (persona) and 0."""
    model = LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000)
    return make_pipeline(StandardScaler(), model).fit(states, labels)
