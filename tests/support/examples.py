"""Rows of the splits, made by hand."""

from typing import Any

from tonetune.core.rows import Example, Message


def example(question: str, answer: str = "An answer.", **fields: Any) -> Example:
    """A question with the persona's answer; `fields` replace what else is in the row."""
    row = {
        "question_id": question,
        "category": "c",
        "prompt": [Message(role="system", content="Be brief."), Message(role="user", content=question)],
        "completion": [Message(role="assistant", content=answer)],
        "plain": "Plain.",
    }
    return Example(**(row | fields))
