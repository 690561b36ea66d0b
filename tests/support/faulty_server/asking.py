"""Run by the tests as a process of its own: asks faulty servers for questions, answers, a rival's answers and verdicts.

python -m tests.support.faulty_server.asking KILLS, with lines "<folder> <address>" on stdin. Each try is a fork, killed with SIGKILL but for
the last, which leaves `end.json` in the folder: the data, or the one error.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from tests.support.faulty_server.server import PRICES, name_of
from tests.support.workspace import ROOT
from tonetune.core.errors import UserError
from tonetune.core.params import Params, load_params
from tonetune.core.persona import Persona
from tonetune.core.rows import Message
from tonetune.teacher.answers import collect_answers
from tonetune.teacher.endpoint.live import LiveTeacher
from tonetune.teacher.endpoint.model import EndpointModel
from tonetune.teacher.endpoint.store import Store
from tonetune.teacher.prompts import TeacherPrompts
from tonetune.teacher.questions import collect_questions

CONCURRENCY = 8


def params_for(url: str) -> Params:
    raw = load_params(ROOT / "params.yaml").model_dump()
    raw["teacher"] |= {
        "mode": "live",
        "base_url": url,
        "model": "test-model",
        "timeout": 1.0,
        "concurrency": CONCURRENCY,
    }
    raw["teacher"] |= {"prices": {"test-model": PRICES}, "extra_body": {"top_p": 0.9}}
    raw["questions"] |= {
        "per_prompt": 12,
        "prompts": {kind: f"Give me 10 {kind} questions." for kind in ("funny", "odd")},
    }
    raw["questions"]["max_tokens"] = 400
    raw["answers"] |= {"samples": 1, "max_tokens": 120}
    return Params.model_validate(raw)


def ask_all(url: str) -> dict:
    """What the stages ask for, without what they do with it."""
    params = params_for(url)
    prompts = TeacherPrompts(params, Persona(name="Ada", disclosure="An AI.", system="Speak as Ada."))
    teacher = LiveTeacher(params.teacher)
    questions = teacher.run(collect_questions(prompts, teacher), 4, "questions")
    teacher = LiveTeacher(params.teacher)
    answers, dropped = teacher.run(collect_answers(prompts, teacher, questions), 40, "answers")
    rival = EndpointModel(f"endpoint:test-model@{url}", params, "evaluate.rivals")
    chats = [[Message(role="system", content="Be Ada."), Message(role="user", content=f"Why {i}?")] for i in range(8)]
    seeds = [random.Random(i).randrange(2**32) % 2**31 for i in range(8)]
    extras = [{"seed": seed} for seed in seeds]
    said = rival.respond(chats, seeds, 0.7, 100, "rival", extras)
    judge = EndpointModel(f"endpoint:test-model@{url}", params, "evaluate.judge")
    verdicts = judge.respond(
        [[Message(role="user", content=f"{i} Reply with one letter: A or B.")] for i in range(6)],
        [0] * 6,
        0.0,
        16,
        "judge",
    )
    return {
        "questions": [question.text for question in questions],
        "answers": [answer.text for answer in answers],
        "dropped": [row.model_dump() for row in dropped],
        "rival": said,
        "chats": [name_of([message.model_dump() for message in chat]) for chat in chats],
        "verdicts": verdicts,
    }


def one_try(folder: Path, url: str) -> None:
    os.environ["DVC_ROOT"] = str(folder)
    os.dup2(os.open(folder / "stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    try:
        end = ask_all(url)
    except UserError as error:
        end = {"error": str(error)}
    (folder / "end.json").write_text(json.dumps(end))


def main() -> None:
    kills = int(sys.argv[1])
    for line in sys.stdin.read().splitlines():
        name, url = line.split()
        folder, log = Path(name), []
        dice = random.Random(url.rsplit("/", 2)[1])
        for number in range(kills + 1):
            child = os.fork()
            if child == 0:
                try:
                    one_try(folder, url)
                finally:
                    os._exit(0)
            if number < kills:
                time.sleep(dice.uniform(0.1, 1.0))
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            log.append({"killed": time.time(), "kept": kept(folder)})
        (folder / "kills.json").write_text(json.dumps(log))


def kept(folder: Path) -> list[list[dict]]:
    """The messages of the requests whose responses are stored."""
    with Store(folder / ".cache/teacher") as store:
        rows = store.database.execute("SELECT request FROM responses").fetchall()
    return [json.loads(row)["messages"] for (row,) in rows]


if __name__ == "__main__":
    main()
