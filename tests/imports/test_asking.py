"""With a live teacher lone texts get a question that they answer, and own texts a plain twin; the price is printed before."""

import sys
from pathlib import Path

import pytest

from scripts.recordings import main
from tests.support import exports
from tests.support.exports import talk
from tests.support.servers.teacher_requests import KEY
from tests.support.servers.teacher_server import TeacherServer
from tonetune.core.errors import UserError
from tonetune.core.rows import BASICS, OWN_WORDS, UNPAIRED, Answer, Question, read_rows
from tonetune.teacher.own_questions import own_questions_path
from tonetune.teacher.recordings import recordings_path

PLAINLY = "Write something of your own about "


@pytest.fixture
def live(space, monkeypatch):
    """The copy with posts in it, and a function that makes a server its teacher."""
    monkeypatch.setenv("DVC_ROOT", str(space.root))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    (space.root / "tweets.js").write_text(exports.x_archive(talk(1)), encoding="utf-8")

    def turn(server, **changes):
        mine = {
            "persona": "ada",
            "teacher__mode": "live",
            "teacher__base_url": server.url,
            "teacher__model": "test-model",
            "teacher__api_key_env": {"127.0.0.1": "OPENAI_API_KEY"},
            "teacher__prices": {"test-model": [10.0, 100.0]},
        }
        space.set(**(mine | changes))
        return space

    return turn


def typed(*options):
    main(["import", "tweets.js", "--from", "auto", "--persona", "ada", *options])


def written():
    own = [q for q in read_rows("data/questions.jsonl", Question) if q.category != BASICS]
    return {q.id: q.text for q in own}, read_rows("data/answers.jsonl", Answer)


def test_lone_texts_get_questions_and_plain_twins_and_replay_without_the_server(live, capsys):
    with TeacherServer() as server:
        space = live(server)
        with pytest.raises(UserError, match="nothing written yet"):
            typed()
        printed = capsys.readouterr().out
        assert not server.attempts
        assert "test-model at 127.0.0.1 is sent these texts, placeholders and all" in printed
        count = int(printed.partition("asked for ")[2].split()[0])
        assert f"asked for {count} questions and {count} plain answers: about $0." in printed
        typed("--yes")
        assert sum(server.successes.values()) == 2 * count
    for stage in ("questions", "answers", "split"):
        space.stage(stage)
    questions, answers = written()
    assert len(questions) == count
    assert all(text.startswith("What do you say to ") for text in questions.values())
    twins = [a for a in answers if a.style == "plain" and a.question_id in questions]
    assert {a.teacher for a in twins} == {"test-model"}
    assert all(a.text.endswith("in plain words.") for a in twins)
    own = [a for a in answers if a.style == "persona" and a.question_id in questions]
    assert {a.teacher for a in own} == {OWN_WORDS}
    assert any(q.category == BASICS for q in read_rows("data/questions.jsonl", Question))
    # Whoever is the teacher later, these words are nobody's to write anew.
    before = Path("data/answers.jsonl").read_bytes()
    space.set(teacher__mode="replay", teacher__model="another", teacher__base_url=None)
    space.stage("questions")
    space.stage("answers")
    assert Path("data/answers.jsonl").read_bytes() == before


def test_what_the_teacher_declines_keeps_its_plain_wording_and_its_neutral_text(live):
    with TeacherServer(fault_rate=0.3, faults=("declines",)) as server:
        server.most_faults = 9
        space = live(server, teacher__ask_again=0)
        typed("--yes")
    for stage in ("questions", "answers"):
        space.stage(stage)
    questions, answers = written()
    lone = [text for text in questions.values() if text.startswith(PLAINLY)]
    unpaired = [a for a in answers if a.teacher == UNPAIRED]
    assert 0 < len(lone) < len(questions)
    assert 0 < len(unpaired) < len(questions)


def test_after_an_import_without_a_teacher_the_estimate_says_what_one_would_be_asked(live, capsys):
    with TeacherServer() as server:
        space = live(server, teacher__mode="replay")
        typed("--yes")
        assert "is sent these texts" not in capsys.readouterr().out
        estimate = (sys.executable, "-m", "scripts.estimate")
        before = space.run(*estimate).stdout
        assert not server.attempts
        space.set(teacher__mode="live")
        typed("--yes", "--replace")
        printed = capsys.readouterr().out
        assert "nothing to ask, nothing to pay" in space.run(*estimate).stdout
    count = int(printed.partition("asked for ")[2].split()[0])
    assert count > 60
    assert [line.split()[:3] for line in before.splitlines() if line.startswith(("questions", "answers"))] == [
        ["questions", "0", str(count)],
        ["answers", "0", str(count)],
    ]
    assert (
        before.partition("about ")[2].partition(" if")[0]
        == printed.partition("plain answers: about ")[2].partition(";")[0]
    )


def test_without_a_key_nothing_is_asked_and_nothing_written(live, monkeypatch):
    with TeacherServer() as server:
        space = live(server)
        monkeypatch.delenv("OPENAI_API_KEY")
        with pytest.raises(UserError, match="OPENAI_API_KEY is not set"):
            typed("--yes")
        assert not server.attempts
    assert not (space.root / recordings_path("ada")).exists()
    assert not (space.root / own_questions_path("ada")).exists()
