"""Blind choices: fair sides, figures by hand, and the way into metrics/readers.csv."""

import csv
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.workspace import ROOT
from tonetune.core.rows import read_rows, write_rows
from tonetune.evaluation.names import BASE, TUNED
from tonetune.page.choices import Choice, Pair, Side, choice_figures, merged, pair, save, shares
from tonetune.page.speakers import BASE_PROMPTED


def choice(number: int, persona: Side, sense: Side, left: str = TUNED, other: str = BASE, reader: str = "a") -> Choice:
    return Choice(
        question=f"Why {number}?",
        seed=number,
        other=other,
        left=left,
        tuned_answer="Ha.",
        other_answer="Because.",
        reader=reader,
        persona=persona,
        sense=sense,
    )


def test_each_answer_stands_left_about_as_often_and_under_its_own_name() -> None:
    pairs: list[Pair] = [pair("Why?", 1, BASE, "Ha.", "Because.", random.Random(seed)) for seed in range(200)]
    assert {p.shown for p in pairs if p.left == TUNED} == {("Ha.", "Because.")}
    assert {p.shown for p in pairs if p.left == BASE} == {("Because.", "Ha.")}
    assert 70 < sum(p.left == TUNED for p in pairs) < 130


def test_shares_by_hand() -> None:
    """Three of four decided for the tuned answer, whichever side it stood on; Wilson's interval of 3 in 4."""
    choices = [
        choice(0, "left", "right"),
        choice(1, "right", "right", left=BASE),
        choice(2, "left", "neither"),
        choice(3, "left", "neither", left=BASE),
        choice(4, "neither", "neither"),
        choice(5, "right", "right", other=BASE_PROMPTED),
    ]
    persona, sense, *prompted = shares(choices)
    assert (persona.other, persona.share, persona.decided, persona.undecided) == (BASE, 0.75, 4, 1)
    assert (round(persona.low, 4), round(persona.high, 4)) == (0.3006, 0.9544)
    assert (sense.share, sense.decided, sense.undecided) == (0.5, 2, 3)
    assert [(share.other, share.share) for share in prompted] == [(BASE_PROMPTED, 0), (BASE_PROMPTED, 0)]
    assert shares([choice(0, "neither", "neither")]) == []


def test_a_second_thought_replaces_the_first_and_another_reader_does_not(tmp_path: Path) -> None:
    file = tmp_path / "choices.jsonl"
    save(choice(0, "left", "left"), file)
    save(choice(0, "right", "left"), file)
    every = save(choice(0, "left", "left", reader="b"), file)
    assert every == read_rows(file, Choice)
    assert [(c.reader, c.persona) for c in every] == [("a", "right"), ("b", "left")]
    assert merged(every, every) == every


def test_readers_take_choices_beside_the_ratings_that_are_there(tmp_path: Path) -> None:
    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "scripts.readers", "take", "mine.jsonl"]
        return subprocess.run(
            command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True
        )

    shutil.copytree(ROOT / "data/readers", tmp_path / "data/readers")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    given = [choice(0, "left", "right"), choice(1, "left", "right")]
    write_rows(tmp_path / "mine.jsonl", given)
    for _ in range(2):  # taken twice they count once
        done = run()
        assert done.returncode == 0, done.stderr
    with open(tmp_path / "metrics/readers.csv", encoding="utf-8") as file:
        found = {(row["system"], row["figure"]): row for row in csv.DictReader(file)}
    (figure,) = [f for f in choice_figures(given) if f.figure.startswith("taken")]
    row = found[TUNED, "taken for the persona's, beside base"]
    assert (float(row["mean"]), float(row["low"]), int(row["answers"])) == (1, figure.low, 2)
    with open(ROOT / "metrics/readers.csv", encoding="utf-8") as file:
        committed = {(row["system"], row["figure"]): row for row in csv.DictReader(file)}
    assert {key: found[key] for key in committed if "beside" not in key[1]} == {
        key: row for key, row in committed.items() if "beside" not in key[1]
    }
    (tmp_path / "mine.jsonl").write_text((tmp_path / "mine.jsonl").read_text().replace('"left"', '"middle"'))
    wrong = run()
    assert wrong.returncode == 1
    assert "mine.jsonl" in wrong.stderr
    assert "Traceback" not in wrong.stderr


@pytest.mark.parametrize("side", ["persona", "sense"])
def test_a_choice_is_one_of_three(side: str) -> None:
    with pytest.raises(ValueError, match=side):
        Choice.model_validate(choice(0, "left", "left").model_dump() | {side: "both"})
