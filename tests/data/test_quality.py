"""The quality gate: clean rows pass, each rule knows its border, and an error names the knob and the rows."""

import pytest
from pydantic import ValidationError

from tests.support.talks import LIMITS, ask, checked, clean, failed
from tonetune.core.errors import UserError
from tonetune.core.params import Quality
from tonetune.core.rows import Question
from tonetune.data.quality import LISTED, enforce


def test_clean_rows_pass() -> None:
    checks = checked(*clean())
    assert failed(checks) == set()
    counted = (
        "duplicate_questions",
        "duplicate_answers",
        "near_questions",
        "near_answers",
        "crossing_pairs",
        "refusals",
        "lead_ins",
        "markup",
        "contacts",
        "cut_off",
        "other_language",
    )
    assert [checks[name].value for name in counted] == [0] * len(counted)
    enforce(checks.values(), Quality.model_validate(LIMITS), "split.quality")


def test_report_is_flat_numbers_and_always_the_same() -> None:
    reports = [{name: check.value for name, check in checked(*clean()).items()} for _ in range(2)]
    assert reports[0] == reports[1]
    assert list(reports[0]) == list(reports[1])
    assert all(type(value) in (int, float) for value in reports[0].values())


@pytest.mark.parametrize(
    "text",
    [
        "I\u2019m sorry, but I can\u2019t help with that.",
        "I cannot assist with such a thing.",
        "I'm unable to provide an opinion.",
        "I don't have personal opinions.",
        "I am an AI, and birds are above me.",
        "It goes against my guidelines.",
    ],
)
def test_refusals_are_known(text: str) -> None:
    questions, answers = clean()
    answers["q2", "persona"] = f"{text} {answers['q2', 'persona']}"
    assert checked(questions, answers)["refusals"].value == 1


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry to say the cake is gone, and I can't help wondering about the dog.",
        "I can't answer for the street, and I won't pretend to.",
        "I ran an AI company out of a shed, as an engineer does.",
    ],
)
def test_ordinary_regret_is_no_refusal(text: str) -> None:
    questions, answers = clean()
    answers["q2", "persona"] = f"{text} {answers['q2', 'persona']}"
    assert checked(questions, answers)["refusals"].value == 0


@pytest.mark.parametrize(
    ("check", "text"),
    [
        ("lead_ins", "Sure, here is the answer:"),
        ("lead_ins", "Here\u2019s my version of it in that voice:"),
        ("lead_ins", "Plain answer:"),
        ("markup", "<|im_end|>"),
        ("markup", "<b>Early.</b>"),
        ("markup", "Early &amp; often."),
        ("markup", "# Mornings\n"),
        ("markup", "Two things:\n- the alarm\n- the birds\n"),
        ("markup", "See [the birds](birds)."),
        ("markup", "It\u00e2\u20ac\u2122s early."),
        ("contacts", "Ask early.bird@example.org about it."),
        ("contacts", "It is all on https://example.org/birds already."),
        ("contacts", "Call me at +1 (555) 010-0199 for more."),
        ("contacts", "I live at 12 Baker Street now."),
        (
            "other_language",
            "Ich stehe immer sehr fr\u00fch auf, denn die V\u00f6gel singen dann noch nicht. Das ist auch gut so. " * 2,
        ),
    ],
)
def test_what_is_no_answer_is_known(check: str, text: str) -> None:
    questions, answers = clean()
    answers["q2", "persona"] = f"{text} {answers['q2', 'persona']}"
    checks = checked(questions, answers)
    assert checks[check].value == 1
    assert checks[check].failed


@pytest.mark.parametrize(
    ("check", "text"),
    [
        ("lead_ins", "Here's the thing: the birds are late."),
        ("lead_ins", "Sure, the answer is yes."),
        ("lead_ins", "My answer to the birds was a shrug."),
        ("markup", "It's 5 < 6, and R&D is in bed - so am I, at 100% of the speed."),
        ("markup", "Caf\u00e9 \u2014 \u201cearly\u201d \u2026 \U0001f680"),
        ("contacts", "It was 1,000,000 o'clock in 2024, or 5.30 if you ask the 3 birds."),
        ("contacts", "I sleep on 12 main streets, at 9 to 5."),
        ("other_language", "Voil\u00e0, the Zeitgeist."),
    ],
)
def test_what_only_looks_like_it_is_an_answer(check: str, text: str) -> None:
    questions, answers = clean()
    answers["q2", "persona"] = f"{text} {answers['q2', 'persona']}"
    assert checked(questions, answers)[check].value == 0


@pytest.mark.parametrize(
    "end", ["done!", 'he said "done."', "done?)", "done\u2026", "done. \U0001f680", "done! \u2764\ufe0f"]
)
def test_finished_sentences_are_not_cut_off(end: str) -> None:
    questions, answers = clean()
    answers["q2", "persona"] = answers["q2", "persona"].removesuffix("furniture.") + end
    assert checked(questions, answers)["cut_off"].value == 0


@pytest.mark.parametrize("end", ["and then", "because,", "three things:", "then \U0001f680"])
def test_unfinished_sentences_are_cut_off(end: str) -> None:
    questions, answers = clean()
    answers["q2", "persona"] = answers["q2", "persona"].removesuffix("furniture.") + end
    assert checked(questions, answers)["cut_off"].value == 1


def test_a_follow_up_may_repeat_another() -> None:
    questions, answers = clean()
    questions[4] = questions[4].model_copy(update={"text": "Why do you think so?", "after": "q0"})
    ask(questions, answers, "Why do you think so?", after="q1")
    assert failed(checked(questions, answers)) == set()
    questions[-1] = questions[-1].model_copy(update={"after": "q0"})
    assert failed(checked(questions, answers)) == {"duplicate_questions"}


def test_a_few_alike_are_allowed_in_a_small_data_set() -> None:
    questions, answers = clean()
    for n in (0, 2, 3):
        answers[f"q{n}", "persona"] = "Right, so " + answers[f"q{n}", "persona"]
    checks = checked(questions, answers)
    assert checks["opening_share_persona"].value == 0.5
    assert failed(checks) == set()


def test_error_names_the_knob_and_lists_twenty_rows() -> None:
    questions, answers = clean()
    for n in range(LISTED + 5):
        questions.append(Question(id=f"r{n}", category="basics", text=f"Question {n} of many?"))
        answers[f"r{n}", "persona"] = answers[f"r{n}", "plain"] = f"Unfinished answer {n}, which"
    quality = Quality.model_validate(LIMITS)
    checks = checked(questions, answers)
    with pytest.raises(UserError) as error:
        enforce([checks["cut_off"]], quality, "split.quality")
    lines = str(error.value).splitlines()
    assert "cut_off is 50, beyond split.quality.max_cut_off: 0 in params.yaml" in lines
    rows = [line for line in lines if line.startswith("  r")]
    assert len(rows) == LISTED
    assert rows[0] == '  r0 persona "...Unfinished answer 0, which": no sentence end'
    assert "  and 30 more" in lines


def test_missing_answer_is_named() -> None:
    questions, answers = clean()
    del answers["q3", "plain"]
    with pytest.raises(UserError, match=r"data/answers\.jsonl: no plain answer to question q3"):
        checked(questions, answers)


@pytest.mark.parametrize("knob", ["near_question", "near_answer"])
def test_what_defines_near_cannot_be_off(knob: str) -> None:
    with pytest.raises(ValidationError, match=knob):
        Quality.model_validate({**LIMITS, knob: "off"})


def test_limits_in_the_wrong_order_are_an_error() -> None:
    with pytest.raises(ValidationError, match=r"words is \[lowest, highest\]"):
        Quality.model_validate({**LIMITS, "words": [130, 20]})
