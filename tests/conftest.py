"""What tests share: a tiny random model with the real tokenizer, and copies of the repo that run on it."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.forks.forked import keep_environment
from tests.support.machine import hide_gpu
from tests.support.tiny_model import make_base
from tests.support.workspace import ROOT, STAGES, Workspace, committed, copied, copy_repo, make, make_small

hide_gpu()

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Begun by a shell in the background, Python and its children would not hear Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers side by side: threads that spin while they wait for work would take the cores from each other.
    os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
keep_environment()


MODELS = {"tiny_base", "tokenizer_folder"}  # every fixture with a model asks for one of them


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="leave out what takes minutes and what needs a model")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes minutes: begun last, one worker would be left with it alone."""
    if config.getoption("quick"):
        long = {item for item in items if item.get_closest_marker("slow") or MODELS & set(item.fixturenames)}
        config.hook.pytest_deselected(items=list(long))
        items[:] = [item for item in items if item not in long]
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


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


@pytest.fixture(scope="module")
def tokenizer(tiny_base):
    """The tiny model's."""
    from tonetune.model.base import load_tokenizer

    return load_tokenizer(f"path:{tiny_base}")


@pytest.fixture(scope="module")
def tiny(tiny_base, tokenizer):
    """The tiny model in float32, and its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32).eval(), tokenizer


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


@pytest.fixture(scope="session")
def tiny_repo(tiny_workspace, tmp_path_factory):
    """The tiny workspace as a repository; tests must not change it: they copy or clone it."""

    def build(root: Path) -> None:
        committed(copied(tiny_workspace, root))

    return Workspace(once(tmp_path_factory, "tiny_repo", build))


@pytest.fixture(scope="session")
def swept(tiny_repo, tmp_path_factory):
    """A copy of the tiny repository after `make sweep RANKS="4 2"`, and what that said; tests must not change it."""

    def build(root: Path) -> None:
        said = make(copied(tiny_repo, root), "sweep", "RANKS=4 2").stdout
        root.with_suffix(".txt").write_text(said, encoding="utf-8")

    root = once(tmp_path_factory, "swept", build)
    return Workspace(root), root.with_suffix(".txt").read_text(encoding="utf-8")
