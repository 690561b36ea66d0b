"""Every parameter that a stage reads while it runs is listed in dvc.yaml, or an edit of it would leave old results."""

import json
import sys

import pytest

from tests.support.workspace import ROOT, STAGES, copied

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_every_parameter_that_it_reads(stage, tiny_workspace, tmp_path, monkeypatch):
    space = copied(tiny_workspace, tmp_path / "repo")
    monkeypatch.setenv("PYTHONPATH", f"{space.root}:{ROOT}")
    space.run(sys.executable, "-m", "tests.support.noted_params", stage, str(tmp_path / "read.json"))
    read = json.loads((tmp_path / "read.json").read_text())
    assert read
    listed = STAGES[stage]["params"]
    unlisted = [key for key in read if not any(key == known or key.startswith(f"{known}.") for known in listed)]
    assert unlisted == []
