"""The ladder of bases: what the page says, and that the command runs what is missing and leaves out what cannot be had."""

import csv
import json
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from scripts.comparisons.base_answers import KeptAnswer
from scripts.comparisons.bases_page import MARKS, SCORED, SYSTEMS, Rung, conclusions, rows_of, write_section
from scripts.comparisons.compare_bases import experiment_name, means, scored, shown_answers
from tests.support.examples import example
from tests.support.workspace import ROOT, copied, make, ran
from tonetune.core.errors import UserError
from tonetune.evaluation.names import BASE_FEWSHOT, BASE_PROMPTED


def _rung(base, prompted, examples, tuned, sense=0.2):
    joints = dict(zip(SYSTEMS, (prompted, examples, tuned), strict=True))
    scores = {
        system: dict.fromkeys(SCORED, joint) | {"sense": np.full_like(joint, sense)} for system, joint in joints.items()
    }
    return Rung(base, scores, 10, 1.0, 2.0)


def test_tuned_is_set_against_the_same_base_with_examples_question_by_question():
    hard = np.linspace(0.1, 0.8, 50)
    low, high = (
        _rung("hub:a/small@1", hard, hard, hard - 0.05),
        _rung("path:/home/me/big.gguf", hard, hard, hard + 0.1, 0.6),
    )
    first, second, third = conclusions([low, high], seed=1)
    assert first == "`hub:a/small@1`, tuned less prompted with examples: joint -0.050 [-0.050, -0.050], lower."
    assert second == "`path:big.gguf`, tuned less prompted with examples: joint +0.100 [+0.100, +0.100], higher."
    assert third.startswith("`path:big.gguf` is the first whose tuned answers have a mean sense of at least 0.5")
    assert conclusions([low], seed=1)[-1].startswith("No base's tuned answers have")


def test_a_base_has_a_row_for_each_system_with_its_own_figures():
    prompted, examples, tuned = (np.linspace(0, 1, 50) * share for share in (0.2, 0.4, 0.8))
    rows = rows_of(_rung("b", prompted, examples, tuned), seed=1)
    assert [row.system for row in rows] == ["prompted", "prompted with examples", "tuned"]
    assert [row.joint for row in rows] == pytest.approx([0.1, 0.2, 0.4])
    assert all(row.joint_low < row.joint < row.joint_high for row in rows)


def test_answers_are_scored_by_one_scorer_and_those_to_other_questions_refused():
    def scorer(questions, texts):
        return dict.fromkeys(
            ("joint", "tone", "sense", "relevance", "fluency", "reported_tone"), np.full(len(texts), 0.7)
        )

    test = [example(f"q{i:03}") for i in range(2)]
    rows = [
        KeptAnswer(system=system, question_id=e.question_id, seed=seed, text=f"{system}, {seed}")
        for system in SYSTEMS
        for seed in (1, 2)
        for e in test
    ]
    found = scored(rows, test, scorer)
    assert means(found)["tuned"]["joint"].tolist() == [0.7, 0.7]
    shown = shown_answers("path:/home/me/big.gguf", found, test)
    assert len(shown) == 12
    assert shown[-1].model_dump() == {
        "base": "path:big.gguf",
        "system": "tuned",
        "question_id": "q001",
        "question": "q001",
        "seed": 2,
        "text": "tuned, 2",
        **dict.fromkeys(SCORED, 0.7),
    }
    with pytest.raises(UserError, match="base_fewshot: answers other questions"):
        scored([row for row in rows if row.system != "base_fewshot" or row.question_id == "q000"], test, scorer)


def test_the_same_base_with_other_params_is_another_experiment():
    base = "hub:Qwen/Qwen3-1.7B@0123"
    assert experiment_name(base, []) == "b-Qwen3-1-7B"
    assert experiment_name("path:x/qwen-q4_k_m.gguf", []) == "b-qwen-q4-k-m"
    assert len({experiment_name(base, changes) for changes in ([], ["train.epochs=1"], ["train.epochs=2"])}) == 3


def test_what_is_written_by_hand_stays(tmp_path):
    page = tmp_path / "bases.md"
    page.write_text(f"# Above\n{MARKS[0]}old\n{MARKS[1]}\nBelow\n")
    write_section(page, "new\n")
    write_section(page, "newer\n")
    assert page.read_text() == f"# Above\n{MARKS[0]}newer\n{MARKS[1]}\nBelow\n"
    page.write_text("# Above\n")
    with pytest.raises(UserError, match="lacks the lines"):
        write_section(page, "new\n")
    assert page.read_text() == "# Above\n"


def test_the_committed_page_can_be_written():
    text = (ROOT / "docs/bases.md").read_text()
    assert text.count(MARKS[0]) == 1
    assert MARKS[1] in text.partition(MARKS[0])[2]


@pytest.mark.slow
def test_the_ladder_runs_what_is_missing_and_leaves_out_what_cannot_be_had(tiny_repo, tiny_base, tmp_path):
    space = copied(tiny_repo, tmp_path / "repo")
    shutil.copytree(ROOT / "benchmarks", space.root / "benchmarks")  # speed and memory are measured by what they hold
    other = tmp_path / "other"
    shutil.copytree(tiny_base, other)
    weights = load_file(other / "model.safetensors")
    save_file({name: weight * 1.1 for name, weight in weights.items()}, other / "model.safetensors", {"format": "pt"})
    bases = f"BASES=path:{tiny_base} path:../other path:nowhere"

    first = make(space, "compare-bases", bases).stdout
    assert ran(first) == ["train_qlora"]  # of the other: the workspace's own run is committed
    assert "left out: 'path:nowhere': nowhere is neither" in first
    with open(space.root / "reports/bases.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["system"] for row in rows] == ["prompted", "prompted with examples", "tuned"] * 2
    own = json.loads((space.root / "metrics/evaluate.json").read_text())
    assert float(rows[2]["joint"]) == pytest.approx(own["joint"], abs=1e-4)
    prompted = json.loads((space.root / "metrics/baselines.json").read_text())
    for row, system in zip(rows[:2], (BASE_PROMPTED, BASE_FEWSHOT), strict=True):  # in the wording that the stage chose
        assert float(row["joint"]) == pytest.approx(prompted[system]["joint"], abs=1e-4)
    assert rows[2]["joint"] != rows[5]["joint"]
    page = (space.root / "docs/bases.md").read_text()
    assert page.count("| `path:") == 6
    assert "Left out: 'path:nowhere'" in page
    assert (space.root / "docs/bases.png").read_bytes().startswith(b"\x89PNG")

    # What is there is neither run nor answered again, and another answer would show.
    shown = (space.root / "reports/bases_answers.jsonl").read_text()
    assert {json.loads(line)["base"] for line in shown.splitlines()} == {f"path:{tiny_base.name}", "path:other"}
    kept = {path: path.stat().st_mtime_ns for path in (space.root / ".cache/bases").iterdir()}
    (stopped,) = (path for path in kept if path.name.startswith("b-other") and path.name.endswith("-tuned.jsonl"))
    stopped.unlink()
    assert ran(make(space, "compare-bases", bases).stdout) == []
    assert {path for path, time in kept.items() if path.stat().st_mtime_ns != time} == {stopped}
    assert (space.root / "reports/bases_answers.jsonl").read_text() == shown

    different = make(space, "compare-bases", "BASES=path:../other", "SET=split.test=0.2", check=False)
    assert "has other test questions than data/test.jsonl" in different.stderr
    none = make(space, "compare-bases", "BASES=path:nowhere", check=False)
    assert none.returncode != 0
    assert "error: no base to compare: path:nowhere" in none.stderr
    assert "Traceback" not in none.stderr
