"""How long the live teacher takes for 800 requests, beside a bare loop over the same client.

python -m benchmarks.teacher

A local server in a process of its own answers after 200 ms and has 32 requests in hand at most; both ask it 64 at a time.
The bare loop is AsyncOpenAI behind a semaphore. The live teacher has its store, its limits and its progress bar on.
Both run in turn, each in a fresh process, and the ratio is that of the medians.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COUNT, CONCURRENCY, LATENCY, SLOTS, ROUNDS = 800, 64, 0.2, 32, 3
ROOT = Path(__file__).parent.parent


def serve() -> None:
    """Print the address and answer until stopped."""
    from tests.support.servers.teacher_server import TeacherServer

    with TeacherServer(latency=LATENCY, slots=SLOTS) as server:
        print(server.url, flush=True)
        sys.stdin.read()


def bare(url: str) -> float:
    """Seconds of the loop that one writes in five lines."""
    from openai import AsyncOpenAI

    async def loop() -> None:
        slots = asyncio.Semaphore(CONCURRENCY)
        async with AsyncOpenAI(api_key="none", base_url=url) as client:

            async def one(number: int) -> None:
                async with slots:
                    messages = [
                        {"role": "system", "content": "Be yourself."},
                        {"role": "user", "content": f"What is number {number} good for?"},
                    ]
                    response = await client.chat.completions.create(
                        model="test-model",
                        messages=messages,  # type: ignore[arg-type]
                        temperature=0.8,
                        max_tokens=220,
                    )
                    assert response.choices[0].message.content

            await asyncio.gather(*map(one, range(COUNT)))

    started = time.perf_counter()
    asyncio.run(loop())
    return time.perf_counter() - started


def teacher(url: str) -> float:
    """Seconds of the live teacher."""
    from tonetune.core.params import load_params
    from tonetune.core.rows import Message
    from tonetune.teacher.endpoint.live import ask
    from tonetune.teacher.endpoint.request import Request

    settings = load_params().teacher.model_copy(
        update={
            "mode": "live",
            "model": "test-model",
            "base_url": url,
            "concurrency": CONCURRENCY,
            "requests_per_minute": 100 * COUNT,
            "tokens_per_minute": 100_000 * COUNT,
            "prices": {"test-model": [1.0, 1.0]},
            "max_cost": 100.0,
        }
    )
    requests = [
        Request(
            base_url=url,
            model="test-model",
            messages=(
                Message(role="system", content="Be yourself."),
                Message(role="user", content=f"What is number {number} good for?"),
            ),
            temperature=0.8,
            max_tokens=220,
        )
        for number in range(COUNT)
    ]
    started = time.perf_counter()
    assert all(ask(requests, settings))
    return time.perf_counter() - started


def measure(what: str, url: str) -> float:
    """Run one of them in a fresh process with an empty store."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {k: v for k, v in os.environ.items() if k != "OPENAI_API_KEY"} | {"DVC_ROOT": folder}
        command = [sys.executable, "-m", "benchmarks.teacher", what, url]
        return float(subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.teacher", description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["serve", "bare", "teacher"], help="one part; default: the whole")
    parser.add_argument("url", nargs="?", help="of the server, for bare and teacher")
    options = parser.parse_args()
    if options.what == "serve":
        serve()
        return
    if options.what:
        if options.url is None:
            parser.error(f"{options.what} needs the address of a server")
        print({"bare": bare, "teacher": teacher}[options.what](options.url))
        return
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.teacher", "serve"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    seconds: dict[str, list[float]] = {"bare": [], "teacher": []}
    for _ in range(ROUNDS):
        for what, times in seconds.items():
            times.append(measure(what, url))
    server.terminate()
    for what, times in seconds.items():
        print(f"{what:<8} {statistics.median(times):6.2f} s   ({', '.join(f'{one:.2f}' for one in times)})")
    ratio = statistics.median(seconds["teacher"]) / statistics.median(seconds["bare"])
    print(
        f"ratio    {ratio:6.2f}     of {COUNT} requests, {CONCURRENCY} at a time, {LATENCY} s latency, {SLOTS} in hand"
    )


if __name__ == "__main__":
    main()
