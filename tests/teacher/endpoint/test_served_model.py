"""A real model behind a real server on loopback, with one slot: `transformers serve` and llama.cpp, asked by the stages themselves."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.support.machine import free_port
from tests.support.workspace import ROOT, wait_for
from tonetune.core.params import load_params
from tonetune.core.rows import Answer, Example, Message, Question, read_dropped, read_rows
from tonetune.evaluation.rivals import rival
from tonetune.export.serving import llama_cpp
from tonetune.model.locate import locate
from tonetune.teacher.endpoint.model import check_judge

pytestmark = pytest.mark.slow

TOPICS = (
    "dogs",
    "rain",
    "bread",
    "trains",
    "music",
    "gardens",
    "winter",
    "chess",
    "bicycles",
    "tea",
    "the sea",
    "birds",
)


@dataclass(frozen=True)
class Served:
    """The default base behind a server: its address, the name it gives the model, how to end it, and what it is asked with."""

    url: str
    model: str
    stop: Callable[[], object]
    settings: dict


@pytest.fixture(params=["transformers serve", "llama.cpp"])
def served(request, tokenizer_folder, tmp_path):
    with ExitStack() as stack:
        if request.param == "llama.cpp":
            pytest.importorskip("xllamacpp", reason="llama.cpp comes with the extra llamacpp")
            file = locate(load_params(ROOT / "params.yaml").base_model, "base_model")
            server = stack.enter_context(llama_cpp(file, "smollm2", 8192, 1))
            # As the params are: 64 requests in flight at a server that answers one at a time.
            yield Served(f"{server.address}/v1", server.name, stack.close, {})
        else:
            server, url, model = transformers_serve(tokenizer_folder, tmp_path)
            stack.callback(server.wait)
            stack.callback(server.kill)
            # It works on whatever it is sent, all at once and each the slower: as docs/teacher.md says for such a server.
            yield Served(url, model, stack.close, {"teacher__timeout": 300, "teacher__concurrency": 2})


def transformers_serve(folder, tmp_path):
    """`transformers serve` of a folder on a free port: the process, its URL, and the name it gives the model."""
    port, model = free_port(), str(folder)
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", model, "--host", "127.0.0.1"]
    options = ["--port", str(port), "--device", "cpu", "--dtype", "bfloat16", "--default-seed", "1"]
    with open(tmp_path / "server.log", "w") as log:
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        server = subprocess.Popen([*command, *options], env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: responds(f"http://127.0.0.1:{port}/health"), server)
    except BaseException:
        server.kill()
        raise
    return server, f"http://127.0.0.1:{port}/v1", model


def responds(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False


def test_questions_and_answers_of_a_served_model_flow_through_split(served, workspace):
    persona = workspace.root / "personas/terse.yaml"
    prompts = {topic: f"Give me a list of 2 questions about {topic}." for topic in TOPICS}
    terse = {"name": "Nobody", "disclosure": "An AI.", "system": "Answer in one short sentence.", "prompts": prompts}
    persona.write_text(json.dumps(terse))
    workspace.set(
        persona="terse",
        teacher__mode="live",
        teacher__base_url=served.url,
        teacher__model=served.model,
        teacher__ask_again=2,
        questions__per_prompt=1,  # of each topic: a model of this size does not always bring two, and drops some answers
        questions__max_tokens=160,
        questions__stale_rounds=5,
        questions__exchanges=False,
        answers__max_tokens=100,
        answers__samples=1,
        answers__plain_system="Answer in one short sentence.",
        answers__persona_user="{question}\n\nThe answer: {plain}\n\nSay it in your own words.",
        seed=4,  # by which each split has four topics, so two questions at least whatever is dropped
        split__validation=0.3,
        split__test=0.3,
        split__max_sentences=None,
        # A model of this size is no teacher: it declines, rambles, makes lists and repeats what it is to rewrite.
        split__quality__words=[3, 160],
        split__quality__pair_length="off",
        split__quality__max_pair_similarity="off",
        split__quality__max_refusals=99,
        split__quality__near_question=0.99,
        split__quality__max_near_questions=99,
        split__quality__max_near_answers=99,
        split__quality__max_duplicates=99,
        split__quality__max_crossing=99,
        split__quality__max_lead_ins="off",
        split__quality__max_markup="off",
        split__quality__max_contacts="off",
        split__quality__max_opening_share="off",
        split__quality__max_tic_share="off",
        **served.settings,
    )
    for stage in ("questions", "answers", "split"):
        workspace.stage(stage)

    asked = read_rows(workspace.root / "data/questions.jsonl", Question)
    assert len({question.id for question in asked}) == len(asked) == len(TOPICS)
    written = {
        (row.question_id, row.style): row.text for row in read_rows(workspace.root / "data/answers.jsonl", Answer)
    }
    dropped = {row.question_id for row in read_dropped(workspace.root / "data/dropped.json")}
    rows = {
        split: read_rows(workspace.root / f"data/{split}.jsonl", Example) for split in ("train", "validation", "test")
    }
    assert all(rows.values())
    examples = [row for examples in rows.values() for row in examples]
    assert {row.question_id for row in examples} == {question.id for question in asked} - dropped
    for row in examples:
        assert row.answer == written[row.question_id, "persona"]
        assert row.plain == written[row.question_id, "plain"]

    # What is stored needs no server any more; what was dropped would be asked again.
    served.stop()
    before = {path.name: path.read_bytes() for path in (workspace.root / "data").glob("*.json*")}
    for stage in ("questions", "split") if dropped else ("questions", "answers", "split"):
        workspace.stage(stage)
    assert {path.name: path.read_bytes() for path in (workspace.root / "data").glob("*.json*")} == before


def test_it_is_a_rival_that_takes_every_field_it_is_sent_and_a_judge(served, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    params = load_params(ROOT / "params.yaml")
    name = f"endpoint:{served.model}@{served.url}"
    evaluate = params.evaluate.model_copy(update={"judge": name, "max_new_tokens": 24})
    params = params.model_copy(update={"evaluate": evaluate})
    assert params.chat_template_kwargs
    contestant, is_teacher = rival(name, params)
    assert not is_teacher
    chats = [
        [Message(role="system", content=params.system_prompt), Message(role="user", content=f"What is {n} and {n}?")]
        for n in range(3)
    ]
    answers = contestant.answer(chats, [1, 2, 2**31 - 1], "answers")
    assert all(answers)
    check_judge(params, [])
    said = capfd.readouterr().err
    assert "left away" not in said
    assert "warning" not in said
    stored = contestant.answer(chats, [1, 2, 2**31 - 1], "answers")
    assert stored == answers
