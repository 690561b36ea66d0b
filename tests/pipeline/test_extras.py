"""The way out that messages name, `.venv/bin/pip install '.[...]'`, is one."""

import re
import shutil
import subprocess
import sys
import tomllib

import pytest

from tests.support.workspace import ROOT

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def test_every_extra_that_is_named_somewhere_is_there():
    files = [
        *ROOT.glob("docs/*.md"),
        ROOT / "README.md",
        *(p for room in ("tonetune", "scripts", "stages") for p in (ROOT / room).rglob("*.py")),
    ]
    named = {name for path in files for name in re.findall(r"install '\.\[(\w+)\]'", path.read_text(encoding="utf-8"))}
    assert {"live", "llamacpp", "serving"} <= named <= set(EXTRAS)


def test_an_extra_can_be_installed_and_brings_nothing_of_the_repository(tmp_path):
    pytest.importorskip("setuptools", reason="without a network pip builds with the one that is here")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    for folder in ("tonetune", "stages", "data"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        "wheels",
        ".[live]",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "wheels").glob("tonetune-*.whl")
    shutil.unpack_archive(wheel, tmp_path / "unpacked", "zip")
    assert {path.name.split("-")[1] for path in (tmp_path / "unpacked").iterdir()} == {"0.1.0.dist"}
