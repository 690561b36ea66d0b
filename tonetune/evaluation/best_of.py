"""The best of several answers of one model, chosen by the scores."""

from collections.abc import Callable, Sequence

import numpy as np

from tonetune.core.rows import Message
from tonetune.evaluation.systems import Responder

Score = Callable[[Sequence[str], Sequence[str]], np.ndarray]
"""(answers): how good each is as the answer to the question at the same place."""


def best_of(responder: Responder, count: int, score: Score) -> Responder:
    """The same model drawn `count` times for each chat, with the answer that `score` finds the best; ties go to the first.

    The first draw is the one that the model alone gives. It takes `count` times the generation and as much scoring, and its
    own score is flattered by the choice: how much better it is, readers must say.
    """

    def answer(chats: Sequence[Sequence[Message]], seeds: Sequence[int], label: str) -> list[str]:
        drawn = [(chat, seed + draw) for chat, seed in zip(chats, seeds, strict=True) for draw in range(count)]
        texts = responder.answer([chat for chat, _ in drawn], [seed for _, seed in drawn], label)
        scores = score([chat[-1].content for chat, _ in drawn], texts)
        best = np.asarray(scores).reshape(len(chats), count).argmax(1)
        return [texts[place * count + draw] for place, draw in enumerate(best.tolist())]

    return Responder(answer)
