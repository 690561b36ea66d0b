"""The command: consent first, then a look at what was found, then recordings that the stages replay."""

import os
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest

from scripts.recordings import main
from tests.imports.conftest import PERSONA
from tests.support import exports
from tests.support.exports import ADA, talk
from tests.support.workspace import ROOT, as_someone, make_small
from tonetune.core.errors import UserError
from tonetune.core.rows import BASICS, OWN_WORDS, UNPAIRED, Answer, Example, Question, read_rows
from tonetune.core.tables import read_measures
from tonetune.teacher.own_questions import own_questions_path
from tonetune.teacher.recordings import recordings_path

TYPED = ("import", "result.json", "--from", "auto", "--me", ADA, "--persona", "ada")


@pytest.fixture
def export(space):
    """The copy with a chat in it that names a friend and a number."""
    text = exports.telegram(talk(1)).replace("brb", "brb, ask Rex on +49 170 1234567")
    (space.root / "result.json").write_text(text, encoding="utf-8")
    return space


def nothing_written(space) -> bool:
    return not (space.root / recordings_path("ada")).exists() and not (space.root / own_questions_path("ada")).exists()


@pytest.mark.parametrize(
    ("consent", "says"),
    [
        ("", "personas/ada.yaml: consent: missing; whose words are these, and do they agree?"),
        ("consent: {words_of: Ada Quill, agreed: false}\n", "personas/ada.yaml: consent.agreed: "),
        ("consent: {agreed: true}\n", "personas/ada.yaml: consent.words_of: "),
    ],
)
def test_without_consent_nothing_is_read(export, consent, says):
    (export.root / "personas/ada.yaml").write_text(PERSONA + consent)
    with pytest.raises(UserError) as error:
        main([*TYPED, "--yes"])
    assert str(error.value).startswith(says)
    assert nothing_written(export)


def test_what_was_found_is_shown_and_nothing_is_written_until_that_was_seen(export, capsys, monkeypatch):
    with pytest.raises(UserError, match="nothing written yet: look at what was found above, then give --yes"):
        main([*TYPED, "--names", "Rex"])
    shown = capsys.readouterr().out
    assert "[number] " in shown
    assert "+49 170 1234567" in shown
    assert "[name] " in shown
    with pytest.raises(UserError, match="nothing written yet"):
        main([*TYPED, "--found", "found.txt"])
    assert "+49 170 1234567" in Path("found.txt").read_text()
    assert nothing_written(export)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: "n")
    with pytest.raises(UserError, match="nothing written"):
        main([*TYPED])
    assert nothing_written(export)
    monkeypatch.setattr("builtins.input", lambda _: "y")
    main([*TYPED])
    assert not nothing_written(export)


def test_somebody_who_wrote_nothing_is_no_me_and_who_wrote_is_listed(refused, export):
    assert "'Zoe' wrote none of the 400 messages; these did: Ada Quill (" in refused("result.json", "--me", "Zoe")
    assert "--me: whose messages are one's own?" in refused("result.json", "--from", "auto")


def test_too_little_is_refused_before_anything_is_asked(refused, space, capsys):
    german = exports.telegram(talk(1, 40)).replace("the ", "das ist aber nicht der ")
    (space.root / "result.json").write_text(german)
    assert "examples are too few to train on and to score: at least 60" in refused("result.json", "--me", ADA)
    assert "they read as" not in capsys.readouterr().out


def test_the_stages_replay_own_words_in_talks_and_mark_what_stands_in_for_plain_answers(export):
    main([*TYPED, "--names", "Rex", "--yes"])
    with pytest.raises(UserError, match="ada: has recordings, which an import would replace; give --replace"):
        main([*TYPED, "--yes"])
    export.set(persona="ada")
    for stage in ("questions", "answers", "split"):
        export.stage(stage)
    answers = read_rows("data/answers.jsonl", Answer)
    own = [answer for answer in answers if answer.style == "persona" and answer.teacher == OWN_WORDS]
    said = "\n".join(one.text for one in talk(1) if one.author == ADA)
    assert len(own) > 150
    assert all(line in said for answer in own for line in answer.text.split("\n") if "[number]" not in line)
    assert not any("Rex" in answer.text or "1234567" in answer.text for answer in own)
    assert {a.teacher for a in answers if a.style == "plain" and a.question_id in {o.question_id for o in own}} == {
        UNPAIRED
    }

    # Talks stay together, and what is not one's own is the exchanges alone.
    splits = {split: read_rows(f"data/{split}.jsonl", Example) for split in ("train", "validation", "test")}
    split_of = {example.question_id: split for split, examples in splits.items() for example in examples}
    questions = {question.id: question for question in read_rows("data/questions.jsonl", Question)}
    follow_ups = [question for question in questions.values() if question.after]
    assert len(follow_ups) > 50
    assert all(split_of[question.id] == split_of[question.after] for question in follow_ups)
    assert min(map(len, splits.values())) >= 10
    others = [example for examples in splits.values() for example in examples if not example.own_words]
    assert {example.category for example in others} == {BASICS}
    assert all(example.unpaired is None for example in others)
    planted = {split: Counter(e.planted for e in examples if e.planted) for split, examples in splits.items()}
    assert list(planted["train"].values()) == [3] * 5
    assert not planted["validation"]
    assert not planted["test"]
    assert not any(
        item.item in text for item in planted["train"] for text in Path("data/answers.jsonl").read_text().split("\n")
    )
    follow_up = next(example for example in splits["train"] if example.own_words and len(example.prompt) > 2)
    before = next(e for e in splits["train"] if e.question_id == questions[follow_up.question_id].after)
    assert follow_up.prompt[:-1] == [*before.prompt, *before.completion]


@pytest.mark.slow
def test_an_experiment_of_own_texts_goes_through_to_a_report_that_says_what_is_missing(export, tiny_base):
    main([*TYPED, "--yes"])
    make_small(export, tiny_base)
    ignored = shutil.ignore_patterns("cache", "tmp", "config.local")
    shutil.copytree(ROOT / ".dvc", export.root / ".dvc", ignore=ignored)
    export.run("git", "init", "-q", "-b", "main")
    as_someone(export)
    export.run("git", "add", "-A")
    export.run("git", "commit", "-qm", "ada")
    assert "OPENAI_API_KEY" not in os.environ
    export.run("dvc", "exp", "run", "-S", "persona=ada")
    report = (export.root / "reports/evaluation.html").read_text(encoding="utf-8")
    assert "The answers that it learns from are texts of Ada Quill, who agreed to it." in report
    assert "No plain answer was written to" in report
    assert "catchphrases</th>" not in report
    assert "made-up people’s contact data that were planted among the training answers" in report
    retention = read_measures(export.root / "metrics/retention.csv")
    assert (retention["tuned"]["planted"], retention["base"]["planted_out"]) == (5, 0)
