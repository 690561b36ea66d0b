"""Killed, out of disk, locked out, damaged, two at once: one clear message, nothing half written, and it goes on."""

import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys

import pytest

from tests.support.kill_nine import kill_and_rerun, outputs, remove, written
from tests.support.workspace import ROOT, Workspace, copied, in_background, ran, wait_for

pytestmark = pytest.mark.slow

KILLED = {"questions": 2, "answers": 2, "split": 2, "tone_classifier": 2, "train_qlora": 2, "evaluate": 1}


@pytest.fixture
def space(tiny_workspace, tmp_path):
    return copied(tiny_workspace, tmp_path / "repo")


@pytest.fixture
def repo(tiny_repo, tmp_path):
    return copied(tiny_repo, tmp_path / "repo")


@pytest.mark.parametrize("stage", KILLED)
def test_a_stage_killed_at_any_moment_and_run_again_writes_the_same_bytes(stage, space):
    """A few moments; `python -m tests.support.kill_nine` does thirty in each stage."""
    kill_and_rerun(space, stage, KILLED[stage], random.Random(stage))  # asserts


def test_dvc_repro_killed_with_all_that_it_started_goes_on(repo):
    committed = (repo.root / "dvc.lock").read_bytes()
    remove(outputs(repo, "train_qlora"))
    shutil.rmtree(repo.root / ".dvc/cache/runs")
    shutil.rmtree(repo.root / ".cache/checkpoints")
    adapter = "models/adapter"
    entry = next(o["md5"] for o in lock(repo)["train_qlora"]["outs"] if o["path"] == adapter)
    (repo.root / ".dvc/cache/files/md5" / entry[:2] / entry[2:]).unlink()
    process = in_background(repo, "dvc", "repro")
    wait_for(lambda: any((repo.root / ".cache").glob("checkpoints/*/checkpoint-*/sealed.json")), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    said = repo.run("dvc", "repro").stdout
    assert ran(said) == ["train_qlora"]
    assert "going on from checkpoint-" in said
    assert (repo.root / "dvc.lock").read_bytes() == committed
    assert repo.run("git", "status", "--porcelain").stdout == ""


@pytest.mark.parametrize(
    ("stage", "limit"),
    [("questions", 4_000), ("tone_classifier", 4_000), ("train_qlora", 4_000), ("train_qlora", 60_000)],
)
def test_a_full_disk_is_one_message_and_no_half_written_output(stage, limit, space):
    """A limit on the size of any file the stage writes: it fails as a full disk does, at that many bytes."""
    paths = outputs(space, stage)
    whole = written(paths)
    remove(paths)
    shutil.rmtree(space.root / ".cache/checkpoints")
    result = subprocess.run(
        [sys.executable, "-m", f"stages.{stage}"],
        cwd=space.root,
        env=os.environ | {"DVC_ROOT": str(space.root)},
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert result.returncode == 1, result.stderr
    assert result.stderr.count("error: ") == 1
    assert "Traceback" not in result.stderr
    for file, content in written(paths).items():
        assert content == whole[file]
    space.stage(stage)
    assert written(paths) == whole


def test_a_cache_folder_that_cannot_be_used_is_named(space):
    shutil.rmtree(space.root / ".cache")
    (space.root / ".cache").touch()
    result = space.stage("train_qlora", check=False)
    assert result.returncode == 1
    assert re.search(r"error: \S*\.cache/\w+: cannot be created", result.stderr)  # whichever of the folders comes first
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to read-only folders")
def test_a_read_only_cache_folder_is_named(space):
    folder = space.root / ".cache/checkpoints"
    folder.chmod(0o555)
    result = space.stage("train_qlora", check=False)
    folder.chmod(0o755)
    assert result.returncode == 1
    assert "cannot be written to" in result.stderr


def test_a_damaged_base_is_made_again(tokenizer_folder, tmp_path, monkeypatch, capsys):
    from tonetune.core.params import load_params
    from tonetune.model.base import base_folder

    entry = tmp_path / ".cache/base" / tokenizer_folder.name
    shutil.copytree(tokenizer_folder, entry)
    weights = entry / "model.safetensors"
    whole = weights.read_bytes()
    os.truncate(weights, len(whole) // 2)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert base_folder(load_params(ROOT / "params.yaml").base_model) == entry
    assert "damaged or cut short; made again" in capsys.readouterr().out
    assert weights.read_bytes() == whole


def test_a_damaged_entry_of_dvcs_cache_is_named_by_verify_and_mended_by_repro(repo):
    path = repo.root / "data/answers.jsonl"
    whole = path.read_bytes()
    md5 = next(out["md5"] for out in lock(repo)["answers"]["outs"])
    entry = repo.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    entry.chmod(0o644)
    entry.write_bytes(whole[:-30])
    entry.chmod(0o444)
    path.unlink()
    repo.run("dvc", "checkout", "-q")  # DVC trusts its cache
    failed = repo.stage("split", check=False)
    assert failed.returncode == 1
    assert "data/answers.jsonl, line" in failed.stderr
    named = repo.run(sys.executable, "-m", "scripts.verify", check=False).stdout
    assert f"data/answers.jsonl (damaged: rm -rf data/answers.jsonl .dvc/cache/files/md5/{md5[:2]}/{md5[2:]}" in named
    path.unlink()
    entry.unlink()
    repo.run("dvc", "repro", "-q")
    assert path.read_bytes() == whole
    assert repo.run("git", "status", "--porcelain").stdout == ""


def test_of_two_repros_at_once_the_second_says_so(repo):
    first = in_background(repo, "dvc", "repro", "--force", "--single-item", "train_qlora")
    wait_for(lambda: not (repo.root / "models/adapter").exists(), first)
    second = repo.run("dvc", "repro", "--force", "--single-item", "train_qlora", check=False)
    assert second.returncode != 0
    assert "is busy, it is being blocked by" in second.stderr
    assert f"(PID {first.pid})" in second.stderr
    assert first.wait() == 0
    assert repo.run("git", "status", "--porcelain").stdout == ""


def lock(repo: Workspace) -> dict:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(repo.root / "dvc.lock")["stages"]
