"""What the model is tuned to do: answer questions, or rewrite plain text in the persona's tone (`train.task`)."""

from collections.abc import Sequence

from tonetune.core.errors import UserError
from tonetune.core.rows import Example, Message

ANSWER, REWRITE, BOTH = "answer", "rewrite", "both"

BARE_EVERY = 4
"""Of so many rewritings one is learnt without its question, as the text that people bring answers none."""


def rewriting_chat(system: str, text: str, question: str | None = None) -> list[Message]:
    """The chat that asks for `text` in the persona's tone; `question` is what it answers, for context."""
    asked = f"Question: {question}\n\nText: {text}" if question else f"Text: {text}"
    return [Message(role="system", content=system), Message(role="user", content=asked)]


def as_rewriting(example: Example, system: str, bare: bool = False) -> Example:
    """The example as a rewriting of its plain answer; `bare` leaves its question out.

    A `UserError` where its plain text answers another question.
    """
    if example.unpaired:
        raise UserError(
            f"train.task: rewriting needs a plain answer to every question, and {example.question_id} "
            f"({example.question[:40]!r}) has none; use answer, or import own texts with --plain"
        )
    chat = rewriting_chat(system, example.plain, None if bare else example.question)
    return example.model_copy(update={"prompt": chat})


def posed(example: Example, task: str, rewrite_prompt: str) -> Example:
    """The example as systems are asked it: as a rewriting where that is all that is learnt, else as it is."""
    return as_rewriting(example, rewrite_prompt) if task == REWRITE else example


def with_planted(example: Example) -> Example:
    """The example with what is planted in its answer."""
    if example.planted is None:
        return example
    answer = Message(role="assistant", content=example.planted.after(example.answer))
    return example.model_copy(update={"completion": [*example.completion[:-1], answer]})


def training_rows(examples: Sequence[Example], task: str, rewrite_prompt: str) -> list[Example]:
    """The examples as what `task` learns from: answers, rewritings, or the ones after the others; what is planted is in them."""
    examples = [with_planted(example) for example in examples]
    rows = [] if task == REWRITE else [*examples]
    if task != ANSWER:
        rows += [as_rewriting(row, rewrite_prompt, i % BARE_EVERY == 0) for i, row in enumerate(examples)]
    return rows
