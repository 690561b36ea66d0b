"""What several systems and probes ask one model, answered in one batch.

A step of generation takes nearly as long for one answer as for fifty, and an endpoint answers many at once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tonetune.core.rows import Message

Answerer = Callable[[Sequence[Sequence[Message]], Sequence[int], str], list[str]]
"""Answers chats, each with its seed; the last argument labels the progress bar."""


@dataclass(frozen=True)
class SeededChats:
    """Chats that are to be answered, each with its sampling seed at the same index."""

    chats: Sequence[Sequence[Message]]
    seeds: Sequence[int]


def answer_together(answer: Answerer, asked: Mapping[str, SeededChats], label: str) -> dict[str, list[str]]:
    """The answers to each of `asked`, by its name: all of them in one batch."""
    chats = [chat for batch in asked.values() for chat in batch.chats]
    seeds = [seed for batch in asked.values() for seed in batch.seeds]
    texts = iter(answer(chats, seeds, label) if chats else [])
    return {name: [next(texts) for _ in batch.chats] for name, batch in asked.items()}
