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
        "cut_off",
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
    assert "cut_off is 50, beyond split.quality.most_cut_off: 0 in params.yaml" in lines
    rows = [line for line in lines if line.startswith("  r")]
    assert len(rows) == LISTED
    assert rows[0] == '  r0 persona "...Unfinished answer 0, which": no sentence end'
    assert "  and 30 more" in lines


def test_missing_answer_is_named() -> None:
    questions, answers = clean()
    del answers["q3", "plain"]
    with pytest.raises(UserError, match=r"data/answers\.jsonl: no plain answer to question q3"):
        checked(questions, answers)


def test_limits_in_the_wrong_order_are_an_error() -> None:
    with pytest.raises(ValidationError, match=r"words is \[lowest, highest\]"):
        Quality.model_validate({**LIMITS, "words": [130, 20]})
