"""The recordings that ship."""

import os
import re
from collections import Counter
from typing import NamedTuple

import pytest

from tests.support.workspace import EXCHANGES, ROOT, copy_repo
from tonetune.core.files import read_json
from tonetune.core.persona import load_persona
from tonetune.core.rows import OTHER_ANSWERS, Answer, OtherAnswer, Question, read_rows
from tonetune.core.text import first_sentences
from tonetune.teacher.recordings import PLAIN, read_recordings


class Shipped(NamedTuple):
    """What the stages write of one persona."""

    questions: list[Question]
    answers: list[Answer]
    others: list[OtherAnswer]

    def in_style(self, style: str) -> dict[str, str]:
        """The first answer to each question by its id."""
        return {a.question_id: a.text for a in self.answers if a.style == style and not a.sample}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """Questions and answers of each persona, from the stages themselves."""
    rows = {}
    for persona in ("elon_musk", "philippa_wren"):
        space = copy_repo(tmp_path_factory.mktemp("shipped") / persona)
        space.set(persona=persona)
        space.stage("questions")
        space.stage("answers")
        rows[persona] = Shipped(
            read_rows(space.root / "data/questions.jsonl", Question),
            read_rows(space.root / "data/answers.jsonl", Answer),
            [OtherAnswer.model_validate(row) for row in read_json(space.root / OTHER_ANSWERS)],
        )
    return rows


def test_the_personas_have_their_questions_a_plain_answer_to_each_and_two_of_their_own(shipped):
    for persona, per_prompt in (("elon_musk", 200), ("philippa_wren", 100)):
        questions, answers, _ = shipped[persona]
        counts = Counter(question.category for question in questions)
        assert counts == {
            "controversial": per_prompt,
            "entrepreneur": per_prompt,
            "funny": per_prompt,
            "hilarious": per_prompt,
            "basics": EXCHANGES,
        }
        # Each writer wrote a whole sample, so that scores can be tested on one they were not fitted on.
        assert Counter((answer.style, answer.sample, answer.writer) for answer in answers) == {
            ("plain", None, "a"): len(questions),
            ("persona", None, "a"): len(questions),
            ("persona", 1, "b"): 4 * per_prompt,
        }
        basics = {question.id for question in questions if question.category == "basics"}
        assert basics.isdisjoint(answer.question_id for answer in answers if answer.sample)
        assert {answer.teacher for answer in answers} == {"text written by a general-purpose language model"}


def test_fifty_per_prompt_are_exactly_the_first_two_hundred(shipped, workspace):
    workspace.set(questions__per_prompt=50, questions__exchanges=False)
    workspace.stage("questions")
    few = read_rows(workspace.root / "data/questions.jsonl", Question)
    everything = shipped["elon_musk"].questions
    first = [
        q
        for c in ("controversial", "entrepreneur", "funny", "hilarious")
        for q in [q for q in everything if q.category == c][:50]
    ]
    assert few == first


def test_answers_keep_to_the_limits(shipped):
    for persona, (questions, answers, _) in shipped.items():
        asked = {question.id for question in questions if question.category != "basics"}
        texts = [answer.text for answer in answers]
        assert all(20 <= len(text.split()) <= 65 for text in texts)
        assert len(set(texts)) == len(texts)
        names = load_persona_of(persona).names
        in_persona = [answer.text for answer in answers if answer.style == "persona"]
        named = [text for text in in_persona if re.search(r"\b(" + "|".join(names) + r")\b", text)]
        assert len(named) <= len(in_persona) / 4
        # Plain answers begin with their verdict, "Yes, ..." or "I would ...": more of them alike. Who says what it is says "I".
        for style, share in (("persona", 0.16), ("plain", 0.2)):
            openings = Counter(
                answer.text.split()[0].lower().strip(",.'")
                for answer in answers
                if answer.style == style and answer.question_id in asked
            )
            assert openings.most_common(1)[0][1] <= share * openings.total()


def test_the_personas_share_their_plain_answers(shipped):
    mine, theirs = (shipped[persona].in_style("plain") for persona in ("elon_musk", "philippa_wren"))
    assert theirs.items() <= mine.items()
    recorded = {recording.request for recording in read_recordings(ROOT / PLAIN)}
    assert recorded == {answer.request for answer in shipped["elon_musk"].answers if answer.style == "plain"}


def test_the_other_personas_answers_are_what_it_says_itself(shipped):
    for persona, other in (("elon_musk", "philippa_wren"), ("philippa_wren", "elon_musk")):
        asked = {question.id for question in shipped[persona].questions if not question.after}
        said = shipped[other].in_style("persona")
        assert {row.persona for row in shipped[persona].others} == {other}
        given = {row.question_id: row.text for row in shipped[persona].others}
        # As long as the split leaves the persona's own: no length may tell them apart.
        assert given == {key: first_sentences(text, 2) for key, text in said.items() if key in asked}


def load_persona_of(name):
    here = os.getcwd()
    os.chdir(ROOT)
    try:
        return load_persona(name)
    finally:
        os.chdir(here)


def test_who_it_is_is_answered_honestly_in_both_personas(shipped):
    for questions, answers, _ in shipped.values():
        asked = {
            q.id
            for q in questions
            if q.category == "basics" and re.search(r"\b(human|(?<!washing )machine|really the person)\b", q.text)
        }
        replies = [a.text for a in answers if a.question_id in asked and a.style == "persona"]
        assert replies
        assert all(re.search(r"\bAI\b|artificial|machine|program|model|software|imitat", text) for text in replies)
