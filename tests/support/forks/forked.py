"""Runs the project's commands as forks of a process that has their imports behind it, which are most of a stage's seconds.

A fork is as good as a fresh process where a command only works. What is asked of its start (which modules it imports, which
hosts it looks up, another environment of the libraries) needs a real one, and gets it: see `fits` of fork_server.py.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

SERVER = Path(__file__).with_name("fork_server.py")
BIN = Path(__file__).with_name("bin")
"""Its `python` asks for forks too: see `for_others`."""
PACKAGES = ("stages.", "scripts.", "tests.support.noted_params")

_environment: dict[str, str] = {}


def keep_environment() -> None:
    """The environment as it is now is that of commands, as far as no test changes it."""
    _environment.update(os.environ)


class Fork:
    """A command that runs, as a `subprocess.Popen` without pipes."""

    def __init__(self, server: socket.socket, pid: int):
        self.pid = pid
        self.returncode: int | None = None
        self._server = server

    def poll(self) -> int | None:
        if self.returncode is None:
            self._server.setblocking(False)
            try:
                return self.wait()
            except BlockingIOError:
                self._server.setblocking(True)
        return self.returncode

    def wait(self) -> int:
        if self.returncode is None:
            said = self._server.recv(64).decode()
            assert said, "the process that forks has ended"
            self.returncode = int(said.removeprefix("exit "))
            self._server.close()
        return self.returncode


class Server:
    """The process that forks; it ends with this one."""

    def __init__(self) -> None:
        folder = tempfile.mkdtemp(prefix="forks")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.address = f"{folder}/asked"
        self.tests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, tempfile.TemporaryFile("w+") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(SERVER), str(theirs.fileno()), self.address],
                pass_fds=[theirs.fileno()],
                env=_environment or os.environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
            theirs.close()
            ready = self.tests.recv(64)
            errors.seek(0)
            assert ready, errors.read()

    def start(
        self, command: Sequence[str], cwd: Path, environment: Mapping[str, str], files: Sequence[int], session: bool
    ) -> Fork | None:
        """None if it has to be a fresh process."""
        request = {
            "module": command[2],
            "arguments": command[3:],
            "cwd": str(cwd),
            "environment": dict(environment),
            "session": session,
        }
        server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        server.connect(self.address)
        socket.send_fds(server, [json.dumps(request).encode()], files)
        kind, _, pid = server.recv(64).decode().partition(" ")
        if kind == "pid":
            return Fork(server, int(pid))
        server.close()
        assert kind == "unfit", f"the process that forks says {kind!r}"
        return None


@cache
def server() -> Server:
    return Server()


def for_others(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment in which what DVC and make start as `python` is forked."""
    if sys.platform != "linux":
        return dict(environment)
    return {**environment, "PATH": f"{BIN}:{environment['PATH']}", "FORKS_AT": server().address}


def _of_the_project(command: Sequence[str]) -> bool:
    """Whether it is a module of the project's, where processes can be forked."""
    python = command[0] in ("python", sys.executable) and command[1:2] == ["-m"]
    return sys.platform == "linux" and python and str(command[2]).startswith(PACKAGES)


def run(command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` with the output captured."""
    command = [str(part) for part in command]
    if _of_the_project(command):
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err, nothing() as null:
            files = (null, out.fileno(), err.fileno())
            if fork := server().start(command, cwd, environment, files, session=False):
                code = fork.wait()
                out.seek(0)
                err.seek(0)
                return subprocess.CompletedProcess(command, code, out.read(), err.read())
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def start(command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> subprocess.Popen | Fork:
    """Start a command in a session of its own and silent."""
    command = [str(part) for part in command]
    with nothing() as null:
        files = (null, null, null)
        if _of_the_project(command) and (fork := server().start(command, cwd, environment, files, session=True)):
            return fork
        return subprocess.Popen(command, cwd=cwd, env=environment, stdout=null, stderr=null, start_new_session=True)


@contextmanager
def nothing() -> Iterator[int]:
    """To read nothing from, and to write into."""
    file = os.open(os.devnull, os.O_RDWR)
    try:
        yield file
    finally:
        os.close(file)
