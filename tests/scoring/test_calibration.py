"""How often what is said with a probability is so."""

import numpy as np
import pytest

from tonetune.scoring.calibration import calibration_bins, calibration_error


def test_calibration_by_hand():
    """Two bins: 0.2 said of two texts, one of them the persona's; 0.9 of two, both the persona's."""
    probabilities, labels = np.array([0.15, 0.19, 0.85, 0.89]), np.array([0, 1, 1, 1])
    low, high = calibration_bins(probabilities, labels)
    assert (low.count, low.observed) == (2, 0.5)
    assert low.predicted == pytest.approx(0.17)
    assert (high.count, high.observed) == (2, 1.0)
    assert calibration_error(probabilities, labels) == pytest.approx((0.33 + 0.13) / 2)
    assert len(calibration_bins(np.array([1.0, 0.0]), np.array([1, 0]))) == 2
