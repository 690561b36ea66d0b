"""The best of several answers of one model, chosen by the scores."""

from collections.abc import Callable, Sequence

import numpy as np

from tonetune.core.rows import Message
from tonetune.evaluation.systems import Responder

Score = Callable[[Sequence[str], Sequence[str]], np.ndarray]
"""(answers): how good each is as the answer to the question at the same index."""


def best_of(responder: Responder, count: int, score: Score) -> Responder:
    """The same model sampled `count` times for each chat, with the answer that `score` finds the best; ties go to the first.

    The first sample is the one that the model alone gives. It takes `count` times the generation and as much scoring, and its
    own score is flattered by the choice: how much better it is, readers must say.
    """

    def answer(chats: Sequence[Sequence[Message]], seeds: Sequence[int], label: str) -> list[str]:
        asked = [(chat, seed + sample) for chat, seed in zip(chats, seeds, strict=True) for sample in range(count)]
        texts = responder.answer([chat for chat, _ in asked], [seed for _, seed in asked], label)
        scores = score([chat[-1].content for chat, _ in asked], texts)
        best = np.asarray(scores).reshape(len(chats), count).argmax(1)
        return [texts[chat * count + sample] for chat, sample in enumerate(best.tolist())]

    return Responder(answer)
