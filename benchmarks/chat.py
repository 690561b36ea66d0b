"""How long chat takes to its first word and how fast it writes, beside llama.cpp on the exported file: `python -m benchmarks.chat`.

Needs what `dvc repro` and `python -m scripts.export gguf` write, and the extra llamacpp; where they are, `make bench` runs it too. What is compared takes turns, and the median counts:
the machine's speed changes from minute to minute. Nothing else should run beside it.
"""

from tonetune.core.startup import silence_libraries

silence_libraries()

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from scripts.chat.gguf import gguf_talk
from scripts.chat.options import ADAPTER
from scripts.chat.talk import load
from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.params import Params, load_params

QUESTIONS = ("Why do meetings take so long?", "Should schools start later?", "Is it worth learning to cook?")
TOKENS = 96
SERVER = "llama.cpp's server"
KEYS = {"chat": "chat", "chat --gguf": "chat_gguf", "chat --base": "chat_base", SERVER: "chat_llama_cpp"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chat", description="Chat beside llama.cpp.")
    parser.add_argument("--gguf", type=Path, metavar="DIR", help="default: where scripts.export gguf writes")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    params = load_params()
    measure(params, options.gguf or exported(params), options.rounds)


def exported(params: Params) -> Path:
    """Where `python -m scripts.export gguf` writes."""
    return Path(f"exports/{params.persona}-gguf")


def missing(folder: Path) -> str | None:
    """What has to be there before `measure` can run, in a line; None if all of it is."""
    if not any(ADAPTER.glob("*.safetensors")):
        return f"{ADAPTER}: no tuned model there; `dvc repro` trains one"
    if not (folder / "export.json").is_file():
        return f"{folder}: no GGUF export there; `python -m scripts.export gguf` writes one"
    if find_spec("xllamacpp") is None:
        return "llama.cpp's server: not installed; `.venv/bin/pip install '.[llamacpp]'`"
    return None


def measure(params: Params, folder: Path, rounds: int) -> dict[str, float]:
    """Medians by name, printed as tables: `chat_<way>_first_word_seconds` and `chat_<way>_tokens_per_second`."""
    ways = {"chat": [], "chat --gguf": ["--gguf", str(folder)], "chat --base": ["--base"]}
    first: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds + 1):  # the first fills caches, and is left out
        for way, arguments in ways.items():
            taken = first_word([*arguments, QUESTIONS[turn % len(QUESTIONS)]])
            if turn:
                first[way].append(taken)
    rates = speeds(params, folder, rounds)
    print(f"| from command to first word, of {rounds} | median, s | most, s |\n|---|---|---|")
    for way, times in first.items():
        print(f"| {way} | {median(times):.2f} | {max(times):.2f} |")
    print("\n| writing | tokens a second, median | least | most |\n|---|---|---|---|")
    for way, found in rates.items():
        print(f"| {way} | {median(found):.0f} | {min(found):.0f} | {max(found):.0f} |")
    return {f"{KEYS[way]}_first_word_seconds": median(times) for way, times in first.items()} | {
        f"{KEYS[way]}_tokens_per_second": median(found) for way, found in rates.items()
    }


def first_word(arguments: list[str]) -> float:
    """Seconds from the start of `scripts.chat` to the first byte of its answer; a `UserError` if there is none."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "scripts.chat", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        begun = process.stdout.read(1)
        taken = time.perf_counter() - start
        process.stdout.read()
        said = process.stderr.read().decode()
    if process.returncode or not begun:
        raise UserError(said.strip().splitlines()[-1] if said.strip() else "the chat says nothing")
    return taken


def speeds(params: Params, folder: Path, rounds: int) -> dict[str, list[float]]:
    """Tokens a second after the first, of greedy answers of up to `TOKENS`: our chat, chat --gguf, and llama.cpp by its own clock."""
    greedy = params.evaluate.model_copy(update={"temperature": 0.0, "max_new_tokens": TOKENS, "max_sentences": None})
    talk = load(params, ADAPTER)
    talk.sampling = replace(talk.sampling, temperature=0, max_new_tokens=TOKENS, max_sentences=None)
    found: dict[str, list[float]] = {"chat": [], "chat --gguf": [], SERVER: []}
    with gguf_talk(folder, params.model_copy(update={"evaluate": greedy})) as served:
        for turn in range(rounds + 1):
            for question in QUESTIONS:
                talk.turns.clear()
                served.conversation.turns.clear()
                server, prompt = served.conversation.server, served.conversation.prompt(question)
                own = server.post("/completion", prompt=prompt, temperature=0, n_predict=TOKENS)["timings"]
                taken = (rate(talk.ask(question)), rate(served.ask(question)), float(own["predicted_per_second"]))
                for way, value in zip(found, taken, strict=True):
                    if turn:
                        found[way].append(value)
    return found


def rate(pieces: Iterator[Any]) -> float:
    """Pieces a second, from the first to the last: each token is one."""
    next(pieces)
    start, count = time.perf_counter(), sum(1 for _ in pieces)
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    run(main)
