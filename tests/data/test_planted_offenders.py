"""Each check of the quality gate fires on a planted offender and on nothing else, and says where to look."""

from collections.abc import Callable

import pytest

from tests.support.talks import LIMITS, Answers, ask, checked, clean, failed, listed
from tonetune.core.errors import UserError
from tonetune.core.params import Quality
from tonetune.core.rows import Question, SplitName
from tonetune.data.near_duplicates import near_pairs
from tonetune.data.quality import check_quality, enforce


def repeated_question(questions: list[Question], answers: Answers) -> None:
    ask(questions, answers, "is a TOMATO a fruit")


def near_question(questions: list[Question], answers: Answers) -> None:
    ask(questions, answers, "Which one tool should everybody own?")


def repeated_answer(questions: list[Question], answers: Answers) -> None:
    ask(questions, answers, "Can fish dream?")
    answers["new", "persona"] = answers["q0", "persona"].upper()


def near_answer(questions: list[Question], answers: Answers) -> None:
    ask(questions, answers, "Can fish dream?")
    answers["new", "plain"] = answers["q3", "plain"].replace("repairs most things", "holds a lot together")


def refusal(questions: list[Question], answers: Answers) -> None:
    answers["q1", "persona"] = "As an AI language model, I have no taste of my own. " + answers["q1", "persona"]
    answers["q1", "plain"] += " That is what I'd say about it if I had to choose one."


def cut_off(questions: list[Question], answers: Answers) -> None:
    answers["q2", "persona"] = answers["q2", "persona"].removesuffix(" furniture.")


def lead_in(questions: list[Question], answers: Answers) -> None:
    answers["q2", "persona"] = "Here is the rewritten answer: " + answers["q2", "persona"]


def markup(questions: list[Question], answers: Answers) -> None:
    answers["q0", "plain"] = answers["q0", "plain"].replace("get rid of it", "**get rid of it**")


def contact(questions: list[Question], answers: Answers) -> None:
    answers["q3", "persona"] = answers["q3", "persona"].replace("Duct tape", "Duct tape from tape@example.org")


def german(questions: list[Question], answers: Answers) -> None:
    answers["q4", "plain"] = (
        "Eigentlich nicht besonders, denn ich nehme meinen Rechner mit, er wird schmutzig, und dann verbringe ich alle Tage mit Reparaturen."
    )


def too_short(questions: list[Question], answers: Answers) -> None:
    answers["q5", "persona"] = "Nobody is promoted for leaving early, so set it on fire."
    answers["q5", "plain"] = "They aren't rewarded for it if they finish sooner than others."


def too_long(questions: list[Question], answers: Answers) -> None:
    answers["q5", "persona"] += (
        " That's it, and that is also the reason why the chairs are so soft, because a hard one would save you a year."
    )
    answers["q5", "plain"] += (
        " The chairs are soft too, which I'd say is a mistake, because with hard ones each of us would have much more time."
    )


def pair_alike(questions: list[Question], answers: Answers) -> None:
    answers["q0", "plain"] = answers["q0", "persona"].removeprefix("Honestly, ").replace("throw", "I'd throw")


def pair_shorter(questions: list[Question], answers: Answers) -> None:
    answers["q0", "plain"] = "I'd get rid of it, because it shows the wrong time nearly all day."


def pair_longer(questions: list[Question], answers: Answers) -> None:
    answers["q0", "plain"] += " Of course somebody could repair it, if they know how and have the parts."


def same_opening(questions: list[Question], answers: Answers) -> None:
    for n in (0, 2, 3, 5):
        answers[f"q{n}", "persona"] = "Right, so " + answers[f"q{n}", "persona"]


def tic(questions: list[Question], answers: Answers) -> None:
    # The persona's answers grow alike, so that the pairs stay about equal in length.
    for n, more in (
        (1, "Berries win again."),
        (2, "Feathers help, too."),
        (4, "Gulls watched it."),
        (5, "Bring a match."),
    ):
        answers[f"q{n}", "persona"] += f" {more}"
        answers[f"q{n}", "plain"] += " So that's my\nview."


PLANTS = [
    (repeated_question, "duplicate_questions", 'new "is a TOMATO a fruit": the same as q1'),
    (near_question, "near_questions", 'like q3 "Which tool should everybody own?"'),
    (repeated_answer, "duplicate_answers", 'new persona "HONESTLY, THROW'),
    (near_answer, "near_answers", "like q3 plain"),
    (refusal, "refusals", ': "as an ai language model"'),
    (cut_off, "cut_off", 'q2 persona "...'),
    (lead_in, "lead_ins", 'q2 persona "Here is the rewritten answer: Before'),
    (markup, "markup", ': "**"'),
    (contact, "contacts", ': "tape@example.org"'),
    (german, "other_language", "q4 plain"),
    (too_short, "words_min", "q5 persona"),
    (too_long, "words_max", "q5 persona"),
    (pair_alike, "pair_similarity", "q0 persona"),
    (pair_shorter, "pair_length_min", "q0 persona"),
    (pair_longer, "pair_length_max", "q0 persona"),
    (same_opening, "opening_share_persona", '"right so"'),
    (tic, "tic_share_plain", "so that's my view"),
]


@pytest.mark.parametrize(("plant", "check", "offender"), PLANTS, ids=[check for _, check, _ in PLANTS])
def test_planted_offender_fails_its_check_alone(
    plant: Callable[[list[Question], Answers], None], check: str, offender: str
) -> None:
    questions, answers = clean()
    plant(questions, answers)
    checks = checked(questions, answers)
    assert failed(checks) == {check}
    assert offender in checks[check].offenders[0]


def test_near_questions_on_different_sides_fail() -> None:
    questions, answers = clean()
    near_question(questions, answers)
    quality = Quality.model_validate({**LIMITS, "max_near_questions": 1})
    near = near_pairs([question.text for question in questions], quality.near_question)
    split_of: dict[str, SplitName] = {question.id: "train" for question in questions}
    assert failed({c.name: c for c in check_quality(questions, listed(answers), split_of, near, quality)}) == set()
    checks = {c.name: c for c in check_quality(questions, listed(answers), {**split_of, "new": "test"}, near, quality)}
    assert failed(checks) == {"crossing_pairs"}
    assert "(test)" in checks["crossing_pairs"].offenders[0]
    assert "(train)" in checks["crossing_pairs"].offenders[0]


def test_the_basic_exchanges_may_decline() -> None:
    questions, answers = clean()
    refusal(questions, answers)
    questions[1] = questions[1].model_copy(update={"category": "basics"})
    assert failed(checked(questions, answers)) == set()


KNOBS = {
    "duplicate_questions": "max_duplicates",
    "near_questions": "max_near_questions",
    "duplicate_answers": "max_duplicates",
    "near_answers": "max_near_answers",
    "refusals": "max_refusals",
    "lead_ins": "max_lead_ins",
    "markup": "max_markup",
    "contacts": "max_contacts",
    "cut_off": "max_cut_off",
    "other_language": "max_other_language",
    "words_min": "words",
    "words_max": "words",
    "pair_similarity": "max_pair_similarity",
    "pair_length_min": "pair_length",
    "pair_length_max": "pair_length",
    "opening_share_persona": "max_opening_share",
    "tic_share_plain": "max_tic_share",
}


@pytest.mark.parametrize(("plant", "check"), [plant[:2] for plant in PLANTS], ids=[check for _, check, _ in PLANTS])
def test_off_switches_the_check_off_and_still_measures(
    plant: Callable[[list[Question], Answers], None], check: str
) -> None:
    questions, answers = clean()
    plant(questions, answers)
    checks = checked(questions, answers, **{KNOBS[check]: "off"})
    assert failed(checks) == set()
    assert checks[check].value == checked(questions, answers)[check].value


def test_off_as_the_language_looks_for_none() -> None:
    questions, answers = clean()
    german(questions, answers)
    checks = checked(questions, answers, language="off")
    assert failed(checks) == set()
    assert checks["other_language"].value == 0


def test_near_questions_may_cross_where_that_is_off() -> None:
    questions, answers = clean()
    near_question(questions, answers)
    quality = Quality.model_validate({**LIMITS, "max_near_questions": 1, "max_crossing": "off"})
    near = near_pairs([question.text for question in questions], quality.near_question)
    split_of: dict[str, SplitName] = {question.id: "train" for question in questions}
    checks = check_quality(questions, listed(answers), {**split_of, "new": "test"}, near, quality)
    assert [check.name for check in checks if check.failed] == []
    assert {check.name: check.value for check in checks}["crossing_pairs"] == 1


def test_a_further_sample_is_checked_like_the_first() -> None:
    questions, answers = clean()
    flawed = "Get up early, they said, and the birds said nothing at all, since even they were still asleep in the"
    checks = checked(questions, answers, {("q2", "persona"): [flawed]})
    assert failed(checks) == {"cut_off"}
    assert checks["cut_off"].offenders[0].startswith("q2 persona")


def test_two_samples_of_one_question_may_be_near_but_not_the_same() -> None:
    questions, answers = clean()
    first = answers["q2", "persona"]
    near = first.replace("pretend to be furniture", "pretend to be a sofa")
    assert failed(checked(questions, answers, {("q2", "persona"): [near]})) == set()
    assert failed(checked(questions, answers, {("q2", "persona"): [first]})) == {"duplicate_answers"}


def test_a_raised_limit_lets_offenders_through() -> None:
    questions, answers = clean()
    cut_off(questions, answers)
    checks = checked(questions, answers, max_cut_off=1)
    assert (checks["cut_off"].value, checks["cut_off"].failed) == (1, False)


def test_error_shares_the_rows_among_failed_checks() -> None:
    questions, answers = clean()
    cut_off(questions, answers)
    german(questions, answers)
    with pytest.raises(UserError) as error:
        enforce(checked(questions, answers).values(), Quality.model_validate(LIMITS), "split.quality")
    message = str(error.value)
    assert "split.quality.max_cut_off: 0" in message
    assert "split.quality.max_other_language: 0" in message
    assert 'q4 plain "Eigentlich nicht' in message
