"""The DAG: what it depends on, what an edit reruns, and that it writes the same bytes twice."""

import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.workspace import ROOT, STAGES, cloned, copied, ran

pytestmark = pytest.mark.slow

DATA_STAGES = ("questions", "answers", "split", "tone_classifier")


def test_no_stage_of_the_default_looks_for_a_host(tiny_workspace):
    """Nor tells anybody of what it loads: where there is no network, it would wait for the lookup."""
    log = tiny_workspace.root / "hosts.log"
    assert not log.exists(), log.read_text()


@pytest.mark.parametrize("stage", DATA_STAGES)
def test_data_stages_import_no_torch(stage, tiny_workspace, tmp_path):
    code = (
        f"import runpy, sys; runpy.run_module('stages.{stage}', run_name='__main__'); sys.exit('torch' in sys.modules)"
    )
    space = copied(tiny_workspace, tmp_path / "repo")
    assert space.run(sys.executable, "-c", code, check=False).returncode == 0


@pytest.mark.parametrize("stage", ["train_qlora", "evaluate"])
def test_a_stage_starts_without_torchs_compiler(stage):
    code = f"import sys, stages.{stage}; print({{'bitsandbytes', 'torch._inductor.compile_fx'}} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == "{'bitsandbytes'}"


def test_every_output_is_ignored_by_git_and_every_metric_is_not():
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    for stage in STAGES.values():
        for out in stage.get("outs", []):
            assert f"/{out}" in ignored
        for kept in [*stage.get("metrics", []), *stage.get("plots", [])]:
            ((name, options),) = kept.items()
            assert options["cache"] is False
            assert f"/{name}" not in ignored


def test_how_answers_are_sampled_touches_nothing_that_is_trained_or_fitted():
    read = {stage for stage, spec in STAGES.items() if any(str(key).startswith("evaluate") for key in spec["params"])}
    # Preflight only asks whether who is to be asked is there; split only warns of answers that are longer than may be answered.
    assert read == {"preflight", "baselines", "evaluate", "split"}


def digests(root: Path) -> dict[str, str]:
    """The hash of every output, metric and plot."""
    files = [
        p for folder in ("data", "models", "metrics", "reports") for p in (root / folder).rglob("*") if p.is_file()
    ]
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in files
        if "recordings" not in p.parts
    }


@pytest.fixture(scope="module")
def repo(tiny_repo, tmp_path_factory):
    """A fresh clone of the tiny repository, in which DVC has run every stage anew."""
    space = cloned(tiny_repo, tmp_path_factory.mktemp("fresh") / "repo")
    said = space.run("dvc", "repro").stdout
    # What writes metrics alone has nothing to do where git brought them and its inputs come out the same.
    assert sorted(ran(said)) == sorted(name for name, spec in STAGES.items() if "outs" in spec)
    return space


def test_two_runs_write_the_same_bytes_which_are_those_of_the_committed_lock(repo, tiny_workspace):
    assert digests(repo.root) == digests(tiny_workspace.root)
    assert repo.run("git", "status", "--porcelain").stdout == ""


def test_a_second_repro_runs_no_stage_and_the_status_is_clean(repo):
    assert ran(repo.run("dvc", "repro").stdout) == []
    assert "up to date" in repo.run("dvc", "status").stdout
    assert repo.run("git", "status", "--porcelain").stdout == ""


def check_lock():
    """The program that CI runs, as a module."""
    spec = importlib.util.spec_from_file_location("check_lock", ROOT / ".ci/check_lock.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_code_or_metrics_without_their_run_are_stale(tiny_repo, tmp_path, monkeypatch):
    """What CI asks of a commit, in a clone without outputs."""
    stale_stages = check_lock().stale_stages
    space = cloned(tiny_repo, tmp_path / "repo")
    monkeypatch.chdir(space.root)
    assert stale_stages() == []
    module = space.root / "tonetune/report/judge.py"
    module.write_text(module.read_text() + "\n# edited\n")
    assert stale_stages() == ["evaluate"]
    space.run("git", "checkout", "-q", ".")
    metrics = space.root / "metrics/train.json"
    metrics.write_text(metrics.read_text().replace("validation_loss", "loss"))
    assert stale_stages() == ["train_qlora"]


def test_an_edit_reruns_what_it_touches_and_nothing_else(repo):
    rank = repo.run("dvc", "exp", "run", "-n", "r2", "-S", "train.lora.r=2", "-S", "train.learning_rate=1e-5")
    assert ran(rank.stdout) == ["train_qlora", "evaluate"]
    table = repo.run("dvc", "exp", "show", "--only-changed", "--csv").stdout
    assert "train.lora.r" in table
    assert "perplexity_persona" in table
    changed = json.loads(repo.run("dvc", "params", "diff", "HEAD", "--json").stdout)["params.yaml"]
    assert (changed["train.lora.r"]["old"], changed["train.lora.r"]["new"]) == (4, 2)
    assert changed["train.learning_rate"]["new"] == pytest.approx(1e-5)
    diff = json.loads(repo.run("dvc", "metrics", "diff", "HEAD", "r2", "--json").stdout)
    assert "metrics/train.json" in diff["diff"] if "diff" in diff else "metrics/train.json" in diff
    assert "metrics/loss.csv" in repo.run("dvc", "plots", "diff", "HEAD", "r2", "--json").stdout
    split = repo.run("dvc", "repro", "--dry", "-f", "split", "--downstream").stdout
    planned = {line.split("'")[1] for line in split.splitlines() if "Running stage" in line}
    assert planned == set(STAGES) - {"preflight", "questions", "answers", "rated_answers"}
    repo.run("git", "checkout", "-q", ".")
    repo.run("dvc", "checkout", "-q")


def test_an_edit_of_the_persona_fails_in_replay_with_one_message_and_the_old_outputs_come_back(repo):
    persona = repo.root / "personas/elon_musk.yaml"
    persona.write_text(persona.read_text().replace("A blunt verdict", "A quiet verdict"))
    result = repo.run("dvc", "repro", check=False)
    assert result.returncode != 0
    assert ran(result.stdout) == ["questions", "answers"]
    assert result.stderr.count("error: ") == 1
    assert "teacher.mode: live" in result.stderr
    repo.run("git", "checkout", "-q", ".")
    repo.run("dvc", "checkout", "-q")
    assert "up to date" in repo.run("dvc", "status").stdout
