"""A process that has imported the libraries and forks itself for each command that a test runs.

    python tests/support/forks/fork_server.py FILE ADDRESS

What a stage imports takes it many seconds, its work on a tiny model a few. Libraries alone are imported here: the project's
own modules each fork takes from the copy that it runs in. Nothing is computed before a fork, as OpenMP's threads would be
missing in it. `tests.support.forks.forked` starts it and asks at ADDRESS, as does `bin/python`; it ends when FILE is closed.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[3]

# What the stages import at their start or, of what loads its parts when they are asked for, soon after.
LIBRARIES = (
    "numpy",
    "scipy.stats",
    "sklearn.calibration",
    "sklearn.svm",
    "skops.io",  # it imports all of scikit-learn
    "safetensors.torch",
    "transformers:AutoModelForCausalLM",
    "transformers:AutoTokenizer",
    "transformers:BitsAndBytesConfig",
    "transformers:DynamicCache",
    "transformers:EarlyStoppingCallback",
    "transformers:Trainer",
    "transformers.integrations.sdpa_attention",
    "transformers.masking_utils",
    "transformers.models.bert.modeling_bert",
    "transformers.models.llama.modeling_llama",
    "transformers.quantizers.auto",
    "transformers.trainer_pt_utils",
    "peft:PeftModel",
    "trl:DPOTrainer",
    "trl:GRPOTrainer",
    "trl:SFTTrainer",
    "sentence_transformers:SentenceTransformerTrainer",
    "sentence_transformers.losses",
    "datasets:Dataset",
    "evaluate",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "gguf",
    "openai",
    "datasketch",
    "py3langid",
    "phonenumbers",
    "jinja2",
    "pydantic",
    "ruamel.yaml",
    "psutil",
    "tqdm",
)
# What a command reads when it needs it. All other variables, which libraries read while they are imported, must be the same.
READ_LATE = (
    "DVC_",
    "FORKS_",
    "GIT_",
    "GRADIO_",
    "MAKE",
    "MFLAGS",
    "OLDPWD",
    "OPENAI_",
    "PATH",
    "PWD",
    "PYTEST_",
    "PYTHONPATH",
    "SHLVL",
)


def preload() -> None:
    """Import the libraries as a stage does, and leave nothing of the project behind."""
    sys.path[0] = str(ROOT)
    from tonetune.core.startup import import_bitsandbytes, silence_libraries

    silence_libraries()
    import_bitsandbytes()
    for name in LIBRARIES:
        pkgutil.resolve_name(name)
    del sys.path[0]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tonetune"]:
        del sys.modules[name]


def fits(request: dict, given: dict[str, str]) -> bool:
    """Whether libraries imported in its environment would be as they are here, where they were imported in `given`."""
    environment = request["environment"]
    if "TEST_GPU" in environment:
        return False
    places = [place for place in environment.get("PYTHONPATH", "").split(os.pathsep) if place]
    if any(Path(request["cwd"], place, "sitecustomize.py").exists() for place in places):  # it runs before all imports
        return False
    return not any(
        environment.get(name) not in (given.get(name), os.environ.get(name))
        for name in environment.keys() | given.keys()
        if not name.startswith(READ_LATE) and name != "_"
    )


class Running(NamedTuple):
    """A fork, and where whoever asked for it hears of it; when that is closed, it is killed."""

    pid: int
    asker: socket.socket


def serve(tests: socket.socket, asked: socket.socket, given: dict[str, str]) -> str:
    """Fork for each request; what returns is the fork alone, with the name of the module that it is to run."""
    selector = selectors.DefaultSelector()
    selector.register(tests, selectors.EVENT_READ)
    selector.register(asked, selectors.EVENT_READ)
    ends: dict[int, Running] = {}  # by what becomes readable when a fork ends
    askers: dict[int, int] = {}  # the same by the asker's file
    while True:
        for key, _ in selector.select():
            if key.fd == tests.fileno():  # they are over
                os._exit(0)
            elif key.fd == asked.fileno():
                asker = asked.accept()[0]
                content, files, _, _ = socket.recv_fds(asker, 2**20, 3)
                request = json.loads(content) if content else None
                pid = os.fork() if request and fits(request, given) else None
                if pid == 0:
                    for file in (selector, asked, tests, *(running.asker for running in ends.values())):
                        file.close()
                    for end in ends:
                        os.close(end)
                    return become(request, asker, files)
                for file in files:
                    os.close(file)
                if pid is None:
                    tell(asker, "unfit")
                    asker.close()
                    continue
                end = os.pidfd_open(pid)
                ends[end], askers[asker.fileno()] = Running(pid, asker), end
                selector.register(end, selectors.EVENT_READ)
                selector.register(asker, selectors.EVENT_READ)
            elif key.fd in ends:
                running = ends.pop(key.fd)
                selector.unregister(key.fd)
                if askers.pop(running.asker.fileno(), None):
                    selector.unregister(running.asker)
                os.close(key.fd)
                tell(running.asker, f"exit {os.waitstatus_to_exitcode(os.waitpid(running.pid, 0)[1])}")
                running.asker.close()
            elif key.fd in askers:
                running = ends[askers[key.fd]]
                if number := hear(running.asker):
                    os.kill(running.pid, number)
                if number == signal.SIGKILL:
                    selector.unregister(key.fd)
                    del askers[key.fd]


def tell(asker: socket.socket, text: str) -> None:
    """Say it, if somebody still listens."""
    with suppress(OSError):
        asker.send(text.encode())


def hear(asker: socket.socket) -> int:
    """A signal to pass on, if there is one; that which kills when nobody waits any more."""
    try:
        return int(asker.recv(64, socket.MSG_DONTWAIT) or signal.SIGKILL)
    except BlockingIOError:
        return 0
    except OSError:
        return signal.SIGKILL


def become(request: dict, asker: socket.socket, files: list[int]) -> str:
    """Make this fork what a fresh process would be; returns the module to run."""
    if request["session"]:
        os.setsid()
    for target, file in enumerate(files):  # stdin, stdout, stderr
        os.dup2(file, target)
        os.close(file)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    places = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    sys.path[:0] = [os.getcwd(), *places]
    importlib.invalidate_caches()
    sys.argv = ["-m", *request["arguments"]]
    sys.modules["numpy"].random.seed()  # forks would share it, and what depends on it would go unseen
    tell(asker, f"pid {os.getpid()}")
    asker.close()
    return request["module"]


def main() -> str:
    tests = socket.socket(fileno=int(sys.argv[1]))
    given = dict(os.environ)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the tests' to hear
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asked:
        asked.bind(sys.argv[2])
        asked.listen(64)
        preload()
        gc.collect()
        gc.freeze()  # what is shared with the forks is not written to by their collections
        tests.send(b"ready")
        return serve(tests, asked, given)


if __name__ == "__main__":
    name = main()
    try:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:
        # A fresh interpreter ends by the signal; one whose script had the signal ignored at its start, with status 1.
        sys.excepthook(*sys.exc_info())
        atexit._run_exitfuncs()
        sys.stdout.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
