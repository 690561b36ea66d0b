"""A real model behind a real server: `transformers serve` on loopback, asked by the stages themselves."""

import os
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from tests.support.machine import free_port
from tests.support.workspace import wait_for
from tonetune.core.rows import Answer, Example, Question, read_dropped, read_rows

pytestmark = pytest.mark.slow


@pytest.fixture
def served(tokenizer_folder, tmp_path):
    """The default base on a free port: the server's process, its URL, and the name it gives the model."""
    port, model = free_port(), str(tokenizer_folder)
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", model, "--host", "127.0.0.1"]
    options = ["--port", str(port), "--device", "cpu", "--dtype", "bfloat16", "--default-seed", "1"]
    with open(tmp_path / "server.log", "w") as log:
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        server = subprocess.Popen([*command, *options], env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: responds(f"http://127.0.0.1:{port}/health"), server)
        yield server, f"http://127.0.0.1:{port}/v1", model
    finally:
        server.kill()
        server.wait()


def responds(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False


def test_questions_and_answers_of_a_served_model_flow_through_split(served, workspace):
    server, url, model = served
    persona = workspace.root / "personas/terse.yaml"
    persona.write_text("name: Nobody\ndisclosure: An AI.\nsystem: Answer in one short sentence.\n")
    workspace.set(
        persona="terse",
        teacher__mode="live",
        teacher__base_url=url,
        teacher__model=model,
        teacher__timeout=300,
        teacher__concurrency=2,
        teacher__ask_again=2,
        questions__per_prompt=2,
        questions__max_tokens=160,
        questions__stale_rounds=5,
        questions__exchanges=False,
        answers__max_tokens=100,
        answers__samples=1,
        answers__plain_system="Answer in one short sentence.",
        answers__persona_user="{question}\n\nThe answer: {plain}\n\nSay it in your own words.",
        seed=8,  # by which the sides have two questions at least, whichever one is dropped
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
    )
    for stage in ("questions", "answers", "split"):
        workspace.stage(stage)

    asked = read_rows(workspace.root / "data/questions.jsonl", Question)
    assert len({question.id for question in asked}) == len(asked) == 8
    written = {
        (row.question_id, row.style): row.text for row in read_rows(workspace.root / "data/answers.jsonl", Answer)
    }
    dropped = {row.question_id for row in read_dropped(workspace.root / "data/dropped.json")}
    rows = {side: read_rows(workspace.root / f"data/{side}.jsonl", Example) for side in ("train", "validation", "test")}
    assert all(rows.values())
    examples = [row for side in rows.values() for row in side]
    assert {row.question_id for row in examples} == {question.id for question in asked} - dropped
    for row in examples:
        assert row.answer == written[row.question_id, "persona"]
        assert row.plain == written[row.question_id, "plain"]

    # What is stored needs no server any more; what was dropped would be asked again.
    server.kill()
    server.wait()
    before = {path.name: path.read_bytes() for path in (workspace.root / "data").glob("*.json*")}
    for stage in ("questions", "split") if dropped else ("questions", "answers", "split"):
        workspace.stage(stage)
    assert {path.name: path.read_bytes() for path in (workspace.root / "data").glob("*.json*")} == before
