"""Run by the tests as a process of its own: asks 200 questions, and is killed as often as told, with SIGKILL.

python -m tests.support.asking URL KILLS [batch], where batch asks 60 of them in batches. Each try is a fork, so that 50 of them
do not import everything 50 times.
"""

import json
import os
import random
import signal
import sys
import time
from contextlib import closing
from pathlib import Path

from tests.support.servers.teacher_requests import digest_of, make_requests, make_settings
from tonetune.teacher.endpoint.live import ask
from tonetune.teacher.endpoint.store import Store


def main() -> None:
    url, kills = sys.argv[1], int(sys.argv[2])
    dice = random.Random(5)
    batch = sys.argv[3:] == ["batch"]
    settings, requests = make_settings(url, batch=batch), make_requests(url, 60 if batch else 200)
    moments = (0.3, 2.5) if batch else (0.02, 0.25)
    log = []
    for _ in range(kills):
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            ask(requests, settings)
            os._exit(0)
        time.sleep(dice.uniform(*moments))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        killed = time.time()
        with closing(Store()) as store:
            kept = [digest_of(request) for request in requests if store.get(request.key)]
        log.append({"killed": killed, "kept": kept})
    Path("kills.json").write_text(json.dumps(log))
    assert len(ask(requests, settings)) == len(requests)


if __name__ == "__main__":
    main()
