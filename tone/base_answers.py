"""What the untuned base answered to training questions, for the classifiers that must tell it from the persona."""

from collections.abc import Sequence
from pathlib import Path

from tone.rows import Example, Row, read_rows

BASE_ANSWERS = Path("data/base_answers.jsonl")


class BaseAnswer(Row):
    question_id: str
    text: str
    """Empty where the base ended at once."""


def base_answers_to(examples: Sequence[Example]) -> list[str]:
    """The base's answers to those of the examples it was asked; a full stop for an empty one, as texts must not be empty."""
    asked = {example.question_id for example in examples}
    return [row.text or "." for row in read_rows(BASE_ANSWERS, BaseAnswer) if row.question_id in asked]
