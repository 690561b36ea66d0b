"""What runs beside the workspace, or beside .venv, and lacks something there: one line says what."""

import shutil
import subprocess
import sys

import pytest

from tests.support.workspace import ROOT
from tonetune.core.errors import UserError
from tonetune.experiments import check_tracked


def test_a_persona_that_git_does_not_know_is_named_before_an_experiment_runs(workspace, monkeypatch):
    """DVC would say that a file is missing, in a temporary folder."""
    monkeypatch.chdir(workspace.root)
    workspace.run("git", "init", "-q")
    workspace.run("git", "add", "-A")
    check_tracked()
    shutil.copy("personas/elon_musk.yaml", "personas/ada.yaml")
    check_tracked()  # not the one that is used
    workspace.set(persona="ada")
    with pytest.raises(UserError, match=r"^personas/ada\.yaml: not in git.*`git add personas/ada\.yaml` first$"):
        check_tracked()
    workspace.run("git", "add", "personas/ada.yaml")
    check_tracked()


@pytest.mark.parametrize("stage", ["questions", "train_qlora"])
def test_a_python_without_the_libraries_says_in_a_line_which_one_to_use(stage):
    """As `.venv/bin/dvc repro` starts where .venv is not activated: the first `python` on the path is the system's."""
    bare = [sys.executable, "-S", "-m", f"stages.{stage}"]
    result = subprocess.run(bare, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert "`. .venv/bin/activate`" in line
