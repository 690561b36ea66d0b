"""Questions and answers through the stages, from a live teacher that is not always of use."""

import sys
from collections import Counter

import pytest

from tests.support.servers.teacher_server import TeacherServer
from tests.support.workspace import EXCHANGES
from tonetune.core.rows import SPLITS, Answer, Example, Question, read_dropped, read_rows
from tonetune.teacher.endpoint.store import Store


def test_a_live_run_becomes_recordings_that_replay_the_same_bytes(live):
    with TeacherServer(fault_rate=0.2, latency=0.01) as server:
        space = live(server, questions__per_prompt=60)
        space.stage("questions")
        space.stage("answers")
        assert set(server.successes.values()) == {1}
        names = ("data/questions.jsonl", "data/answers.jsonl", "data/dropped.json", "data/other_answers.json")
        fresh = [(space.root / name).read_bytes() for name in names]
        assert Counter(q.category for q in read_rows(space.root / names[0], Question)) == Counter(
            {"controversial": 60, "entrepreneur": 60, "funny": 60, "hilarious": 60, "basics": EXCHANGES}
        )
        space.run(sys.executable, "-m", "scripts.recordings", "save")
    space.set(teacher__mode="replay")
    (space.root / ".cache").rename(space.root / "cache-of-before")
    space.stage("questions")
    space.stage("answers")
    assert [(space.root / name).read_bytes() for name in names] == fresh


def test_a_stored_answer_that_the_run_did_not_take_is_neither_counted_nor_saved(live):
    with TeacherServer(faults=("declines",)) as server:
        space = live(server, questions__exchanges=False, teacher__prices={"test-model": [10.0, 100.0]})
        estimate = (sys.executable, "-m", "scripts.estimate")
        space.stage("questions")
        space.stage("answers")
        assert "answers         60       0" in space.run(*estimate).stdout
        question = read_rows(space.root / "data/questions.jsonl", Question)[0]
        with Store(space.root / ".cache/teacher") as store:  # as if it had been kept when that was no fault
            text = "I'm sorry, but I can't say."
            store.database.execute("UPDATE responses SET text = ? WHERE about = ?", (text, question.text))
        assert "answers         57       3" in space.run(*estimate).stdout
        server.fault_rate, server.most_faults = 1.0, 100
        space.stage("answers")
        names = ("data/answers.jsonl", "data/dropped.json")
        fresh = [(space.root / name).read_bytes() for name in names]
        assert [row.question_id for row in read_dropped(space.root / names[1])] == [question.id]
        space.run(sys.executable, "-m", "scripts.recordings", "save")
    space.set(teacher__mode="replay")
    space.stage("answers")
    assert [(space.root / name).read_bytes() for name in names] == fresh


def test_an_endpoint_without_json_schema_is_asked_for_lists(live):
    with TeacherServer() as server:
        server.structured = False
        space = live(server, questions__exchanges=False)
        space.stage("questions")
        assert len(read_rows(space.root / "data/questions.jsonl", Question)) == 20
        space.set(questions__json_schema="always", questions__per_prompt=6)
        result = space.stage("questions", check=False)
        assert "questions.json_schema" in result.stderr
        server.structured = True
        space.stage("questions")
        assert len(read_rows(space.root / "data/questions.jsonl", Question)) == 24


def test_a_model_that_repeats_itself_is_stopped_with_a_clear_message(live):
    with TeacherServer() as server:
        server.repeats = True
        result = live(server, questions__per_prompt=60).stage("questions", check=False)
        assert result.returncode == 1
        assert "questions.prompts." in result.stderr
        assert "keeps repeating itself: 3 lists in a row had hardly a new question after 50 of 60" in result.stderr


@pytest.mark.parametrize("samples", [1, 2])
def test_what_stays_unusable_is_dropped_and_listed_and_the_rest_goes_through_split(live, samples):
    with TeacherServer(fault_rate=1.0, faults=("declines",)) as server:
        server.most_faults = 4
        changes = {"questions__per_prompt": 30, "teacher__ask_again": 1, "answers__samples": samples}
        space = live(server, questions__exchanges=False, **changes)
        server.fault_rate = 0
        space.stage("questions")
        server.fault_rate = 0.4
        server.seed = 3
        result = space.stage("answers")
        dropped = read_dropped(space.root / "data/dropped.json")
        lost = {row.question_id for row in dropped if row.sample is None}
        further = {row.question_id for row in dropped if row.sample == 1}
        assert 5 < len(lost) < 60
        assert {row.style for row in dropped} == {"persona", "plain"}
        assert bool(further) == (samples == 2)
        assert further.isdisjoint(lost)
        assert len(dropped) == len(lost) + len(further)
        assert {row.reason for row in dropped} == {"declines (\"i'm sorry, but i can't\"), 2 times"}
        assert f"{len(dropped)} of {120 * (1 + samples)} answers dropped:\n  {dropped[0].question_id}" in result.stderr
        answers = read_rows(space.root / "data/answers.jsonl", Answer)
        assert {a.question_id for a in answers}.isdisjoint(lost)
        assert {a.question_id for a in answers if a.sample == 1}.isdisjoint(further)
        # The server says the same in every sample to a question.
        off = ("near_questions", "crossing", "duplicates")
        space.set(**{f"split__quality__max_{name}": "off" for name in off})
        space.stage("split")
        rows = {split: read_rows(space.root / f"data/{split}.jsonl", Example) for split in SPLITS}
        written = {split: {row.question_id for row in examples} for split, examples in rows.items()}
        assert sum(map(len, written.values())) == 120 - len(lost)
        assert [len(rows[split]) for split in ("validation", "test")] == [
            len(written["validation"]),
            len(written["test"]),
        ]
        assert len(rows["train"]) == samples * len(written["train"]) - len(further & written["train"])
        assert len(answers) == (1 + samples) * (120 - len(lost)) - len(further)
        space.run(sys.executable, "-m", "scripts.recordings", "save")
    space.set(teacher__mode="replay")
    space.stage("answers")
    assert read_dropped(space.root / "data/dropped.json") == dropped


def test_further_samples_are_asked_for_and_train_only(live):
    with TeacherServer() as server:
        space = live(server, questions__exchanges=False, questions__per_prompt=20, answers__samples=2)
        space.stage("questions")
        space.stage("answers")
        answers = read_rows(space.root / "data/answers.jsonl", Answer)
        kinds = [("plain", None), ("persona", None), ("persona", 1)]
        assert [(a.style, a.sample) for a in answers] == kinds * 80
        assert len({a.request for a in answers}) == 240
        # The server says the same in every sample to a question.
        off = ("near_questions", "crossing", "duplicates")
        space.set(**{f"split__quality__max_{name}": "off" for name in off})
        space.stage("split")
        for split in SPLITS:
            rows = read_rows(space.root / f"data/{split}.jsonl", Example)
            assert {*Counter(row.question_id for row in rows).values()} == {2 if split == "train" else 1}


def test_the_basic_exchanges_get_one_answer_in_each_style(live):
    with TeacherServer() as server:
        space = live(server, questions__per_prompt=1, answers__samples=3)
        space.stage("questions")
        space.stage("answers")
        basics = {q.id for q in read_rows(space.root / "data/questions.jsonl", Question) if q.category == "basics"}
        styles = Counter(
            (a.style, a.sample, a.question_id in basics) for a in read_rows(space.root / "data/answers.jsonl", Answer)
        )
        assert styles == {
            ("plain", None, True): EXCHANGES,
            ("persona", None, True): EXCHANGES,
            ("plain", None, False): 4,
            ("persona", None, False): 4,
            ("persona", 1, False): 4,
            ("persona", 2, False): 4,
        }
