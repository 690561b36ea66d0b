"""The two tone classifiers: word n-grams, and the base's hidden states; each with regularised logistic regression."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from tonetune.core.params import ToneClassifier
from tonetune.core.rows import Example, base_answers_to, other_answers_to
from tonetune.scoring.calibration import calibrate, refuse_chance
from tonetune.scoring.words.corruptions import cut_in_half, paste_catchphrases, repeat_sentence, shuffle_words
from tonetune.scoring.words.tfidf import WORDS_AND_MARKS, tfidf_ngrams


def labelled(examples: Sequence[Example]) -> tuple[list[str], np.ndarray]:
    """Persona answers (1) and plain answers (0) of the examples; a plain answer that several samples share counts once.

    Where both are one text (exchanges that nobody wrote in the tone) there is nothing to tell apart: those are left out.
    """
    told_apart = [example for example in examples if example.answer != example.plain]
    persona = [example.answer for example in told_apart]
    plain = list(dict.fromkeys(example.plain for example in told_apart))
    return [*persona, *plain], np.repeat([1, 0], [len(persona), len(plain)])


def other_texts(examples: Sequence[Example]) -> list[str]:
    """What others than the persona answered to the examples' questions: other personas, and the untuned base."""
    return [*other_answers_to(examples), *base_answers_to(examples)]


def negatives(examples: Sequence[Example], others: Sequence[str], catchphrases: Sequence[str], seed: int) -> list[str]:
    """What else is not the tone: degenerate texts, catchphrases on plain answers, and `others`: see `other_texts`."""
    degenerate = [
        change(example.answer)
        for number, example in enumerate(examples)
        for change in [(lambda text: shuffle_words(text, seed), repeat_sentence, cut_in_half)[number % 3]]
    ]
    plain = list(dict.fromkeys(example.plain for example in examples))
    pasted = [paste_catchphrases(text, catchphrases, seed) for text in plain]
    return [*degenerate, *pasted, *others]


def calibrated_classifier(
    name: str,
    fit: Callable[[Any, np.ndarray], Pipeline],
    features: Callable[[list[str]], Any],
    own: Sequence[Example],
    validation: Sequence[Example],
    catchphrases: Sequence[str],
    seed: int,
    way_out: str,
) -> CalibratedClassifierCV:
    """What `fit` makes of the `features` of the persona's answers of `own` against all that is not the tone, calibrated.

    A `UserError` that begins with `name` and ends with `way_out` where it is at chance on `validation`.
    """
    texts, labels = labelled(own)
    wrong = negatives(own, other_texts(own), catchphrases, seed)
    fitted = fit(features([*texts, *wrong]), np.append(labels, np.zeros(len(wrong))))
    texts, labels = labelled(validation)
    unseen = features(texts)
    model = calibrate(fitted, unseen, labels)
    refuse_chance(name, model.predict_proba(unseen)[:, 1], labels, way_out)
    return model


def fit_classifier(texts: Sequence[str], labels: np.ndarray, settings: ToneClassifier, seed: int) -> Pipeline:
    """Fit on texts labelled 1 (persona) and 0."""
    features = tfidf_ngrams(settings.ngrams, token=WORDS_AND_MARKS)
    model = LogisticRegression(C=settings.C, class_weight="balanced", solver="liblinear", random_state=seed)
    return make_pipeline(features, model).fit(texts, labels)


def fit_reporting(states: np.ndarray, labels: np.ndarray) -> Pipeline:
    """The reporting classifier, of another kind: on the base's hidden states (texts, size), labelled 1 (persona) and 0."""
    model = LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000)
    return make_pipeline(StandardScaler(), model).fit(states, labels)
