"""Forks that stand for fresh processes in other tests: they end, and hear, as those do."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.forks import forked
from tests.support.workspace import wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every process is a fresh one")

STAGE = """
import os, signal, sys, time
from pathlib import Path
print(__name__, __spec__.name, sys.argv, os.getcwd(), sys.path[0], os.environ["DVC_ROOT"], sys.stdin.read())
print({"tonetune", "tests"} & {name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
os.system("echo from below")
end = sys.argv[1]
if end == "code":
    sys.exit(3)
if end == "message":
    sys.exit("no")
if end == "error":
    raise ValueError("wrong")
if end == "interrupt":
    os.kill(os.getpid(), signal.SIGINT)
if end == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if end == "wait":
    Path("waits").write_text(str(os.getpid()))
    time.sleep(600)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/__init__.py").touch()
    (tmp_path / "stages/odd.py").write_text(STAGE)
    return tmp_path


@pytest.fixture
def environment(place: Path) -> dict[str, str]:
    return os.environ | {"DVC_ROOT": str(place), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def waits(place: Path) -> int | None:
    """The id of the process that waits."""
    try:
        return int((place / "waits").read_text())
    except (OSError, ValueError):
        return None


@pytest.mark.parametrize("end", ["well", "code", "message", "error", "interrupt", "kill"])
def test_a_fork_says_what_a_fresh_process_says_and_ends_as_it_does(end, place, environment):
    command = [sys.executable, "-m", "stages.odd", end, "and more"]
    run = {"cwd": place, "capture_output": True, "text": True, "stdin": subprocess.DEVNULL}
    fresh = subprocess.run(command, env=environment, **run)
    others = forked.for_others(environment)
    asked = subprocess.run(["python", *command[1:]], env=others, **run)
    for other in (forked.run(command, place, environment), asked):
        assert (other.returncode, other.stdout) == (fresh.returncode, fresh.stdout)
        assert other.stderr.splitlines()[0] == "set()"
        assert other.stderr.splitlines()[-1] == fresh.stderr.splitlines()[-1]


def test_a_fork_is_killed_with_its_session(place, environment):
    command = [sys.executable, "-m", "stages.odd", "wait"]
    fork = forked.start(command, place, environment)
    assert isinstance(fork, forked.Fork)
    wait_for(lambda: waits(place), fork)
    assert waits(place) == fork.pid
    os.killpg(fork.pid, signal.SIGKILL)
    assert fork.wait() == -signal.SIGKILL
    assert fork.poll() == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_fork_ends_with_the_process_that_asked_for_it(number, place, environment):
    nowhere = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    command = ["python", "-m", "stages.odd", "wait"]
    asks = subprocess.Popen(command, cwd=place, env=forked.for_others(environment), **nowhere)
    wait_for(lambda: waits(place), asks)
    pid = waits(place)
    assert pid != asks.pid
    asks.send_signal(number)
    assert asks.wait() == -number
    wait_for(lambda: not psutil.pid_exists(pid))


@pytest.mark.parametrize("changes", [{"OMP_NUM_THREADS": "1"}, {"HF_HUB_OFFLINE": "1"}, {"PYTHONPATH": "."}])
def test_where_libraries_would_be_imported_otherwise_the_process_is_fresh(changes, place, environment):
    (place / "sitecustomize.py").touch()
    command = [sys.executable, "-m", "stages.odd", "code"]
    for given, kind in ((environment, forked.Fork), (environment | changes, subprocess.Popen)):
        process = forked.start(command, place, given)
        assert isinstance(process, kind)
        assert process.wait() == 3
