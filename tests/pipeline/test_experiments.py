"""Sweeps, queued runs, and what one does with experiments: compare, apply, branch."""

import csv
import json
import os
import shutil
import signal
import time

import dvc.api
import psutil
import pytest

from scripts.verify import compare_runs
from tests.support.workspace import Workspace, copied, in_background, make, ran, wait_for

pytestmark = pytest.mark.slow


def test_a_sweep_runs_what_is_missing_and_leaves_the_workspace_alone(swept, tmp_path):
    space, said = copied(swept[0], tmp_path / "repo"), swept[1]
    assert ran(said) == ["train_qlora", "evaluate"]  # of rank 2; rank 4 is the committed run
    assert space.run("git", "status", "--porcelain").stdout == ""
    again = make(space, "sweep", "RANKS=2 4").stdout
    assert ran(again) == []
    assert again.count("there already") == 2


def test_a_sweep_ends_with_a_table_by_joint_and_a_picture(swept):
    space, said = swept
    with open(space.root / "reports/sweep.csv", encoding="utf-8") as file:
        rows = {
            int(row["rank"]): {k: float(v) for k, v in row.items() if k != "experiment"} for row in csv.DictReader(file)
        }
    assert set(rows) == {2, 4}
    joints = [row["joint"] for row in rows.values()]
    assert joints == sorted(joints, reverse=True)
    committed = json.loads((space.root / "metrics/evaluate.json").read_text())
    assert rows[4]["joint"] == pytest.approx(committed["joint"], abs=1e-5)
    assert rows[4]["perplexity"] == pytest.approx(committed["perplexity_persona"], rel=1e-5)
    for row in rows.values():
        assert row["perplexity_low"] < row["perplexity"] < row["perplexity_high"]
        assert row["joint_low"] <= row["joint"] <= row["joint_high"]
    assert rows[4]["trainable_parameters"] == 2 * rows[2]["trainable_parameters"]
    assert "joint" in said
    assert (space.root / "reports/sweep.png").read_bytes().startswith(b"\x89PNG")


def test_an_experiment_with_other_params_is_not_taken_for_the_sweeps(swept, tmp_path):
    space = copied(swept[0], tmp_path / "repo")
    space.set(train__learning_rate=0.002)
    result = make(space, "sweep", "RANKS=2", check=False)
    assert result.returncode != 0
    assert (
        "experiment r2 exists and differs from the workspace: train.learning_rate (None, here 0.002)" in result.stderr
    )


def test_experiments_are_shown_by_joint_compared_applied_and_made_a_branch(swept, tmp_path):
    space = copied(swept[0], tmp_path / "repo")
    sort = ("--sort-by", "metrics/evaluate.json:joint", "--sort-order", "desc")
    shown = list(csv.DictReader(space.run("dvc", "exp", "show", "--csv", *sort).stdout.splitlines()))
    joints = [float(row["joint"]) for row in shown if row["Experiment"] in ("r2", "r4")]
    assert len(joints) == 2
    assert joints == sorted(joints, reverse=True)
    diff = json.loads(space.run("dvc", "exp", "diff", "r4", "r2", "--json").stdout)
    assert (
        diff["params"]["params.yaml"]["train.lora.r"]["old"],
        diff["params"]["params.yaml"]["train.lora.r"]["new"],
    ) == (4, 2)
    space.run("dvc", "exp", "apply", "r2")
    assert json.loads((space.root / "models/adapter/adapter_config.json").read_text())["r"] == 2
    assert "up to date" in space.run("dvc", "status").stdout
    space.run("dvc", "exp", "branch", "r2", "rank-2")
    assert "r: 2" in space.run("git", "show", "rank-2:params.yaml").stdout


def test_two_queued_runs_side_by_side_run_the_snapshots_code_and_do_not_disturb_each_other(
    tiny_repo, tiny_workspace, tmp_path
):
    """Both train the same adapter at once, the worst case for what they share; the workspace's code breaks meanwhile."""
    space = copied(tiny_repo, tmp_path / "repo")
    shutil.rmtree(space.root / ".cache/checkpoints")
    module = space.root / "tonetune/adapter.py"
    kept = module.read_text()
    module.write_text(kept.replace("card or short", '(card or short).replace("\\n# ", "\\n# snapshot of ")'))
    for name, temperature in (("cool", 0.5), ("warm", 0.9)):
        space.run("dvc", "exp", "run", "--queue", "-n", name, "-S", f"evaluate.temperature={temperature}")
    module.write_text("raise RuntimeError('the workspace, not the snapshot')\n")
    space.run("dvc", "queue", "start", "-j", "2")
    status = worked_off(space)
    assert status.count("Success") == 2, status + space.run("dvc", "queue", "logs", "cool", check=False).stdout

    undisturbed = (tiny_workspace.root / "models/adapter/adapter_model.safetensors").read_bytes()
    for name in ("cool", "warm"):
        read = {"repo": str(space.root), "rev": name}
        assert "# snapshot of" in dvc.api.read("models/adapter/README.md", **read)
        assert dvc.api.read("models/adapter/adapter_model.safetensors", mode="rb", **read) == undisturbed
    assert "snapshot" not in (space.root / "models/adapter/README.md").read_text()


def test_a_run_whose_queue_worker_was_killed_is_queued_again_and_goes_on(tiny_repo, tiny_workspace, tmp_path):
    space = copied(tiny_repo, tmp_path / "repo")
    shutil.rmtree(space.root / ".cache/checkpoints")
    queued = ("dvc", "exp", "run", "--queue", "-n", "r2", "-S", "train.lora.r=2", "-S", "train.epochs=3")
    space.run(*queued)
    in_background(space, "dvc", "queue", "start").wait()  # the worker would keep a pipe open as long as it lives
    wait_for(lambda: any((space.root / ".cache").glob("checkpoints/*/checkpoint-*/sealed.json")))
    processes = [process.info for process in psutil.process_iter(["pid", "cmdline", "cwd"])]
    (worker,) = (p["pid"] for p in processes if p["cwd"] == str(space.root) and "queue-worker" in (p["cmdline"] or []))
    os.killpg(os.getpgid(worker), signal.SIGKILL)  # with the run and the stage that it had started

    status = space.run("dvc", "queue", "status").stdout
    assert "Running" in status
    assert "0 active, 0 idle" in status
    assert space.run("git", "status", "--porcelain").stdout == ""
    assert "up to date" in space.run("dvc", "status").stdout
    assert "r2" not in space.run("dvc", "exp", "list").stdout

    # As docs/experiments.md has it.
    space.run("dvc", "queue", "kill", "r2")
    assert "Failed" in space.run("dvc", "queue", "status").stdout
    space.run("dvc", "queue", "remove", "r2")
    space.run(*queued)
    space.run("dvc", "queue", "start")
    log = worked_off(space) + space.run("dvc", "queue", "logs", "r2").stdout
    assert "Success" in log
    assert "going on from checkpoint-" in log
    undisturbed = copied(tiny_workspace, tmp_path / "undisturbed")
    shutil.rmtree(undisturbed.root / ".cache/checkpoints")
    undisturbed.set(train__lora__r=2, train__epochs=3)
    undisturbed.stage("train_qlora")
    weights = "models/adapter/adapter_model.safetensors"
    assert dvc.api.read(weights, repo=str(space.root), rev="r2", mode="rb") == (undisturbed.root / weights).read_bytes()


def worked_off(space: Workspace) -> str:
    """What `dvc queue status` says when no run is queued or running any more."""
    deadline = time.monotonic() + 900
    while "Running" in (status := space.run("dvc", "queue", "status").stdout) or "Queued" in status:
        assert time.monotonic() < deadline, status
        time.sleep(2)
    return status


def test_verify_tells_equal_near_and_far_metrics(tiny_repo, tmp_path):
    space = copied(tiny_repo, tmp_path / "repo")
    said = make(space, "verify").stdout
    assert "0 differ within the tolerance, 0 beyond it; 0 outputs have other bytes" in said
    path = space.root / "metrics/evaluate.json"
    metrics = json.loads(path.read_text())
    metrics["perplexity_persona"] *= 1.01
    metrics["tone"] += 0.3
    path.write_text(json.dumps(metrics))
    adapter = space.root / "models/adapter/adapter_model.safetensors"
    adapter.write_bytes(adapter.read_bytes()[:-1])
    result = make(space, "verify", check=False)
    assert result.returncode != 0
    assert "within the tolerance" in next(line for line in result.stdout.splitlines() if "perplexity_persona" in line)
    assert "BEYOND" in next(line for line in result.stdout.splitlines() if "evaluate.json:tone" in line)
    assert "dvc.lock: models/adapter" in result.stdout


def test_a_metric_on_one_side_only_is_beyond_any_tolerance():
    (difference,) = compare_runs({"evaluate.json:joint": 0.5}, {})
    assert not difference.within
