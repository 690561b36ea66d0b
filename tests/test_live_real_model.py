"""From end to end: `transformers serve` on loopback with the real base model writes questions and answers, and they split."""

import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.conftest import ROOT
from tone.rows import Answer, Dropped, Example, Question, read_rows

PERSONA = """
name: Aunt Ada
disclosure: An AI that imitates Aunt Ada.
system: You are a cheerful old aunt. Answer in one short sentence.
prompts:
  food: Give me a list of 3 questions about food.
  travel: Give me a list of 3 questions about travel.
"""
# A model of this size keeps to none of the quality gate's limits, which are for data to train on.
LOOSE = {
    "words": [1, 400],
    "english_share_min": 0.01,
    "pair_length": [0.01, 100.0],
    "pair_similarity_max": 0.999,
    "opening_share_max": 0.99,
    "tic_share_max": 0.99,
    **{
        f"most_{name}": 999
        for name in ("duplicates", "near_questions", "near_answers", "crossing", "refusals", "cut_off")
    },
}


@pytest.fixture(scope="module")
def served(tokenizer_folder):
    """The address and the name of the real base model behind `transformers serve`."""
    pytest.importorskip("fastapi")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [
        sys.executable, "-m", "transformers.cli.transformers", "serve", str(tokenizer_folder), "--host", "127.0.0.1",
        "--port", str(port), "--device", "cpu",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).read()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1", str(tokenizer_folder)
    finally:
        process.terminate()
        process.wait()


def test_questions_and_answers_of_a_real_model_flow_through_the_split(served, workspace, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)  # this server wants none
    url, model = served
    (workspace.root / "personas/ada.yaml").write_text(PERSONA)
    workspace.set(
        persona="ada",
        teacher__mode="live",
        teacher__base_url=url,
        teacher__model=model,
        teacher__concurrency=4,
        questions__per_prompt=3,
        questions__exchanges=False,
        questions__max_tokens=150,
        answers__max_tokens=80,
        answers__plain_system="Say it again in other words, in one short sentence.",
        split__validation=0.34,
        split__test=0.33,
        **{f"split__quality__{name}": value for name, value in LOOSE.items()},
    )
    for stage in ("questions", "answers", "split"):
        workspace.stage(stage)
    data = workspace.root / "data"
    questions = read_rows(data / "questions.jsonl", Question)
    answers = read_rows(data / "answers.jsonl", Answer)
    assert [q.category for q in questions] == ["food"] * 3 + ["travel"] * 3
    assert all(answer.teacher.startswith(model) for answer in answers)
    assert len(answers) / 2 + len(read_rows(data / "dropped.jsonl", Dropped)) == 6
    rows = [row for side in ("train", "validation", "test") for row in read_rows(data / f"{side}.jsonl", Example)]
    assert {row.answer for row in rows} == {answer.text for answer in answers if answer.style == "persona"}
    workspace.run(sys.executable, "-m", "tone.recordings", "save")
    fresh = (data / "answers.jsonl").read_bytes()
    workspace.set(teacher__mode="replay")
    workspace.stage("questions")
    workspace.stage("answers")
    assert (data / "answers.jsonl").read_bytes() == fresh
