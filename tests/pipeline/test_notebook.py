"""The notebook's cells, run in their order in a fresh clone: they reproduce and show the run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.workspace import ROOT, cloned

NOTEBOOK = ROOT / "docs/tonetune.ipynb"


def script() -> str:
    """The code of all cells."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")


def test_it_is_committed_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


def test_without_an_address_it_says_what_to_set(tmp_path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "TONETUNE_REPOSITORY"}
    done = subprocess.run(
        [sys.executable, "-c", script()], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == "set TONETUNE_REPOSITORY to the address to clone from, or open this notebook inside a clone\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_its_cells_run_in_their_order_inside_a_clone(tiny_repo, tmp_path) -> None:
    space = cloned(tiny_repo, tmp_path / "clone")
    # Its .venv is this one, and ready: make takes no word of that from its environment.
    for lock in ("requirements.lock", "requirements-models.lock"):
        shutil.copy(ROOT / lock, space.root)
    (space.root / ".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        if part.name != "ready":
            (space.root / ".venv" / part.name).symlink_to(part)
    (space.root / ".venv/ready").touch()
    # DVC finds the runs' outputs in the cache of the repository that was cloned.
    (space.root / ".dvc/config.local").write_text(f"[cache]\n    dir = {tiny_repo.root}/.dvc/cache\n")
    environment = {key: value for key, value in os.environ.items() if key != "MAKEFLAGS"} | {
        "DVC_ROOT": str(space.root),
        "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
    }
    done = subprocess.run(
        [sys.executable, "-c", script()],
        cwd=space.root / "docs" if (space.root / "docs").exists() else space.root,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"in {space.root}" in done.stdout
    tuned = [line for line in done.stdout.splitlines() if line.startswith("tuned ") and "joint" in line]
    assert len(tuned) == 1
    assert "AI imitation" in done.stdout
