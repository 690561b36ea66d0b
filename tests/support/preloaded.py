"""Modules run as `python -m` runs them, in processes that have the libraries already.

To import torch, transformers, peft and trl takes longer than what a stage does on the tiny model. A server imports them once
for each of pytest's workers and forks for each run. A fork imports what is of the repository anew, from the folder that it
runs in, and has arguments, environment and output of its own; its exit status is that of the module.
"""

import json
import os
import runpy
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from tests.support.machine import note_lookups

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("sklearn.svm", "torch", "transformers", "peft", "trl", "datasets", "evaluate", "sentence_transformers")
OWN = {"DVC_ROOT", "PATH", "PYTEST_CURRENT_TEST"}
"""Variables that may differ between runs: no library reads them at its import."""


class Preloaded:
    """The server's other end; it starts with the first run."""

    def __init__(self) -> None:
        self.environment = dict(os.environ)
        self.imported_in: dict[str, str] = {}
        self.server: subprocess.Popen[str] | None = None

    def serves(self, environment: dict[str, str]) -> bool:
        """Whether in this environment the libraries, which read theirs at their import, would be the same."""
        if "TEST_GPU" in environment:  # a fork would have no use of it, once it is initialised
            return False
        self._start()
        ours = {name: value for name, value in environment.items() if name not in OWN}
        # The libraries set some variables themselves, here as there.
        kept = self.environment.keys() - OWN <= ours.keys()
        return kept and ours.items() <= self.imported_in.items()

    def run(
        self, module: str, *arguments: str, cwd: Path, environment: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Like `subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True)`."""
        with tempfile.TemporaryDirectory() as folder:
            outputs = [Path(folder) / name for name in ("stdout", "stderr")]
            status = int(self._ask([module, arguments, str(cwd), environment, list(map(str, outputs))]))
            command = [sys.executable, "-m", module, *arguments]
            return subprocess.CompletedProcess(command, status, *(output.read_text() for output in outputs))

    def _start(self) -> None:
        if self.server is None:
            self.server = subprocess.Popen(
                [sys.executable, "-m", "tests.support.preloaded"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # it is not what Ctrl-C is meant for
            )
            self.imported_in = json.loads(self._ask(None))

    def _ask(self, request: object) -> str:
        """The server's answer; an AssertionError if it has ended."""
        assert self.server is not None
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        print(json.dumps(request), file=self.server.stdin, flush=True)
        answer = self.server.stdout.readline()
        assert answer, f"the server of {ROOT} has ended: {self.server.wait()}"
        return answer


def serve() -> str:
    """Tell the environment, then fork for each request and tell how that ended; returns in a fork alone, with the name of the module to run."""
    sys.stdin.readline()
    print(json.dumps(dict(os.environ)), flush=True)
    for line in sys.stdin:
        module, arguments, cwd, environment, outputs = json.loads(line)
        child = os.fork()
        if child:
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
            continue
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, output in enumerate(outputs, 1):
            os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), number)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = [module, *arguments]
        sys.path[0] = cwd
        return module
    sys.exit()


def preload() -> None:
    """Import the libraries as a stage does, and forget what is of the repository."""
    startup = import_module("tonetune.core.startup")
    startup.silence_libraries()
    startup.import_bitsandbytes()
    for library in LIBRARIES:
        import_module(library)
    for name in [name for name in sys.modules if name.split(".")[0] in ("tonetune", "stages")]:
        del sys.modules[name]


if __name__ == "__main__":
    note_lookups()
    preload()
    runpy.run_module(serve(), run_name="__main__", alter_sys=True)
