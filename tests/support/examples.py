"""Rows of the splits and scored answers, made by hand."""

from typing import Any

from tonetune.core.rows import SCORES, Example, Generation, Message


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


def answers(system: str, scores, seed: int = 1) -> list[Generation]:
    """An answer to question number i with all of its scores at `scores[i]`."""
    return [
        Generation(
            system=system,
            question_id=f"q{i:03}",
            seed=seed,
            text="Yes.",
            **dict.fromkeys(SCORES, score),
        )
        for i, score in enumerate(scores)
    ]
