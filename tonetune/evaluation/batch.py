"""What several askers want of one model, answered in one batch.

A step of generation takes nearly as long for one answer as for fifty, and an endpoint answers many at once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tonetune.core.rows import Message

Answerer = Callable[[Sequence[Sequence[Message]], Sequence[int], str], list[str]]
"""Answers chats, each with its seed; the last argument labels the progress bar."""


@dataclass(frozen=True)
class Turn:
    """Chats that are to be answered, each with its sampling seed."""

    chats: Sequence[Sequence[Message]]
    seeds: Sequence[int]


def answer_together(answer: Answerer, turns: Mapping[str, Turn], label: str) -> dict[str, list[str]]:
    """The answers to each turn, by the turn's name: all of them in one batch."""
    chats = [chat for turn in turns.values() for chat in turn.chats]
    seeds = [seed for turn in turns.values() for seed in turn.seeds]
    texts = iter(answer(chats, seeds, label) if chats else [])
    return {name: [next(texts) for _ in turn.chats] for name, turn in turns.items()}
