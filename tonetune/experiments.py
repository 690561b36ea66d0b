"""DVC experiments beside the workspace: run the ones that are missing, and read what they came to."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dvc.api
from dvc.exceptions import FileMissingError
from dvc.repo import Repo
from ruamel.yaml import YAML

from tonetune.core.errors import UserError
from tonetune.core.params import load_params
from tonetune.core.persona import FOLDER
from tonetune.core.pipeline import sources
from tonetune.core.rows import AnyRow, Example, Generation, parse_lines

ROWS = "data/tuned_generations.jsonl"


def experiments() -> dict[str, str]:
    """The experiments on the current commit: name and revision."""
    with Repo() as repo:
        return {name: revision for found in repo.experiments.ls().values() for name, revision in found}


def ensure(name: str, changes: Sequence[str], stages: Sequence[str] = ()) -> bool:
    """Run the experiment with these `changes` (`key=value`) if it is not there; whether it is there now.

    It runs beside the workspace, which stays as it is: all stages, or only `stages`, in their order, over what the workspace's
    run has of the others. One that differs from the workspace in more than the changes is a `UserError`: it does not compare.
    """
    revision = experiments().get(name)
    if revision is None:
        check_tracked()
        options = [part for change in changes for part in ("-S", change)]
        only = ["--single-item", *stages] if stages else []
        command = ["dvc", "exp", "run", "--temp", "-n", name, *options, *only]
        print(f"$ {' '.join(command)}", flush=True)
        return subprocess.run(command).returncode == 0
    check_same(name, revision, changes)
    print(f"{name}: there already", flush=True)
    return True


def check_tracked() -> None:
    """A `UserError` if the persona, or other input, is no file that git knows: an experiment beside the workspace lacks it."""
    command = ["git", "ls-files", "--others", "--exclude-standard", "--", *sources()]
    untracked = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    own = str(FOLDER / f"{load_params().persona}.yaml")
    missing = [path for path in untracked if Path(path).parent != FOLDER or path == own]
    if missing:
        raise UserError(
            f"{missing[0]}{f' (and {len(missing) - 1} more)' if missing[1:] else ''}: not in git, so the experiment, which runs "
            f"beside the workspace, would lack it; `git add {missing[0]}` first"
        )


def check_same(name: str, revision: str, changes: Sequence[str]) -> None:
    """A `UserError` if the experiment differs from the workspace in more than `changes`."""
    here = changed(dvc.api.params_show(), changes)
    command = ["git", "diff", "--name-only", revision, "--", "dvc.yaml", *sources()]
    code = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    params = differences(dvc.api.params_show(rev=revision), here)
    differing = [f"{key} ({a!r}, here {b!r})" for key, a, b in params] + code
    if differing:
        raise UserError(
            f"experiment {name} exists and differs from the workspace: {', '.join(differing[:3])}.\n"
            f"`dvc exp remove {name}` or `dvc exp rename {name} <name>` makes way for a new one."
        )


def changed(values: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """The nested `values` with changes written as `section.key=value`; they are changed in place."""
    for change in changes:
        key, _, value = change.partition("=")
        *sections, name = key.split(".")
        place = values
        for section in sections:
            place = place[section]
        place[name] = YAML(typ="safe").load(value)
    return values


def differences(there: Any, here: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """The keys, dotted, whose values differ between two nested dicts."""
    if isinstance(there, dict) and isinstance(here, dict):
        names = sorted(there.keys() | here.keys())
        return [
            found
            for name in names
            for found in differences(there.get(name), here.get(name), f"{key}.{name}".lstrip("."))
        ]
    return [] if there == here else [(key, there, here)]


def answers_of(name: str, revision: str) -> list[Generation]:
    """The scored answers of the experiment's tuned model."""
    return _rows(name, revision, ROWS, Generation)


def examples_of(name: str, revision: str, split: str) -> list[Example]:
    """The rows of the experiment's data/<split>.jsonl."""
    return _rows(name, revision, f"data/{split}.jsonl", Example)


def _rows(name: str, revision: str, path: str, row: type[AnyRow]) -> list[AnyRow]:
    try:
        lines = dvc.api.read(path, rev=revision).splitlines()
    except FileMissingError:
        raise UserError(f"{name}: {path} is not in the cache; `dvc fetch --all-commits` or `dvc exp pull`") from None
    return parse_lines(lines, f"{name}: {path}", row)


def in_its_own_process(module: str, *arguments: str) -> dict[str, float]:
    """What `python -m module` prints as the last line of its output, as JSON: memory is measured best in a process of its own."""
    command = [sys.executable, "-m", module, *arguments]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])
