"""What gives the tone away? Classifiers that see only a part of each text, scored on questions they have not seen.

A tone classifier that lives on topics, names or punctuation would score the teacher's habits, not the tone.
"""

import re
from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tonetune.scoring.words.content_words import content_words


def surface(text: str) -> list[float]:
    """Punctuation, digits, capitals and length, with no word in it."""
    words = max(1, len(text.split()))
    marks = [text.count(mark) / words for mark in ".,;:?!'\"-()%$"]
    sentences = max(1, len(re.findall(r"[.?!]+(?:\s|$)", text)))
    digits = sum(c.isdigit() for c in text) / words
    capitals = sum(c.isupper() for c in text) / words
    return [*marks, digits, capitals, len(text), words, words / sentences, len(text) / words]


def mask_names(text: str, names: Sequence[str]) -> str:
    """Replace the persona's tell-tale names, and other capitalised words inside sentences, by `name`."""
    known = r"\b(?:" + "|".join(map(re.escape, names)) + r")\b" if names else r"(?!)"
    text = re.sub(known, "name", text)
    return re.sub(r"(?<=[a-z,;] )(?!I\b)[A-Z][a-z]+", "name", text)


def auc_of(train: Sequence[str], y_train: np.ndarray, test: Sequence[str], y_test: np.ndarray) -> float:
    """AUC on `test` of word 1-2-grams with logistic regression fitted on `train`."""
    probe = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        LogisticRegression(C=10, solver="liblinear", random_state=0),
    )
    return float(roc_auc_score(y_test, probe.fit(train, y_train).predict_proba(test)[:, 1]))


def leak_probes(
    train: Sequence[str], y_train: np.ndarray, test: Sequence[str], y_test: np.ndarray, names: Sequence[str]
) -> dict[str, float]:
    """The probes' AUC on the test split: 1.0 tells the styles apart by that part alone, 0.5 is chance."""
    by_surface = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    by_surface.fit([surface(text) for text in train], y_train)
    scores = by_surface.predict_proba([surface(text) for text in test])[:, 1]

    def masked(texts: Sequence[str]) -> list[str]:
        return [mask_names(text, names) for text in texts]

    def matter(texts: Sequence[str]) -> list[str]:
        return [content_words(text) for text in texts]

    return {
        "auc": auc_of(train, y_train, test, y_test),
        "content_auc": auc_of(matter(train), y_train, matter(test), y_test),
        "surface_auc": float(roc_auc_score(y_test, scores)),
        "masked_auc": auc_of(masked(train), y_train, masked(test), y_test),
    }


def telling_words(texts: Sequence[str], labels: np.ndarray, most: int = 20) -> list[tuple[str, str, float]]:
    """(style, word, weight) of the words whose presence says most about the style, strongest first for each style."""
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=5, token_pattern=r"\w+(?:'\w+)?")
    probe = LogisticRegression(C=10, solver="liblinear", random_state=0).fit(vectorizer.fit_transform(texts), labels)
    words, weights = vectorizer.get_feature_names_out(), probe.coef_[0]
    order = weights.argsort()
    persona = [("persona", str(words[i]), round(float(weights[i]), 4)) for i in order[::-1][:most]]
    return persona + [("plain", str(words[i]), round(float(-weights[i]), 4)) for i in order[:most]]
