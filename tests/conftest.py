"""What tests share: a tiny random model with the real tokenizer, and a copy of the repo that runs on it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]  # in the order in which they can run
PARTS = (
    "stages",
    "tone",
    "measures",
    "personas",
    "data/recordings",
    "data/neutral.txt",
    "data/probes.yaml",
    "params.yaml",
    "dvc.yaml",
    ".gitignore",
    ".dvcignore",
)

# They take minutes: begun last, one worker would be left with them alone.
FIRST = tuple(
    f"test_{name}.py" for name in ("served_model", "tunings", "experiments", "systems", "pipeline", "interruptions")
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))


# The tests say the same on every machine: a GPU is hidden, but where `make test-gpu` asks for it.
if "TEST_GPU" not in os.environ:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers side by side: threads that spin while they wait for work would take the cores from each other.
    os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}


def once(tmp_path_factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]) -> Path:
    """A folder that the first of pytest's workers to need it builds, for all of them."""
    from tonetune.core.files import locked

    workers = tmp_path_factory.getbasetemp()
    folder = (workers.parent if "PYTEST_XDIST_WORKER" in os.environ else workers) / name
    built = folder.with_suffix(".built")
    with locked(folder.with_suffix(".lock")):
        if not built.exists():
            shutil.rmtree(folder, ignore_errors=True)
            build(folder)
            built.touch()
    return folder


@pytest.fixture(scope="session")
def tokenizer_folder():
    """The default base, dequantised once into the repo's own cache."""
    from tonetune.core.params import load_params
    from tonetune.model.base import base_folder

    return base_folder(load_params(ROOT / "params.yaml").base_model).resolve()


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory):
    """A folder with a random two-layer Llama and the real tokenizer."""
    return once(tmp_path_factory, "tiny_base", make_base)


def make_base(folder: Path) -> Path:
    """Write a random two-layer Llama with the default base's tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from tonetune.core.params import load_params
    from tonetune.model.base import base_folder

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,  # wide enough for the next token to depend on the whole chat
        tie_word_embeddings=True,
        eos_token_id=2,
        bos_token_id=1,
        pad_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(base_folder(load_params(ROOT / "params.yaml").base_model)).save_pretrained(folder)
    return folder


# What Python runs at its start: hosts that are looked up go into a file.
WATCH = """
import socket
lookup = socket.getaddrinfo
def noted(host, *args, **keywords):
    with open("hosts.log", "a") as file:
        print(host, file=file)
    return lookup(host, *args, **keywords)
socket.getaddrinfo = noted
"""


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
        """Run a command in the copy; its output is in the result."""
        environment = os.environ | {
            "DVC_ROOT": str(self.root),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        result = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True)
        assert not check or result.returncode == 0, result.stdout + result.stderr
        return result

    def stage(self, name, check=True):
        return self.run(sys.executable, "-m", f"stages.{name}", check=check)


def copy_repo(target: Path) -> Workspace:
    for part in PARTS:
        source, place = ROOT / part, target / part
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, place)
    return Workspace(target)


@pytest.fixture
def workspace(tmp_path):
    """A copy of the repo with its default params."""
    return copy_repo(tmp_path / "repo")


@pytest.fixture(scope="session")
def tiny_workspace(tmp_path_factory, tiny_base):
    """A copy of the repo in which every stage has run on the tiny model; tests must not change it."""

    def build(root: Path) -> None:
        space = copy_repo(root)
        make_small(space, tiny_base)
        watch = root.with_name("watch")
        watch.mkdir(exist_ok=True)
        (watch / "sitecustomize.py").write_text(WATCH)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(watch))
            for name in STAGES:
                space.stage(name)

    return Workspace(once(tmp_path_factory, "tiny_workspace", build))


def make_small(space: Workspace, base: Path) -> None:
    space.set(
        base_model=f"path:{base}",
        questions__per_prompt=20,
        split__test=0.1,
        train__epochs=1,
        train__lora__r=4,
        scorers__sentence_epochs=0.1,
        scorers__hidden_layers=1,
        base_answers__questions=4,
        base_answers__max_new_tokens=8,
        evaluate__max_new_tokens=8,
        evaluate__samples=3,
        evaluate__seeds=2,
        evaluate__prompt_questions=2,
        compute__threads=1,  # tiny: a second thread would only wait
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


@pytest.fixture(scope="session")
def tiny_repo(tiny_workspace, tmp_path_factory):
    """The tiny workspace as a repository; tests must not change it: they copy or clone it."""

    def build(root: Path) -> None:
        committed(copied(tiny_workspace, root))

    return Workspace(once(tmp_path_factory, "tiny_repo", build))


@pytest.fixture(scope="session")
def swept(tiny_repo, tmp_path_factory):
    """A copy of the tiny repository after `make sweep RANKS="4 2"`, and what that said."""
    space = copied(tiny_repo, tmp_path_factory.mktemp("swept") / "repo")
    return space, make(space, "sweep", "RANKS=4 2").stdout


def make(space: Workspace, *arguments, check=True):
    """Run make in a copy without its own .venv: this one's commands serve."""
    return space.run("make", "--no-print-directory", "-o", ".venv/ready", *arguments, check=check)


def ran(text: str) -> list[str]:
    """The stages that a dvc command ran."""
    return [line.split("'")[1] for line in text.splitlines() if line.startswith("Running stage")]


def wait_for(condition, process: subprocess.Popen | None = None, seconds: float = 300) -> None:
    """Wait until the condition holds; an AssertionError if the process ends before, or time runs out."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None
        time.sleep(0.05)


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
