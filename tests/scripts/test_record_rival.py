"""The recorder of rivals, and a run with what it recorded: a recorded rival says what it says when it is here."""

import json
import re
import sys

import pytest

from tests.support.html_page import Page
from tests.support.workspace import copied
from tonetune.core.files import load_yaml
from tonetune.core.rows import SCORES

pytestmark = pytest.mark.slow

ANSWERS = "data/rivals/tiny.jsonl.gz"


def record(space, model, *options, check=True):
    return space.run(sys.executable, "-m", "scripts.record_rival", model, *options, check=check)


@pytest.fixture(scope="module")
def recorded(tiny_workspace, tiny_base, tmp_path_factory):
    """The tiny workspace with the tiny base recorded, and what the recorder said."""
    space = copied(tiny_workspace, tmp_path_factory.mktemp("recorded") / "repo")
    return space, record(space, f"path:{tiny_base}", "--name", "tiny").stdout


def test_a_recorded_rival_scores_as_the_same_rival_does_that_is_here(recorded, tiny_base, tmp_path):
    space = copied(recorded[0], tmp_path / "repo")
    here = f"path:{tiny_base}"
    space.set(evaluate__rivals=["recorded:tiny", here, "recorded:none"])
    said = space.stage("baselines").stderr
    found = json.loads((space.root / "metrics/baselines.json").read_text())["rivals"]
    shared = (*SCORES, "prompt")
    for way in ("prompted", "fewshot"):
        assert found["recorded:tiny"][way] == {name: found[here][way][name] for name in shared}
    assert said.count("warning: evaluate.rivals") == 1
    assert (
        "no data/rivals/none.jsonl.gz; recorded are: recorded:qwen2.5-coder-1.5b-instruct, recorded:tiny "
        in found["recorded:none"]["error"]
    )

    space.stage("evaluate")
    report = " ".join(Page((space.root / "reports/evaluation.html").read_text()).texts)
    assert re.search(r"Recorded, not asked in this run: recorded:tiny, prompted \((\d+) of \1 questions\)", report)


def test_the_recorder_tells_what_it_recorded(recorded):
    space, said = recorded
    new, whole = map(int, re.search(r"(\d+) of (\d+) answers were new", said).groups())
    assert new == whole > 0
    header = load_yaml(space.root / "data/rivals/tiny.yaml")
    assert set(header["sha256"]) >= {"config.json", "model.safetensors"}
    (run,) = header["runs"]
    assert (run["persona"], len(run["wordings"]), len(run["examples"])) == ("elon_musk", 2, 3)
    assert run["sampling"] == {
        "temperature": 0.4,
        "top_p": 0.9,
        "max_new_tokens": 8,
        "max_sentences": 1,
        "seeds": [17, 18],
    }


def test_only_what_is_missing_is_asked(recorded, tiny_base, tmp_path):
    space = copied(recorded[0], tmp_path / "repo")
    path = space.root / ANSWERS
    before = path.read_bytes()
    again = record(space, f"path:{tiny_base}", "--name", "tiny")
    assert ": 0 of " in again.stdout
    assert "token" not in again.stderr  # nothing is generated

    # With other params their answers are added, and those that are there stay.
    space.set(evaluate__seeds=1, evaluate__prompt_questions=3)
    more = record(space, f"path:{tiny_base}", "--name", "tiny", "--together", "3").stdout
    new, whole = map(int, re.search(r"(\d+) of (\d+) answers were new", more).groups())
    assert 0 < new < whole / 2
    assert len(load_yaml(space.root / "data/rivals/tiny.yaml")["runs"]) == 2
    space.set(evaluate__seeds=2, evaluate__prompt_questions=2)
    assert ": 0 of " in record(space, f"path:{tiny_base}", "--name", "tiny").stdout
    assert path.read_bytes() != before


def test_another_models_answers_do_not_get_into_a_recording(recorded, tiny_base, tmp_path):
    space = copied(recorded[0], tmp_path / "repo")
    other = tmp_path / "other"
    other.mkdir()
    for file in tiny_base.iterdir():
        (other / file.name).write_bytes(file.read_bytes() + b" " * (file.name == "config.json"))
    before = (space.root / ANSWERS).read_bytes()
    refused = record(space, f"path:{other}", "--name", "tiny", check=False)
    assert refused.returncode == 1
    assert "data/rivals/tiny.yaml: 'tiny' is recorded from other files" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert (space.root / ANSWERS).read_bytes() == before


@pytest.mark.parametrize(
    ("model", "name", "message"),
    [
        ("path:no/such", "tiny", "model: 'path:no/such'"),
        ("endpoint:gpt", "tiny", "model: 'endpoint:gpt' must be"),
        (None, "../tiny", "a name has letters"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(tiny_workspace, tiny_base, model, name, message):
    refused = record(tiny_workspace, model or f"path:{tiny_base}", "--name", name, check=False)
    assert refused.returncode == 1
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
    assert [path.name for path in (tiny_workspace.root / "data/rivals").iterdir() if "tiny" in path.name] == []
