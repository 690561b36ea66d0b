"""How much data is enough: what the curve concludes, and that it goes on where it stopped."""

import csv
import json

import numpy as np
import pytest

from scripts.comparisons.learning_curve import conclusions
from tests.support.workspace import copied, make, ran


def test_what_a_hundred_more_bring_is_taken_from_the_two_largest_sizes_question_by_question():
    easy, hard = np.full(50, 0.4), np.linspace(0.1, 0.9, 50)
    joints = {50: easy, 200: hard, 400: hard + 0.1}
    brings, shows = conclusions(joints, seed=1)
    assert brings.startswith("From 200 to 400 questions, a hundred more bring +0.050 joint [+0.050, +0.050]")
    # Every question gains the same, so the questions' own differences do not blur it.
    assert "50 test questions show a difference of 0.000 joint" in shows


def test_a_difference_that_can_be_shown_grows_with_the_spread_of_the_differences():
    rng = np.random.default_rng(0)
    base = rng.uniform(size=100)
    noise = rng.normal(0, 0.1, 100)
    noise = (noise - noise.mean()) / noise.std(ddof=1) * 0.1  # of exactly 0.1: 2.8 x 0.1 / sqrt(100)
    assert "difference of 0.028 joint" in conclusions({100: base, 200: base + noise}, seed=1)[1]


@pytest.mark.slow
def test_the_curve_runs_the_sizes_that_are_missing_and_ends_with_the_workspaces_own_run(swept, tmp_path):
    space = copied(swept[0], tmp_path / "repo")
    first = make(space, "learning-curve", "SIZES=120").stdout
    assert ran(first) == ["split", "train_qlora"]  # what scores the answers is the workspace's
    with open(space.root / "reports/learning_curve.csv", encoding="utf-8") as file:
        points = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    assert len(points) == 2
    assert points[0]["questions"] == 120 < points[1]["questions"]
    committed = json.loads((space.root / "metrics/evaluate.json").read_text())
    assert points[1]["joint"] == pytest.approx(committed["joint"], abs=1e-4)
    assert all(point["joint_low"] <= point["joint"] <= point["joint_high"] for point in points)
    assert "a hundred more bring" in first
    assert (space.root / "reports/learning_curve.png").read_bytes().startswith(b"\x89PNG")
    again = make(space, "learning-curve", "SIZES=120").stdout
    assert ran(again) == []
    wrong = make(space, "learning-curve", "SIZES=5000", check=False)
    assert "size 5000: there are" in wrong.stderr
    assert "Traceback" not in wrong.stderr
