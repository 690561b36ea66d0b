"""From a classifier's scores to probabilities that mean what they say, and how far they are off."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from tonetune.core.errors import UserError

FOLDS = 5
CHANCE = 0.6  # AUC below which a classifier has found nothing to go by


def calibrate(model: Pipeline, texts: Sequence[str] | np.ndarray, labels: np.ndarray) -> CalibratedClassifierCV:
    """Platt scaling on texts the classifier has not seen, so that 0.8 means right four times in five."""
    return CalibratedClassifierCV(FrozenEstimator(model), method="sigmoid", cv=2, ensemble=False).fit(texts, labels)


def fit_ratings(
    figures: np.ndarray, ratings: np.ndarray, writers: Sequence[str], weights: np.ndarray, gamma: float
) -> Pipeline:
    """Support vector regression of `ratings` (n), from 0 to 1, on `figures` (n, columns), in an RBF kernel exp(-gamma d^2).

    `d` is the distance of two rows of figures, each column scaled to unit variance: the larger `gamma`, the nearer a row
    must be to count.

    A regression draws what it is unsure of towards the mean: new writers that readers find good come out worse than they
    are, and poor ones better. So the ratings are stretched about their mean beforehand, by as much as predictions of
    writers that were left out spread less than their ratings do.
    """
    model = make_pipeline(StandardScaler(), SVR(C=1.0, epsilon=0.05, gamma=gamma))
    parameters = {"svr__sample_weight": weights}
    folds = min(FOLDS, len(set(writers)))
    stretch = 1.0
    if folds > 1:
        left_out = cross_val_predict(model, figures, ratings, groups=writers, cv=GroupKFold(folds), params=parameters)
        stretch = max(1.0, float(ratings.std() / max(left_out.std(), 1e-6)))
    stretched = ratings.mean() + stretch * (ratings - ratings.mean())
    return clone(model).fit(figures, stretched, **parameters)


def refuse_chance(name: str, probabilities: np.ndarray, labels: np.ndarray, way_out: str) -> None:
    """A `UserError` if the probabilities of the true label's texts are not above the others' more often than by luck."""
    auc = roc_auc_score(labels, probabilities)
    if not auc >= CHANCE:
        raise UserError(
            f"{name}: at chance on the validation split (AUC {auc:.2f}, at least {CHANCE} needed); {way_out}"
        )


@dataclass(frozen=True)
class CalibrationBin:
    """The texts whose probabilities fall into one of the equal-width bins."""

    count: int
    predicted: float
    """Their mean probability."""
    observed: float
    """The share of them that is labelled 1."""


def calibration_bins(probabilities: np.ndarray, labels: np.ndarray, bins: int = 10) -> list[CalibrationBin]:
    """The bins that hold a text, from low to high."""
    bin_of = np.minimum((probabilities * bins).astype(int), bins - 1)
    return [
        CalibrationBin(
            int((bin_of == b).sum()), float(probabilities[bin_of == b].mean()), float(labels[bin_of == b].mean())
        )
        for b in range(bins)
        if (bin_of == b).any()
    ]


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error: the gap between confidence and accuracy, weighted over equal-width bins.

    Guo et al. 2017, https://arxiv.org/abs/1706.04599.
    """
    found = calibration_bins(probabilities, labels, bins)
    return float(sum(abs(b.predicted - b.observed) * b.count for b in found) / len(probabilities))


def auc(high: np.ndarray, low: np.ndarray) -> float:
    """The share of pairs in which a score of `high` is above one of `low`."""
    return float(roc_auc_score(np.repeat([1, 0], [len(high), len(low)]), np.append(high, low)))
