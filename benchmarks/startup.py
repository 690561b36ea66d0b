"""How long each stage takes to import, and which packages weigh most; `--help` of the chat; `dvc repro` with nothing to do.

`python -m benchmarks.startup` takes about a minute and a half on 2 cores.
"""

import argparse
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tonetune.core.command import run

HEAVIEST = 5
LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s*([\w.]+)")


def seconds(*command: str) -> float:
    """The wall-clock time of running `command`."""
    start = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - start


def packages(module: str) -> list[tuple[str, float]]:
    """Seconds that importing `module` spends in each package's own modules, longest first."""
    command = [sys.executable, "-X", "importtime", "-c", f"import {module}"]
    lines = subprocess.run(command, capture_output=True, check=True, text=True).stderr
    own: Counter[str] = Counter()
    for microseconds, name in LINE.findall(lines):
        own[name.partition(".")[0]] += int(microseconds) / 1e6
    return own.most_common(HEAVIEST)


def nothing_to_do() -> bool:
    """Whether `dvc repro` would run no stage."""
    status = subprocess.run(["dvc", "status", "--json"], capture_output=True, text=True, check=True)
    return status.stdout.strip() == "{}"


def table(stages: Sequence[str]) -> dict[str, float]:
    """Print a line a stage; seconds by stage."""
    found = {}
    for stage in stages:
        heaviest = ", ".join(f"{name} {share:.1f}" for name, share in packages(f"stages.{stage}"))
        found[stage] = seconds(sys.executable, "-c", f"import stages.{stage}")
        print(f"{stage:16} {found[stage]:6.2f} s   {heaviest}", flush=True)
    return found


def measure() -> dict[str, float]:
    """Seconds by name: `startup_<stage>`, `startup_chat_help` and, if no stage has to run, `startup_repro`."""
    stages = sorted(path.stem for path in Path("stages").glob("[a-z]*.py"))
    found = {f"startup_{stage}": value for stage, value in table(stages).items()}
    found["startup_chat_help"] = seconds(sys.executable, "-m", "scripts.chat", "--help")
    print(f"{'chat --help':16} {found['startup_chat_help']:6.2f} s")
    if nothing_to_do():
        found["startup_repro"] = seconds("dvc", "repro")
        print(f"{'dvc repro':16} {found['startup_repro']:6.2f} s   with nothing to do")
    else:
        print("dvc repro        not measured: the pipeline has something to do")
    return found


def main() -> None:
    argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__.splitlines()[0]).parse_args()
    measure()


if __name__ == "__main__":
    run(main)
