"""The notebook's cells, run in their order in a fresh clone: they reproduce and show the run."""

import json
import os
import subprocess
import sys

import pytest

from tests.support.workspace import ROOT

NOTEBOOK = ROOT / "docs/tonetune.ipynb"


def code_cells() -> list[str]:
    """The code of each cell."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_it_is_committed_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


def test_without_an_address_it_says_what_to_set(tmp_path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "TONETUNE_REPOSITORY"}
    done = subprocess.run(
        [sys.executable, "-c", code_cells()[0]], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == "set TONETUNE_REPOSITORY to the address to clone from, or open this notebook inside a clone\n"
    assert list(tmp_path.iterdir()) == []


def test_inside_a_clone_it_works_there_and_a_clone_of_its_own_is_found_again(tmp_path) -> None:
    """Run where a clone is, in a folder of it, and beside one: no address is needed, and none is asked."""
    clone = tmp_path / "tonetune"
    (clone / "docs").mkdir(parents=True)
    (clone / "dvc.yaml").touch()
    environment = os.environ | {"TONETUNE_REPOSITORY": "file:///nowhere"}
    for folder in (clone, clone / "docs", tmp_path):
        command = [sys.executable, "-c", code_cells()[0]]
        said = subprocess.check_output(command, cwd=folder, env=environment, text=True)
        assert said == f"in {clone}\n"


# Cell by cell as a notebook does; between the first and the second, what is no part of a test: an environment that takes minutes to build.
DRIVER = """
import json, shutil, sys
from pathlib import Path
cells, root, cache = json.loads(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
names = {"__name__": "__main__"}
exec(cells[0], names)
# make takes .venv for ready if it is newer than the locks.
for lock in ("requirements.lock", "requirements-models.lock"):
    shutil.copy(root / lock, ".")
Path(".venv").mkdir()
for part in Path(sys.prefix).iterdir():
    if part.name != "ready":
        Path(".venv", part.name).symlink_to(part)
Path(".venv/ready").touch()
# DVC finds the runs' outputs in the cache of the repository that was cloned.
Path(".dvc/config.local").write_text(f"[cache]\\n    dir = {cache}\\n")
for cell in cells[1:]:
    exec(cell, names)
"""


@pytest.mark.slow
def test_it_clones_from_the_address_and_its_cells_run_in_their_order(tiny_repo, tmp_path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "MAKEFLAGS"} | {
        "TONETUNE_REPOSITORY": f"file://{tiny_repo.root}",
        "DVC_ROOT": str(tmp_path / "tonetune"),
        "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
    }
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(code_cells()), str(ROOT), f"{tiny_repo.root}/.dvc/cache"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"in {tmp_path / 'tonetune'}" in done.stdout
    heads = [
        subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=at) for at in (tiny_repo.root, tmp_path / "tonetune")
    ]
    assert heads[0] == heads[1]
    tuned = [line for line in done.stdout.splitlines() if line.startswith("tuned ") and "joint" in line]
    assert len(tuned) == 1
    assert "AI imitation" in done.stdout
