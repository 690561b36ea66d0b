"""The plan of the house: who may import whom, and which rooms stay light."""

import ast
import re
import subprocess
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.workspace import ROOT, STAGES

LAYERS = (
    {"core"},
    {"teacher.endpoint"},
    {"data", "teacher"},
    {"imports"},
    {"model.kernels"},
    {"model"},
    {"adapter", "experiments"},
    {"merged"},
    {"generation", "training"},
    {"scoring"},
    {"conversation"},
    {"evaluation"},
    {"drafting"},
    {"report"},
    {"export"},
    {"page"},
)
INNER = ("teacher.endpoint", "model.kernels")
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
MODULES = sorted((ROOT / "tonetune").rglob("*.py"))


def room_of(module: str) -> str:
    """The room of a dotted name within tonetune, or the file in the hall."""
    parts = module.split(".")[1:]
    inner = ".".join(parts[:2])
    return inner if inner in INNER else parts[0] if parts else ""


def names(path: Path) -> list[str]:
    """The dotted names that a file imports, wherever in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def module_files(name: str) -> set[Path]:
    """The file of a dotted name of this repository, if it is one."""
    place = ROOT / name.replace(".", "/")
    return {file for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists()}


def has_code(path: Path) -> bool:
    """Whether a module holds more than its sign."""
    return any(not isinstance(node, ast.Expr) for node in ast.parse(path.read_text()).body)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_rooms_below_it(path):
    own = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for name in names(path):
        top = name.split(".")[0]
        assert top not in ("stages", "scripts", "benchmarks", "tests"), name
        if top == "tonetune" and (other := room_of(name)) and other != own:
            assert LEVEL[other] < LEVEL[own], f"{own} imports {name}"


def test_nothing_imports_in_a_circle():
    """Nor within a function: a module that needs one which needs it has a part that both should import."""
    files = [path for part in ("tonetune", "scripts", "stages", "benchmarks") for path in (ROOT / part).rglob("*.py")]
    needed = {path: {file for name in names(path) for file in module_files(name)} - {path} for path in files}
    try:
        TopologicalSorter(needed).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(str(path.relative_to(ROOT)) for path in error.args[1]))


def test_readme_and_the_plan_of_the_house_have_every_room_in_the_order_of_the_layers():
    rooms = {path.name for path in (ROOT / "tonetune").iterdir() if (path / "__init__.py").exists()}
    listed = re.findall(r"^tonetune/(\w+) ", (ROOT / "README.md").read_text(), re.MULTILINE)
    plan = ast.get_docstring(ast.parse((ROOT / "tonetune/__init__.py").read_text())) or ""
    lines = [
        line[4:42].split() for line in plan.splitlines() if line.startswith("    ")
    ]  # the rooms, then what they do
    planned = [name.removesuffix(".py").replace("/", ".") for line in lines[1:] for name in line]
    assert set(listed) == rooms
    assert [LEVEL[room] for room in listed] == sorted(LEVEL[room] for room in listed)
    assert set(planned) == LEVEL.keys()
    assert [LEVEL[room] for room in planned] == sorted((LEVEL[room] for room in planned), reverse=True)


@pytest.mark.parametrize("room", ["core", "data", "teacher", "imports"])
def test_a_light_room_imports_neither_torch_nor_scikit_learn(room):
    modules = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in (ROOT / "tonetune" / room).rglob("*.py")]
    code = f"import importlib, sys; [importlib.import_module(m) for m in {modules}]; print({{'torch', 'sklearn'}} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == "set()"


def test_a_sweep_reads_rows_without_torch():
    code = "import sys, scripts.comparisons.sweep; print({'torch', 'sklearn'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == "set()"


def reached(stage: str) -> set[Path]:
    """Every file of this repository that a stage's recipe, and the metric modules it loads, lead to."""
    waiting = {ROOT / "stages" / f"{stage}.py"}
    if "measures" in STAGES[stage]["deps"]:
        waiting |= set((ROOT / "measures").glob("*/*.py"))
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        found.add(path)
        waiting |= {file for name in names(path) for file in module_files(name)} - found
    return {path for path in found if has_code(path)}


@pytest.mark.parametrize("stage", STAGES)
def test_what_a_stage_runs_lies_under_what_it_lists_and_nothing_is_listed_in_vain(stage):
    listed = [ROOT / dep for dep in STAGES[stage]["deps"] if dep.split("/")[0] in ("stages", "tonetune", "measures")]
    run = reached(stage)
    assert [path for path in run if not any(path.is_relative_to(dep) for dep in listed)] == []
    assert [dep for dep in listed if not any(path.is_relative_to(dep) for path in run)] == []


def test_dvc_yaml_fits_on_a_few_screens():
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) <= 350


def test_no_file_is_long_and_no_folder_crowded():
    files = [
        path
        for part in ("tonetune", "stages", "scripts", "benchmarks", "tests")
        for path in (ROOT / part).rglob("*.py")
    ]
    assert {str(path) for path in files if len(path.read_text().splitlines()) > 300} == set()
    modules = Counter(path.parent for path in files)
    assert {str(folder) for folder, count in modules.items() if count > 16} == set()
