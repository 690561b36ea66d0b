"""The tone classifier: word n-grams with regularised logistic regression, calibrated on validation."""

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from tonetune.core.params import ToneClassifier
from tonetune.core.rows import Example
from tonetune.scoring.corruptions import cut_in_half, paste_catchphrases, repeat_sentence, shuffle_words
from tonetune.scoring.tfidf import tfidf_ngrams

WORDS_AND_MARKS = r"\w+(?:'\w+)?|[^\w\s]"


def labelled(examples: Sequence[Example]) -> tuple[list[str], np.ndarray]:
    """Persona answers (1) and plain answers (0) of the examples."""
    texts = [example.answer for example in examples] + [example.plain for example in examples]
    return texts, np.array([1] * len(examples) + [0] * len(examples))


def negatives(examples: Sequence[Example], others: Sequence[str], catchphrases: Sequence[str], seed: int) -> list[str]:
    """What else is not the tone: degenerate texts, catchphrases on plain answers, and `others`: other voices."""
    degenerate = [
        change(example.answer)
        for number, example in enumerate(examples)
        for change in [(lambda text: shuffle_words(text, seed), repeat_sentence, cut_in_half)[number % 3]]
    ]
    pasted = [paste_catchphrases(example.plain, catchphrases, seed) for example in examples]
    return [*degenerate, *pasted, *others]


def fit_classifier(texts: Sequence[str], labels: np.ndarray, settings: ToneClassifier, seed: int) -> Pipeline:
    """Fit on texts labelled 1 (persona) and 0."""
    features = tfidf_ngrams(settings.ngrams, token=WORDS_AND_MARKS)
    model = LogisticRegression(C=settings.C, class_weight="balanced", solver="liblinear", random_state=seed)
    return make_pipeline(features, model).fit(texts, labels)
