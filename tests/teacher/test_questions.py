"""Questions of several prompts: no two the same, and none moved by asking for more."""

import asyncio

from tests.support.workspace import ROOT
from tonetune.core.params import load_params
from tonetune.core.persona import load_persona
from tonetune.core.rows import Recording
from tonetune.teacher.prompts import TeacherPrompts
from tonetune.teacher.question_list import format_question_list
from tonetune.teacher.questions import collect_questions

LISTS = {
    "first": ["Is it alpha?", "Is it beta?", "Is it both?", "Is it gamma?", "Is it delta?"],
    "second": ["Was it one?", "Is it both?", "Was it two?", "Was it three?", "Was it four?"],
}


class Scripted:
    """A teacher with one list for each prompt."""

    async def respond(self, *forms, about, check=None, whole=True):
        return Recording(request=forms[0].key, about=about, teacher="a list", text=format_question_list(LISTS[about]))


def asked(wanted: int) -> dict[str, list[str]]:
    params = load_params(ROOT / "params.yaml")
    settings = params.questions.model_copy(update={"per_prompt": wanted, "prompts": {name: name for name in LISTS}})
    asking = TeacherPrompts(params.model_copy(update={"questions": settings}), load_persona(params.persona))
    questions = asyncio.run(collect_questions(asking, Scripted()))
    assert [question.category for question in questions] == sorted(question.category for question in questions)
    return {name: [question.text for question in questions if question.category == name] for name in LISTS}


def test_a_question_of_two_prompts_stays_where_it_was_when_more_are_wanted():
    assert asked(2) == {"first": ["Is it alpha?", "Is it beta?"], "second": ["Was it one?", "Is it both?"]}
    more = asked(4)
    assert more["second"] == ["Was it one?", "Is it both?", "Was it two?", "Was it three?"]
    assert more["first"] == ["Is it alpha?", "Is it beta?", "Is it gamma?", "Is it delta?"]
