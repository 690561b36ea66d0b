"""The recordings that ship."""

import os
import re
from collections import Counter

import pytest

from tests.support.workspace import ROOT, copy_repo
from tonetune.core.persona import load_persona
from tonetune.core.rows import Answer, Question, read_rows


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """Questions and answers of each persona, from the stages themselves."""
    rows = {}
    for persona in ("elon_musk", "philippa_wren"):
        space = copy_repo(tmp_path_factory.mktemp("shipped") / persona)
        space.set(persona=persona)
        space.stage("questions")
        space.stage("answers")
        rows[persona] = (
            read_rows(space.root / "data/questions.jsonl", Question),
            read_rows(space.root / "data/answers.jsonl", Answer),
        )
    return rows


def test_the_personas_have_their_questions_and_two_answers_to_each(shipped):
    for persona, per_prompt in (("elon_musk", 100), ("philippa_wren", 50)):
        questions, answers = shipped[persona]
        counts = Counter(question.category for question in questions)
        assert counts == {
            "controversial": per_prompt,
            "entrepreneur": per_prompt,
            "funny": per_prompt,
            "hilarious": per_prompt,
            "basics": 24,
        }
        assert Counter(answer.style for answer in answers) == {"persona": len(questions), "plain": len(questions)}
        assert {answer.teacher for answer in answers} == {"text written by a general-purpose language model"}


def test_fifty_per_prompt_are_exactly_the_first_two_hundred(shipped, workspace):
    workspace.set(questions__per_prompt=50, questions__exchanges=False)
    workspace.stage("questions")
    few = read_rows(workspace.root / "data/questions.jsonl", Question)
    everything = shipped["elon_musk"][0]
    first = [
        q
        for c in ("controversial", "entrepreneur", "funny", "hilarious")
        for q in [q for q in everything if q.category == c][:50]
    ]
    assert few == first


def test_answers_keep_to_the_limits(shipped):
    for persona, (_, answers) in shipped.items():
        texts = [answer.text for answer in answers]
        assert all(25 <= len(text.split()) <= 110 for text in texts)
        assert len(set(texts)) == len(texts)
        names = load_persona_of(persona).names
        in_persona = [answer.text for answer in answers if answer.style == "persona"]
        named = [text for text in in_persona if re.search(r"\b(" + "|".join(names) + r")\b", text)]
        assert len(named) <= len(in_persona) / 4
        for style in ("persona", "plain"):
            openings = Counter(
                answer.text.split()[0].lower().strip(",.'") for answer in answers if answer.style == style
            )
            assert openings.most_common(1)[0][1] <= 0.12 * len(in_persona)


def load_persona_of(name):
    here = os.getcwd()
    os.chdir(ROOT)
    try:
        return load_persona(name)
    finally:
        os.chdir(here)


def test_who_it_is_is_answered_honestly_in_both_personas(shipped):
    for questions, answers in shipped.values():
        asked = {
            q.id
            for q in questions
            if q.category == "basics" and re.search(r"\b(human|machine|really the person)\b", q.text)
        }
        replies = [a.text for a in answers if a.question_id in asked and a.style == "persona"]
        assert replies
        assert all(re.search(r"\bAI\b|artificial|machine|program|model|software|imitat", text) for text in replies)
