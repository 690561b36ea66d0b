"""Copies of the repository that stages run in, and what one does with them."""

import os
import shutil
import subprocess
import sys
import time
from contextlib import chdir
from pathlib import Path

from ruamel.yaml import YAML

from tests.support.forks import forked
from tonetune.core.pipeline import sources

ROOT = Path(__file__).resolve().parents[2]
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]  # in the order in which they can run
EXCHANGES = len(YAML(typ="safe").load(ROOT / "personas/exchanges.yaml"))
"""How many exchanges every persona answers beside its questions."""

CODE = ("scripts", "stages", "tonetune")  # all of it: what a person types runs in copies too
with chdir(ROOT):
    READ = [part for part in sources() if Path(part).parts[0] not in CODE]
PARTS = (
    *CODE,
    *READ,
    "params.yaml",
    "dvc.yaml",
    "accelerate.yaml",
    "requirements-models.lock",
    ".gitignore",
    ".dvcignore",
)


class Workspace:
    """A copy of the repo with small params, on the tiny model."""

    def __init__(self, root: Path):
        self.root = root

    def set(self, **changes):
        """Change params.yaml: dots in keys are written as double underscores."""
        yaml = YAML()
        path = self.root / "params.yaml"
        params = yaml.load(path)
        for key, value in changes.items():
            *sections, name = key.split("__")
            place = params
            for section in sections:
                place = place[section]
            place[name] = value
        yaml.dump(params, path)

    def run(self, *command, check=True):
        """Run a command in the copy; its output is in the result. The project's own are forks where that does as well."""
        environment = os.environ | {
            "DVC_ROOT": str(self.root),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        if command[0] in ("dvc", "make"):
            environment = forked.for_others(environment)
        result = forked.run(command, self.root, environment)
        assert not check or result.returncode == 0, result.stdout + result.stderr
        return result

    def stage(self, name, check=True):
        return self.run(sys.executable, "-m", f"stages.{name}", check=check)


def copy_repo(target: Path) -> Workspace:
    for part in PARTS:
        source, place = ROOT / part, target / part
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            shutil.copy(source, place)
    return Workspace(target)


def make_small(space: Workspace, base: Path) -> None:
    ratings = space.root / "data/ratings/elon_musk.jsonl"
    ratings.write_text("".join(ratings.read_text().splitlines(True)[::24]))
    exchanges = space.root / "personas/exchanges.yaml"
    exchanges.write_text("- id: ".join(exchanges.read_text().split("- id: ")[: 1 + 240]))  # of many hundred
    space.set(
        base_model=f"path:{base}",
        questions__per_prompt=20,
        split__test=0.1,
        split__max_sentences=None,  # whole answers tell more to a random model
        train__epochs=1,
        train__basics_times=1,
        train__tuning="qlora",
        train__lora__r=4,
        scorers__sentence_epochs=0.1,
        scorers__hidden_layers=2,
        scorers__fluency_texts=20,
        base_answers__questions=4,
        base_answers__max_new_tokens=8,
        evaluate__max_new_tokens=8,
        evaluate__samples=3,
        evaluate__best_of=2,
        evaluate__rivals=[],
        evaluate__seeds=2,
        evaluate__prompt_questions=2,
        compute__threads=1,  # tiny: a second thread would only wait
        compute__dtype="float32",  # what is asked beside a question should not decide its answer
    )


def committed(space: Workspace) -> Workspace:
    """Make a workspace in which the stages have run a git and DVC repository, its run committed."""
    shutil.copytree(ROOT / ".dvc", space.root / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    shutil.copy(ROOT / "Makefile", space.root)
    space.run("git", "init", "-q", "-b", "main")
    as_someone(space)
    space.run("git", "add", "-A")
    space.run("git", "commit", "-qm", "start")
    space.run("dvc", "commit", "-q", "--force")
    space.run("git", "add", "-A")
    space.run("git", "commit", "-qm", "run")
    return space


def as_someone(space: Workspace) -> None:
    """Give a repository an author to commit as."""
    for key, value in (("email", "a@example.org"), ("name", "a")):
        space.run("git", "config", f"user.{key}", value)


def copied(space: Workspace, target: Path) -> Workspace:
    """A copy with everything in it, to change: what the fixtures hand out is all tests' own."""
    shutil.copytree(space.root, target, symlinks=True)
    return Workspace(target)


def cloned(space: Workspace, target: Path, source: Path | None = None) -> Workspace:
    """A fresh git clone: without outputs, cache or experiments."""
    space.run("git", "clone", "-q", str(source or space.root), str(target))
    clone = Workspace(target)
    as_someone(clone)
    return clone


def make(space: Workspace, *arguments, check=True):
    """Run make in a copy without its own .venv: this one's commands serve."""
    return space.run("make", "--no-print-directory", "-o", ".venv/ready", *arguments, check=check)


def ran(text: str) -> list[str]:
    """The stages that a dvc command ran."""
    return [line.split("'")[1] for line in text.splitlines() if line.startswith("Running stage")]


def in_background(space: Workspace, *command: str) -> subprocess.Popen:
    """Start a command in the copy, in a session of its own and silent."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.Popen(
        command,
        cwd=space.root,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for(condition, process: subprocess.Popen | None = None, seconds: float = 300) -> None:
    """Wait until the condition holds; an AssertionError if the process ends before, or time runs out."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None
        time.sleep(0.05)
