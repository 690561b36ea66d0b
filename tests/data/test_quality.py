"""The quality gate: each check fires on a planted offender and on nothing else, and says where to look."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from zlib import crc32

import numpy as np
import pytest
from pydantic import ValidationError

from tests.support.workspace import ROOT
from tonetune.core.errors import UserError
from tonetune.core.params import Quality, Scorers
from tonetune.core.rows import Example, Message, Question, Style
from tonetune.core.text import ends_in_sentence, english_share, words
from tonetune.data.near_duplicates import near_pairs
from tonetune.data.quality import LISTED, QualityCheck, check_quality, enforce
from tonetune.data.semantic_checks import check_matter
from tonetune.data.split import Side

Answers = dict[tuple[str, Style], str]

LIMITS = {
    "words": [12, 40],
    "english_share_min": 0.25,
    "near_question": 0.5,
    "near_answer": 0.4,
    "most_duplicates": 0,
    "most_near_questions": 0,
    "most_near_answers": 0,
    "most_crossing": 0,
    "most_refusals": 0,
    "most_cut_off": 0,
    "pair_similarity_max": 0.7,
    "pair_length": [0.75, 1.35],
    "opening_share_max": 0.1,
    "tic_share_max": 0.1,
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


def checked(questions: list[Question], answers: Answers, **limits: object) -> dict[str, QualityCheck]:
    quality = Quality.model_validate({**LIMITS, **limits})
    near = near_pairs([question.text for question in questions], quality.near_question)
    sides: dict[str, Side] = {question.id: "train" for question in questions}
    return {check.name: check for check in check_quality(questions, answers, sides, near, quality)}


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
    (refusal, "refusals", 'says "as an ai language model"'),
    (cut_off, "cut_off", 'q2 persona "...'),
    (german, "english_share", "q4 plain"),
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
    quality = Quality.model_validate({**LIMITS, "most_near_questions": 1})
    near = near_pairs([question.text for question in questions], quality.near_question)
    sides: dict[str, Side] = {question.id: "train" for question in questions}
    assert failed({c.name: c for c in check_quality(questions, answers, sides, near, quality)}) == set()
    checks = {c.name: c for c in check_quality(questions, answers, {**sides, "new": "test"}, near, quality)}
    assert failed(checks) == {"crossing_pairs"}
    assert "(test)" in checks["crossing_pairs"].offenders[0]
    assert "(train)" in checks["crossing_pairs"].offenders[0]


def test_the_basic_exchanges_may_decline() -> None:
    questions, answers = clean()
    refusal(questions, answers)
    questions[1] = questions[1].model_copy(update={"category": "basics"})
    assert failed(checked(questions, answers)) == set()


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


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("Done.", True),
        ("*Done.*", True),
        ("(All done!)", True),
        ("\u201cDone?\u201d", True),
        ("[Done\u2026]", True),
        ("Done... \U0001f680\U0001f680", True),
        ("Done", False),
        ("*Done*", False),
        ("Done:", False),
        ("Done. And", False),
        ("(done)", False),
        ("\U0001f680", False),
        ("", False),
    ],
)
def test_a_sentence_ends_in_a_mark_and_what_closes_it(text: str, ends: bool) -> None:
    assert ends_in_sentence(text) is ends


def test_the_rule_is_had_without_the_libraries_of_models() -> None:
    heavy = "{'torch', 'transformers', 'sklearn', 'sentence_transformers', 'evaluate'}"
    code = f"import sys; from tonetune.core.text import ends_in_sentence; print({heavy} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_english_stands_apart_from_its_neighbours() -> None:
    others = [
        "C'est une question intéressante, et je pense que nous devons d'abord parler de la physique avant de décider.",
        "Es una pregunta muy buena, y no me gusta como he pensado en ella hasta ahora, pero la física es la ley.",
        "Dat is een goede vraag, en ik denk dat we eerst over de natuurkunde moeten praten, want het is niet zo makkelijk.",
        "这是一个很好的问题。",
    ]
    assert max(english_share(text) for text in others) < 0.15
    assert min(english_share(text) for _, *texts in TALKS for text in texts) > 0.25


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


def test_a_raised_limit_lets_offenders_through() -> None:
    questions, answers = clean()
    cut_off(questions, answers)
    checks = checked(questions, answers, most_cut_off=1)
    assert (checks["cut_off"].value, checks["cut_off"].failed) == (1, False)


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


def test_error_shares_the_rows_among_failed_checks() -> None:
    questions, answers = clean()
    cut_off(questions, answers)
    german(questions, answers)
    with pytest.raises(UserError) as error:
        enforce(checked(questions, answers).values(), Quality.model_validate(LIMITS), "split.quality")
    message = str(error.value)
    assert "split.quality.most_cut_off: 0" in message
    assert "split.quality.english_share_min: 0.25" in message
    assert 'q4 plain "Eigentlich nicht' in message


def test_missing_answer_is_named() -> None:
    questions, answers = clean()
    del answers["q3", "plain"]
    with pytest.raises(UserError, match=r"data/answers\.jsonl: no plain answer to question q3"):
        checked(questions, answers)


def test_limits_in_the_wrong_order_are_an_error() -> None:
    with pytest.raises(ValidationError, match=r"words is \[lowest, highest\]"):
        Quality.model_validate({**LIMITS, "words": [130, 20]})


SCORERS = Scorers(
    sentence_model="bag of words", sentence_epochs=1, unrelated_max=0.1, near_training_max=0.85, hidden_layers=1
)


def bag_of_words(texts: Sequence[str]) -> np.ndarray:
    """Unit vectors that count words, each with a place of its own by its hash."""
    counts = np.zeros((len(texts), 4096))
    for row, text in zip(counts, texts, strict=True):
        for word in words(text):
            row[crc32(word.encode()) % counts.shape[1]] += 1
    return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def asked(number: int, subject: str, question: str, *answers: str, category: str = "funny") -> Example:
    persona, plain = answers or (f"Honestly, that {subject} again.", f"It's about that {subject}.")
    return Example(
        question_id=f"q{number}",
        category=category,
        prompt=[Message(role="system", content="Be brief."), Message(role="user", content=question)],
        completion=[Message(role="assistant", content=persona)],
        plain=plain,
    )


def matched() -> dict[str, list[Example]]:
    """Six questions, each with answers about its own subject, and an exchange that is about nothing."""
    subjects = ("goose", "clock", "tomato", "ladder", "pudding", "violin")
    forms = (
        "What would you do with a {}?",
        "Is the {} overrated?",
        "Tell me of a {}.",
        "How do I mend the {}?",
        "Do you want a {}?",
        "Why the {}?",
    )
    rows = [asked(n, s, form.format(s)) for n, (s, form) in enumerate(zip(subjects, forms, strict=True))]
    hello = asked(9, "", "Hello there.", "Well met.", "Good day to you.", category="basics")
    return {"train": [*rows[:4], hello], "validation": rows[4:5], "test": rows[5:]}


def matter(splits: dict[str, list[Example]]) -> dict[str, QualityCheck]:
    return {check.name: check for check in check_matter(splits, bag_of_words, SCORERS)}


def test_answers_to_their_own_questions_and_unlike_questions_pass() -> None:
    checks = matter(matched())
    assert failed(checks) == set()
    assert checks["unrelated_max"].value == 0
    assert checks["near_training_max"].value < 0.6
    enforce(checks.values(), SCORERS, "scorers")


def test_swapped_answers_are_unrelated_and_named_by_their_questions() -> None:
    splits = matched()
    # As in a file whose answers slipped by a row: the one is about ladders, the other about geese.
    goose, ladder = splits["train"][0], splits["train"][3]
    splits["train"][0] = goose.model_copy(update={"completion": ladder.completion, "plain": ladder.plain})
    splits["train"][3] = ladder.model_copy(update={"completion": goose.completion, "plain": goose.plain})
    checks = matter(splits)
    assert failed(checks) == {"unrelated_max"}
    offenders = checks["unrelated_max"].offenders
    assert {offender.split()[0] for offender in offenders} == {"q0", "q3"}
    assert '"How do I mend the ladder?": "Honestly, that goose again." is nearer' in " ".join(offenders)
    with pytest.raises(UserError, match=r"scorers\.unrelated_max: "):
        enforce(checks.values(), SCORERS, "scorers")


@pytest.mark.parametrize("side", ["validation", "test"])
def test_a_held_out_question_that_is_nearly_a_training_one_is_named(side: str) -> None:
    splits = matched()
    splits[side].append(asked(7, "big goose", "What would you do with a big goose?"))
    checks = matter(splits)
    assert failed(checks) == {"near_training_max"}
    (offender,) = checks["near_training_max"].offenders
    assert offender.startswith(f'q7 ({side}) "What would you do with a big goose?"')
    assert 'q0 (train) "What would you do with a goose?"' in offender
