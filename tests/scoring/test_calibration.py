"""How often what is said with a probability is so."""

import numpy as np
import pytest

from tonetune.scoring.calibration import calibration_bins, calibration_error, fit_ratings


def test_calibration_by_hand():
    """Two bins: 0.2 said of two texts, one of them the persona's; 0.9 of two, both the persona's."""
    probabilities, labels = np.array([0.15, 0.19, 0.85, 0.89]), np.array([0, 1, 1, 1])
    low, high = calibration_bins(probabilities, labels)
    assert (low.count, low.observed) == (2, 0.5)
    assert low.predicted == pytest.approx(0.17)
    assert (high.count, high.observed) == (2, 1.0)
    assert calibration_error(probabilities, labels) == pytest.approx((0.33 + 0.13) / 2)
    assert len(calibration_bins(np.array([1.0, 0.0]), np.array([1, 0]))) == 2


def test_the_spread_of_ratings_is_kept_for_writers_that_were_left_out():
    """Where the figures tell half, plain regression would draw a new writer's ratings halfway to the mean."""
    rng = np.random.default_rng(0)
    quality = np.repeat(rng.uniform(0.2, 0.8, 40), 10)
    figures = (quality + rng.normal(0, 0.2, 400))[:, None]
    writers = np.repeat(np.arange(40), 10).astype(str).tolist()
    model = fit_ratings(figures, quality, writers, np.ones(400), 0.5)
    new_quality = rng.uniform(0.2, 0.8, 1000)
    said = model.predict((new_quality + rng.normal(0, 0.2, 1000))[:, None])
    assert said.std() == pytest.approx(new_quality.std(), rel=0.1)
    alone = fit_ratings(figures, quality, ["one"] * 400, np.ones(400), 0.5)  # nobody can be left out
    assert alone.predict(figures).std() < model.predict(figures).std()


def test_what_weighs_nothing_is_not_fitted():
    figures = np.linspace(0, 1, 40)[:, None]
    ratings = np.where(np.arange(40) % 2 == 0, 0.8, 0.1)
    weights = np.where(np.arange(40) % 2 == 0, 1.0, 1e-9)
    model = fit_ratings(figures, ratings, ["one"] * 40, weights, 0.5)
    assert model.predict(figures) == pytest.approx(0.8, abs=0.06)
