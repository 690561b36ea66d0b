"""The plain answer is asked for first, and the persona says the same: each in a talk of its own."""

import asyncio

import pytest

from tests.support.talks import LIMITS
from tests.support.workspace import ROOT
from tonetune.core.params import Params, Quality, load_params
from tonetune.core.persona import Persona
from tonetune.core.rows import BASICS, Answer, Dropped, Question, Recording
from tonetune.teacher.answer_check import answer_fault
from tonetune.teacher.answers import collect_answers
from tonetune.teacher.endpoint.protocol import Unusable
from tonetune.teacher.endpoint.request import Request
from tonetune.teacher.prompts import TeacherPrompts

ADA = Persona(name="Ada", disclosure="An AI.", system="Speak as Ada.")
PLAIN_SYSTEM = "Be plain."


def params(samples: int) -> Params:
    loaded = load_params(ROOT / "params.yaml")
    template = "{question} In plain words: {plain}"
    changes = {"samples": samples, "plain_system": PLAIN_SYSTEM, "persona_user": template}
    return loaded.model_copy(update={"answers": loaded.answers.model_copy(update=changes)})


class Scripted:
    """Says what it was asked, and to whom; notes every request."""

    def __init__(self, *unusable: str):
        self.unusable = unusable
        self.asked: list[Request] = []

    async def respond(self, *forms, about, check=None, whole=True):
        (request,) = forms
        self.asked.append(request)
        plain = request.messages[0].content == PLAIN_SYSTEM
        text = f"plain {about}" if plain else f"Ada {about} {request.sample}"
        if text in self.unusable:
            raise Unusable("no")
        return Recording(request=request.key, about=about, teacher="a script", text=text, writer="ab"[request.sample])


def collected(
    *questions: Question, samples: int = 2, unusable: tuple[str, ...] = ()
) -> tuple[list[Answer], list[Dropped], list[Request]]:
    teacher = Scripted(*unusable)
    work = collect_answers(TeacherPrompts(params(samples), ADA), teacher, questions)
    answers, dropped = asyncio.run(work)
    return answers, dropped, teacher.asked


def talk(request: Request) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in request.messages]


WHY = Question(id="why", category="funny", text="Why?")
WHO = Question(id="who", category=BASICS, text="Who?")
REALLY = Question(id="really", category=BASICS, text="Really?", after="who")


def test_the_plain_answer_comes_first_and_is_in_what_the_persona_is_asked() -> None:
    answers, dropped, asked = collected(WHY)
    assert dropped == []
    assert [talk(request) for request in asked] == [
        [("system", PLAIN_SYSTEM), ("user", "Why?")],
        *[[("system", "Speak as Ada."), ("user", "Why? In plain words: plain Why?")]] * 2,
    ]
    assert [request.sample for request in asked] == [0, 0, 1]
    assert [(a.style, a.sample, a.text, a.writer) for a in answers] == [
        ("plain", None, "plain Why?", "a"),
        ("persona", None, "Ada Why? 0", "a"),
        ("persona", 1, "Ada Why? 1", "b"),
    ]
    assert [a.request for a in answers] == [request.key for request in asked]
    assert {a.teacher for a in answers} == {"a script"}


def test_a_follow_up_follows_each_styles_own_talk_and_basics_get_one_answer() -> None:
    answers, _, asked = collected(WHO, REALLY)
    assert [(a.question_id, a.style, a.sample) for a in answers] == [
        (question, style, None) for question in ("who", "really") for style in ("plain", "persona")
    ]
    plain, persona = (talk(request) for request in asked if "Really?" in request.messages[-1].content)
    assert plain == [("system", PLAIN_SYSTEM), ("user", "Who?"), ("assistant", "plain Who?"), ("user", "Really?")]
    assert persona == [
        ("system", "Speak as Ada."),
        ("user", "Who?"),
        ("assistant", "Ada Who? 0"),
        ("user", "Really? In plain words: plain Really?"),
    ]


@pytest.mark.parametrize(
    ("unusable", "left", "lost"),
    [
        ("plain Why?", [], [("plain", None, "no")]),
        ("Ada Why? 0", [], [("persona", None, "no")]),
        ("Ada Why? 1", [("plain", None), ("persona", None)], [("persona", 1, "no")]),
    ],
)
def test_a_question_goes_with_either_of_its_first_answers_and_not_with_a_further_one(unusable, left, lost) -> None:
    answers, dropped, _ = collected(WHY, unusable=(unusable,))
    assert [(a.style, a.sample) for a in answers] == left
    assert [(row.style, row.sample, row.reason) for row in dropped] == lost


@pytest.mark.parametrize("unusable", ["plain Who?", "Ada Who? 0"])
def test_what_follows_a_dropped_question_is_dropped_too(unusable) -> None:
    answers, dropped, _ = collected(WHO, REALLY, WHY, unusable=(unusable,))
    assert {a.question_id for a in answers} == {"why"}
    assert [(row.question_id, row.reason) for row in dropped] == [
        ("who", "no"),
        ("really", "what it follows was dropped"),
    ]


GOOD = "Five in the morning is early enough for me, because the kitchen is quiet then and the coffee is still hot."
FAULTS = [
    ({"max_refusals": "off"}, f"I'm sorry, but I can't say. {GOOD}", "declines"),
    ({"max_lead_ins": "off"}, f"Here is the rewritten answer: {GOOD}", "a lead-in"),
    ({"max_markup": "off"}, f"**{GOOD}**", "markup"),
    ({"max_contacts": "off"}, f"Write to early.bird@example.org. {GOOD}", "contact data"),
    ({"words": "off"}, "Five in the morning.", "4 words"),
    ({"max_cut_off": "off"}, GOOD.removesuffix("."), "cut off"),
    (
        {"max_other_language": "off"},
        "Um fünf Uhr morgens, denn dann ist die Küche noch still, und der Kaffee ist noch heiß genug.",
        "reads as de",
    ),
    (
        {"language": "off"},
        "À cinq heures, parce que la cuisine est calme et que le café est encore chaud.",
        "reads as fr",
    ),
]


@pytest.mark.parametrize(("off", "text", "fault"), FAULTS, ids=[next(iter(off)) for off, _, _ in FAULTS])
def test_a_live_answer_is_held_to_the_limits_of_the_split_unless_they_are_off(off, text, fault) -> None:
    def found(**limits: object) -> str | None:
        return answer_fault(text, WHY, Quality.model_validate({**LIMITS, **limits}))

    assert found().startswith(fault)
    assert found(**off) is None


def test_a_good_live_answer_has_no_fault_and_a_basic_one_may_decline() -> None:
    limits = Quality.model_validate(LIMITS)
    assert answer_fault(GOOD, WHY, limits) is None
    assert answer_fault(f"I'm sorry, but I can't say. {GOOD}", WHO, limits) is None


@pytest.mark.parametrize(
    ("knob", "plain", "fault"),
    [
        ("pair_length", "Very early.", "the plain answer is"),
        ("max_pair_similarity", GOOD, "1.00 like the plain answer"),
    ],
)
def test_a_live_persona_answer_is_compared_with_the_plain_one(knob, plain, fault) -> None:
    assert answer_fault(GOOD, WHY, Quality.model_validate(LIMITS), plain).startswith(fault)
    assert answer_fault(GOOD, WHY, Quality.model_validate({**LIMITS, knob: "off"}), plain) is None
