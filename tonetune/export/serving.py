"""Exports served by the programs that people serve them with, in processes that know nothing of this repository."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from tonetune.core.errors import UserError
from tonetune.core.rows import Message

HERE = Path(__file__).resolve().parent
START = 300  # seconds that a server may take to load its model
ANSWER = 600  # seconds that it may take to answer one request


class LlamaCpp:
    """A running llama.cpp server."""

    def __init__(self, address: str, name: str):
        self.address, self.name = address, name
        self.url = f"{address}/v1"

    def prompt_ids(self, chat: Sequence[Message]) -> list[int]:
        """The token ids that a chat reaches the model as: the file's own template, then its own tokenizer."""
        return list(self.post("/tokenize", content=self.rendered(chat), add_special=True, parse_special=True)["tokens"])

    def rendered(self, chat: Sequence[Message]) -> str:
        """A chat as the file's own template writes it, up to where the answer begins."""
        return str(self.post("/apply-template", messages=[message.model_dump() for message in chat])["prompt"])

    def tokens(self, text: str, special: bool) -> list[int]:
        """The token ids of a text alone; with `special`, control tokens written in it are those."""
        return list(self.post("/tokenize", content=text, add_special=False, parse_special=special)["tokens"])

    def stream(self, **body: Any) -> Generator[str, None, None]:
        """The pieces of a completion as they come; whoever stops reading stops it."""
        with self._open("/completion", body | {"stream": True, "cache_prompt": True}) as response:
            for line in response:
                if line.startswith(b"data: {"):
                    yield json.loads(line.removeprefix(b"data: "))["content"]

    def greedy(self, prompt: Sequence[int], answer: Sequence[int]) -> tuple[list[int | None], list[float | None]]:
        """The likeliest token at each place of `answer`, each after the answer's own tokens; None where it stops.

        Also the log-probability of the answer's token, where that is the likeliest: llama.cpp tells that of its choice. Where the server's choice
        differs from the answer it is asked again from there, after the answer's token.
        """
        tokens: list[int | None] = []
        logprobs: list[float | None] = []
        while len(tokens) < len(answer):
            said = self.post(
                "/completion",
                prompt=[*prompt, *answer[: len(tokens)]],
                temperature=0,
                n_predict=len(answer) - len(tokens),
                n_probs=1,
                return_tokens=True,
                cache_prompt=True,
            )
            differs = False
            for choice in said["completion_probabilities"][: len(answer) - len(tokens)]:
                differs = choice["id"] != answer[len(tokens)]
                tokens.append(choice["id"])
                logprobs.append(None if differs else choice["logprob"])
                if differs:
                    break
            if not differs and len(tokens) < len(answer):
                tokens.append(None)
                logprobs.append(None)
        return tokens, logprobs

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        with self._open(path, body) as response:
            return json.load(response)

    def _open(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            self.address + path, json.dumps(body).encode(), {"content-type": "application/json"}
        )
        try:
            return urllib.request.urlopen(request, timeout=ANSWER)
        except OSError as error:
            raise UserError(f"{self.name}: llama.cpp does not answer ({error})") from None


@contextmanager
def llama_cpp(file: Path, name: str, context: int, threads: int) -> Iterator[LlamaCpp]:
    """llama.cpp serving `file` as the model `name` with a window of `context` tokens; a `UserError` if it cannot."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise UserError("xllamacpp is not installed; `.venv/bin/pip install '.[llamacpp]'` brings llama.cpp")
    command = [HERE / "llama_cpp_server.py", file.resolve(), name, context, threads or os.cpu_count()]
    with _process(command, "llama.cpp") as (process, log):
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        if not address:
            raise UserError(f"{file}: llama.cpp does not load it ({last_line(log)})")
        yield LlamaCpp(address, name)


@contextmanager
def transformers_serve(folder: Path, port: int, threads: int) -> Iterator[tuple[str, str]]:
    """`transformers serve` of a folder in float32: its base URL and the name it has given the model.

    A `UserError` if it does not come up.
    """
    missing = [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"{missing[0]} is not installed; `.venv/bin/pip install '.[serving]'` brings `transformers serve`"
        )
    name = str(folder.resolve())
    command = ["-m", "transformers.cli.transformers", "serve", name, "--host", "127.0.0.1", "--port", port]
    with _process([*command, "--device", "cpu", "--dtype", "float32"], "transformers serve", threads) as (process, log):
        deadline = time.monotonic() + START
        while not responds(f"http://127.0.0.1:{port}/health"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise UserError(f"{folder}: `transformers serve` does not load it ({last_line(log)})")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1", name


def plain_transformers(request: dict[str, Any], threads: int, label: str) -> dict[str, Any]:
    """What `plain_transformers.py` answers to a request; a `UserError` if transformers cannot load the folder."""
    with _process([HERE / "plain_transformers.py"], "transformers", threads) as (process, log):
        assert process.stdin is not None
        assert process.stdout is not None
        lines = []
        with tqdm(total=len(request["answers"]), desc=label, unit="answer") as bar:
            process.stdin.write(json.dumps(request))
            process.stdin.close()
            for line in process.stdout:
                lines.append(line)
                bar.update(line.strip().isdigit())
        if process.wait() or not lines:
            raise UserError(f"{request['folder']}: transformers does not load it ({last_line(log)})")
        return json.loads(lines[-1])


@contextmanager
def _process(
    command: Sequence[object], name: str, threads: int = 0
) -> Iterator[tuple["subprocess.Popen[str]", IO[str]]]:
    """A Python process that sees neither this repository nor a hub; it ends with the block."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    environment.pop("PYTHONPATH", None)
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory() as elsewhere, open(f"{elsewhere}/{name}.log", "w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-I", *map(str, command)],
            cwd=elsewhere,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield process, log
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def last_line(log: IO[str]) -> str:
    """The last line of what a program has said, for a message of one line."""
    log.seek(0)
    lines = [line.strip() for line in log if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"


def responds(url: str) -> bool:
    """Whether something answers there."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def free_port() -> int:
    """A port of this machine that nothing listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
