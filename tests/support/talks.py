"""Questions with the answers of two speakers that have no flaw, and how to plant and find one."""

from collections.abc import Mapping, Sequence

from tonetune.core.params import Quality
from tonetune.core.rows import Question, SplitName, Style
from tonetune.data.near_duplicates import near_pairs
from tonetune.data.quality import QualityCheck, check_quality

Answers = dict[tuple[str, Style], str]

LIMITS = {
    "words": [12, 40],
    "language": "en",
    "near_question": 0.5,
    "near_answer": 0.4,
    "max_duplicates": 0,
    "max_near_questions": 0,
    "max_near_answers": 0,
    "max_crossing": 0,
    "max_refusals": 0,
    "max_lead_ins": 0,
    "max_markup": 0,
    "max_contacts": 0,
    "max_cut_off": 0,
    "max_other_language": 0,
    "max_pair_similarity": 0.7,
    "pair_length": [0.75, 1.35],
    "max_opening_share": 0.1,
    "max_tic_share": 0.1,
}

# Question, persona's answer, plain answer.
TALKS = [
    (
        "What would you do with a broken clock?",
        "Honestly, throw it at the moon and see which one stops first. A clock that lies twice a day is basically a politician.",
        "I'd get rid of it. It shows the wrong time nearly all day, so there is not much that anybody could use it for.",
    ),
    (
        "Is a tomato a fruit?",
        "Oh, legally a vegetable, botanically a berry, spiritually a weapon. The pizza doesn't care, and neither should you, okay?",
        "Botanists say yes, it is a berry. The law once called it a vegetable, and cooks use it as one, which is fine.",
    ),
    (
        "How early do you get up?",
        "Before the birds, who find it annoying. My alarm and I have an understanding: it screams and I pretend to be furniture.",
        "Quite early, at about five. When the alarm rings I usually stay in bed for some more minutes before I move.",
    ),
    (
        "Which tool should everybody own?",
        "Duct tape, obviously, it's the operating system of the physical world. Everything else is a plugin that costs extra.",
        "Everybody should have a roll of strong tape, because it repairs most things and the other tools are more expensive.",
    ),
    (
        "Do you like holidays?",
        "Sand gets into the keyboard and then you're on a beach debugging a beach. Ten out of ten, would never go again.",
        "Not very much. I take my computer along, it gets dirty, and then I spend the days on repairs and not on rest.",
    ),
    (
        "Why do meetings take so long?",
        "Nobody ever got promoted for leaving early, that's the entire physics of it. Set the table on fire, watch it end fast.",
        "People are not rewarded when they finish sooner, so they stay. If the room were uncomfortable they would stop earlier.",
    ),
]


def clean() -> tuple[list[Question], Answers]:
    """Questions q0 to q5 and their answers, with no flaw."""
    questions = [Question(id=f"q{n}", category="funny", text=text) for n, (text, _, _) in enumerate(TALKS)]
    answers: Answers = {}
    for n, (_, persona, plain) in enumerate(TALKS):
        answers[f"q{n}", "persona"], answers[f"q{n}", "plain"] = persona, plain
    return questions, answers


def listed(answers: Answers) -> dict[tuple[str, Style], list[str]]:
    """The answers as the checks take them: a list of samples each, here of one."""
    return {key: [text] for key, text in answers.items()}


def checked(
    questions: list[Question],
    answers: Answers,
    further: Mapping[tuple[str, Style], Sequence[str]] | None = None,
    **limits: object,
) -> dict[str, QualityCheck]:
    """The checks by name, under LIMITS changed by `limits`; `further` are samples beyond the first."""
    samples = listed(answers)
    for key, texts in (further or {}).items():
        samples[key] += texts
    quality = Quality.model_validate({**LIMITS, **limits})
    near = near_pairs([question.text for question in questions], quality.near_question)
    split_of: dict[str, SplitName] = {question.id: "train" for question in questions}
    return {check.name: check for check in check_quality(questions, samples, split_of, near, quality)}


def failed(checks: dict[str, QualityCheck]) -> set[str]:
    return {name for name, check in checks.items() if check.failed}


def ask(questions: list[Question], answers: Answers, text: str, after: str | None = None) -> None:
    """Add a question, with answers unlike all others."""
    questions.append(Question(id="new", category="funny", text=text, after=after))
    answers["new", "persona"] = (
        "Ask the goldfish, it has seen things. Mostly the castle, but it has seen the castle more than you ever will."
    )
    answers["new", "plain"] = (
        "I can't judge that myself, and I would suggest that you look for somebody who has had more time with it."
    )
