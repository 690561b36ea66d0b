"""What runs in a fork of a process with the libraries is as what runs in a process of its own."""

import subprocess
import sys

import pytest

from tests.support.workspace import PRELOADED, Workspace

pytestmark = pytest.mark.slow

SAYS = """
import os, sys
from tonetune.said import SAID
print(SAID, __name__, sys.argv[1:], os.getcwd(), sys.path[0], os.environ["DVC_ROOT"])
print("beside", file=sys.stderr)
os.environ["DVC_ROOT"] = "changed"
import tonetune
tonetune.changed = True
"""
ENDS = {
    "of itself": "",
    "with a status": "sys.exit(3)",
    "with a message": "sys.exit('error: no')",
    "killed": "os.kill(os.getpid(), 9)",
}


@pytest.mark.parametrize("end", ENDS)
def test_it_says_and_ends_as_a_process_of_its_own_does(end, tmp_path):
    (tmp_path / "tonetune").mkdir()
    (tmp_path / "tonetune/said.py").write_text("SAID = 'of the folder'")
    (tmp_path / "says.py").write_text(SAYS + ENDS[end])
    space = Workspace(tmp_path)
    environment = space.environment()
    assert PRELOADED.serves(environment)
    command = [sys.executable, "-m", "says", "one", "two words"]
    alone = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    for _ in range(2):
        forked = PRELOADED.run("says", "one", "two words", cwd=tmp_path, environment=environment)
        assert (forked.returncode, forked.stdout, forked.stderr) == (alone.returncode, alone.stdout, alone.stderr)


def test_another_environment_is_not_served(workspace, monkeypatch):
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "debug")
    assert not PRELOADED.serves(workspace.environment())
    monkeypatch.undo()
    assert PRELOADED.serves(workspace.environment())
    monkeypatch.delenv("HOME")
    assert not PRELOADED.serves(workspace.environment())
