"""Help of whatever a person calls: at once, wherever one is, and without doing what it would do."""

import ast
import os
import subprocess
import sys

import pytest

from tests.support.workspace import ROOT

UNLOADED = ("torch", "transformers", "datasets")
"""They take from seconds to half a minute to load on a busy machine: help must not wait for them."""


def is_called(path):
    """Whether a module has a `main`, or does something when it is run."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    has_main = any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body)
    return has_main or any(isinstance(node, ast.If) and "__main__" in ast.unparse(node.test) for node in tree.body)


def modules():
    paths = [path for folder in ("scripts", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths if is_called(path)]


@pytest.mark.parametrize("module", [name.removesuffix(".__main__") for name in modules()])
def test_help_is_shown_before_anything_is_loaded_or_done(module, tmp_path):
    stand_ins, here = tmp_path / "stand-ins", tmp_path / "here"
    stand_ins.mkdir()
    here.mkdir()
    for name in UNLOADED:
        (stand_ins / f"{name}.py").write_text(f"raise SystemExit('{name} is loaded')\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (stand_ins, ROOT))), "DVC_ROOT": str(here)}
    shown = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=here, env=environment, capture_output=True, text=True
    )
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith(f"usage: python -m {module} ")
    assert not list(here.iterdir())
