"""The dial: what it concludes, and that it goes from the base to the tuned model on validation questions alone."""

import csv
import json

import numpy as np
import pytest

from scripts.comparisons.dial import conclusions
from tests.support.workspace import copied, make


def test_the_best_strength_and_whether_its_lead_is_more_than_chance() -> None:
    hard = np.linspace(0.1, 0.8, 50)
    assert conclusions({0.5: hard, 1: hard + 0.1}, 1) == ["Joint is highest at strength 1: 0.550."]
    first, second = conclusions({0.5: hard + 0.1, 1: hard}, 1)
    assert first == "Joint is highest at strength 0.5: 0.550."
    assert second == "That is +0.100 [+0.100, +0.100] on strength 1, more than chance would give."
    noise = np.tile([0.3, -0.29], 25)
    assert "no more than chance may give" in conclusions({0.5: hard + noise, 1: hard}, 1)[1]
    assert len(conclusions({0.5: hard, 0.75: hard}, 1)) == 1


@pytest.mark.slow
def test_the_dial_scores_every_strength_on_validation_questions(tiny_repo, tmp_path) -> None:
    space = copied(tiny_repo, tmp_path / "repo")
    # Without the test split it must do as well.
    (space.root / "data/test.jsonl").unlink()
    before = {path: path.read_bytes() for path in (space.root / "metrics").iterdir()}
    said = make(space, "dial").stdout
    with open(space.root / "reports/dial.csv", encoding="utf-8") as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    assert [row["strength"] for row in rows] == [0, 0.25, 0.5, 0.75, 1, 1.25]
    for row in rows:
        for score in ("tone", "sense", "joint"):
            assert 0 <= row[f"{score}_low"] <= row[score] <= row[f"{score}_high"] <= 1
        assert 0 <= row["says_it_is_an_ai"] <= 1
    assert len({row["joint"] for row in rows}) > 1  # another model at another strength
    assert "Joint is highest at strength" in said
    assert (space.root / "reports/dial.png").read_bytes().startswith(b"\x89PNG")
    assert before == {path: path.read_bytes() for path in (space.root / "metrics").iterdir()}
    assert json.loads((space.root / "models/adapter/tuning.json").read_text())["tuning"]

    wrong = space.run("python", "-m", "scripts.comparisons.dial", "3", check=False)
    assert wrong.stderr == "error: strength: 3 is not between 0 and 2\n"
