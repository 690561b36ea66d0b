"""What dvc.yaml says of a stage: the one list of what it depends on and which parameters it reads."""

from dataclasses import dataclass
from pathlib import Path

from tonetune.core.files import load_yaml

PATH = Path("dvc.yaml")
WRITTEN = ("outs", "metrics", "plots")


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml."""

    deps: list[str]
    """Files and folders, with `${persona}` as it is written there."""
    params: list[str]
    """Keys of params.yaml, dotted; a section stands for all keys in it."""

    @property
    def code(self) -> list[Path]:
        """Every file of code that it depends on: its own recipe, and what lies in its rooms."""
        listed = [Path(dep) for dep in self.deps if Path(dep).parts[0] in ("stages", "tonetune", "measures")]
        files = [file for path in listed for file in (path.rglob("*") if path.is_dir() else [path])]
        return sorted(file for file in files if file.is_file() and "__pycache__" not in file.parts)


def stage(name: str) -> Stage:
    """The stage's dependencies and parameters, as dvc.yaml lists them."""
    listed = load_yaml(PATH)["stages"][name]
    return Stage(list(listed["deps"]), list(listed["params"]))


def sources() -> list[str]:
    """What the stages depend on and no stage writes: code, recordings, personas. `${...}` stands for its whole folder."""
    stages = load_yaml(PATH)["stages"].values()
    written = [
        next(iter(out)) if isinstance(out, dict) else out for s in stages for kind in WRITTEN for out in s.get(kind, [])
    ]
    needed = {str(Path(dep).parent) if "$" in dep else dep for s in stages for dep in s["deps"]}
    return sorted(needed - {*written, "."})
