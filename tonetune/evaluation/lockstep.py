"""Several things asked of one model side by side, in rounds: what each asks next goes into one batch.

A step of generation takes nearly as long for one answer as for fifty, and an endpoint answers many at once.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any, TypeVar

from tonetune.core.rows import Message

T = TypeVar("T")
Answerer = Callable[[Sequence[Sequence[Message]], Sequence[int], str], list[str]]
"""Answers chats, each with its seed; the last argument labels the progress bar."""


@dataclass(frozen=True)
class Turn:
    """Chats that are to be answered, each with its seed."""

    chats: Sequence[Sequence[Message]]
    seeds: Sequence[int]


Dialogue = Generator[Turn, list[str], T]
"""Yields what it asks, is sent the answers, in that order, as often as it likes, and returns what it makes of them."""


def run_in_lockstep(answer: Answerer, askings: Sequence[Dialogue[Any]], label: str) -> list[Any]:
    """What each of `askings` returns; a round answers what all of them ask, and goes on with them in their order."""
    results: list[Any] = [None] * len(askings)
    asked: dict[int, Turn] = {}

    def go_on(place: int, texts: list[str] | None) -> None:
        try:
            asked[place] = askings[place].send(texts)  # type: ignore[arg-type]  # nothing can be sent to a fresh one
        except StopIteration as end:
            asked.pop(place, None)
            results[place] = end.value

    for place in range(len(askings)):
        go_on(place, None)
    for number in count(1):
        if not asked:
            break
        chats = [chat for each in asked.values() for chat in each.chats]
        seeds = [seed for each in asked.values() for seed in each.seeds]
        texts = iter(answer(chats, seeds, f"{label}: round {number} of answers"))
        for place, each in list(asked.items()):
            go_on(place, list(islice(texts, len(each.chats))))
    return results
