"""Kills each stage at random moments, reruns it, and compares what it wrote with an undisturbed run.

    python -m tests.support.kill_nine [--times 30] [--stages train_qlora evaluate]

On a tiny random model. A round removes the stage's outputs, as DVC does, starts the stage, kills its process group, looks for
half-written outputs, and runs the stage again.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

from tests.support.forks import forked
from tests.support.machine import hide_gpu
from tests.support.tiny_model import make_base
from tests.support.workspace import Workspace, copy_repo, make_small


def outputs(space: Workspace, stage: str) -> list[Path]:
    """Everything that the stage writes."""
    entry = YAML(typ="safe").load(space.root / "dvc.yaml")["stages"][stage]
    names = [
        next(iter(out)) if isinstance(out, dict) else out
        for kind in ("outs", "metrics", "plots")
        for out in entry.get(kind, [])
    ]
    return [space.root / name for name in names]


def written(paths: list[Path]) -> dict[Path, bytes]:
    """The bytes of every file under `paths`."""
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    return {file: file.read_bytes() for file in files if file.is_file()}


def remove(paths: list[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def start(space: Workspace, stage: str) -> subprocess.Popen | forked.Fork:
    """Start it as `Workspace.stage` does, whose seconds are those that it is killed in."""
    environment = os.environ | {"DVC_ROOT": str(space.root)}
    return forked.start([sys.executable, "-m", f"stages.{stage}"], space.root, environment)


def kill_and_rerun(space: Workspace, stage: str, times: int, moments: random.Random) -> float:
    """Kill the stage at so many random moments at which it runs, each time from nothing, and run it again.

    Returns the seconds that it takes. An AssertionError says what was half written or differs.
    """
    paths = outputs(space, stage)
    whole = written(paths)
    seconds = timed(space, stage)
    assert written(paths) == whole, f"{stage}: a second run wrote something else"
    killed = 0
    while killed < times:
        moment = moments.random()
        remove(paths)
        shutil.rmtree(space.root / ".cache/checkpoints", ignore_errors=True)
        process = start(space, stage)
        time.sleep(moment * seconds)
        running = process.poll() is None
        if running:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if not running:  # it was faster this time
            seconds *= 0.95
            continue
        killed += 1
        for file, content in written(paths).items():
            assert content == whole[file], f"{stage}, killed at {moment:.3f}: {file} is half written"
        space.stage(stage)
        assert written(paths) == whole, f"{stage}, killed at {moment:.3f}: the rerun wrote something else"
    return seconds


def timed(space: Workspace, stage: str) -> float:
    """How long the stage takes, from nothing."""
    shutil.rmtree(space.root / ".cache/checkpoints", ignore_errors=True)
    begun = time.monotonic()
    space.stage(stage)
    return time.monotonic() - begun


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.kill_nine", description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stages", nargs="*")
    arguments = parser.parse_args()
    hide_gpu()
    with tempfile.TemporaryDirectory() as folder:
        space = copy_repo(Path(folder) / "repo")
        make_small(space, make_base(Path(folder) / "base"))
        for stage in YAML(typ="safe").load(space.root / "dvc.yaml")["stages"]:
            space.stage(stage)
            if arguments.stages and stage not in arguments.stages:
                continue
            moments = random.Random(f"{arguments.seed}/{stage}")
            seconds = kill_and_rerun(space, stage, arguments.times, moments)
            print(f"{stage}: {arguments.times} kills in its {seconds:.1f} s; every rerun the same bytes", flush=True)


if __name__ == "__main__":
    main()
