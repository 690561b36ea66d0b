"""Answers that belong to other questions, and held-out questions that are nearly training ones, are found and named."""

from collections.abc import Sequence
from zlib import crc32

import numpy as np
import pytest

from tests.support.examples import example
from tests.support.talks import failed
from tonetune.core.errors import UserError
from tonetune.core.params import Scorers
from tonetune.core.rows import Example
from tonetune.core.text import words
from tonetune.data.quality import QualityCheck, enforce
from tonetune.data.semantic_checks import check_matter

SCORERS = Scorers(
    sentence_model="bag of words",
    sentence_epochs=1,
    max_unrelated=0.1,
    max_near_training=0.85,
    fluency_texts=8,
    hidden_layers=1,
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
    return example(question, persona, question_id=f"q{number}", category=category, plain=plain)


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
    assert checks["max_unrelated"].value == 0
    assert checks["max_near_training"].value < 0.6
    enforce(checks.values(), SCORERS, "scorers")


def test_swapped_answers_are_unrelated_and_named_by_their_questions() -> None:
    splits = matched()
    # As in a file whose answers slipped by a row: the one is about ladders, the other about geese.
    goose, ladder = splits["train"][0], splits["train"][3]
    splits["train"][0] = goose.model_copy(update={"completion": ladder.completion, "plain": ladder.plain})
    splits["train"][3] = ladder.model_copy(update={"completion": goose.completion, "plain": goose.plain})
    checks = matter(splits)
    assert failed(checks) == {"max_unrelated"}
    offenders = checks["max_unrelated"].offenders
    assert {offender.split()[0] for offender in offenders} == {"q0", "q3"}
    assert '"How do I mend the ladder?": "Honestly, that goose again." is nearer' in " ".join(offenders)
    with pytest.raises(UserError, match=r"scorers\.max_unrelated: "):
        enforce(checks.values(), SCORERS, "scorers")


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_held_out_question_that_is_nearly_a_training_one_is_named(split: str) -> None:
    splits = matched()
    splits[split].append(asked(7, "big goose", "What would you do with a big goose?"))
    checks = matter(splits)
    assert failed(checks) == {"max_near_training"}
    (offender,) = checks["max_near_training"].offenders
    assert offender.startswith(f'q7 ({split}) "What would you do with a big goose?"')
    assert 'q0 (train) "What would you do with a goose?"' in offender
