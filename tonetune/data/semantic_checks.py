"""Checks of the data that need sentence embeddings: answers about something else, contamination of test by training questions."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from tonetune.core.params import Scorers
from tonetune.core.rows import BASICS, Example
from tonetune.core.text import excerpt
from tonetune.data.quality import QualityCheck

Embed = Callable[[Sequence[str]], np.ndarray]


def check_matter(splits: dict[str, list[Example]], embed: Embed, limits: Scorers) -> list[QualityCheck]:
    """How far the worst answer is from its question, and how near the nearest held-out question is to a training one.

    `embed` gives unit vectors. The embeddings are the ones nobody has tuned: tuned ones would call the training answers
    related to whatever they were paired with.
    """
    asked = [example for examples in splits.values() for example in examples if example.category != BASICS]
    checks = [_unrelated(asked, embed, limits.max_unrelated), _near_training(splits, embed, limits.max_near_training)]
    if any(
        example.own_words for example in asked
    ):  # people drift off and ask the same again: it is told and put up with
        return [replace(check, failed=False) for check in checks]
    return checks


def nearest_training(splits: dict[str, list[Example]], split: str, embed: Embed) -> tuple[np.ndarray, np.ndarray]:
    """For each question of `split`, the cosine of the nearest training question, and its index there."""
    similarity = embed([e.question for e in splits[split]]) @ embed([e.question for e in splits["train"]]).T
    return similarity.max(1), similarity.argmax(1)


def _unrelated(asked: Sequence[Example], embed: Embed, limit: float) -> QualityCheck:
    """For each answer the share of all questions that it is nearer to than to its own: by luck it would be a half."""
    questions = embed([example.question for example in asked])
    worst, offenders = 0.0, []
    for style in ("answer", "plain"):
        if style == "plain" and any(example.unpaired for example in asked):
            continue  # neutral texts that answer other questions
        similarity = embed([getattr(example, style) for example in asked]) @ questions.T
        nearer = (similarity > np.diag(similarity)[:, None]).mean(1)
        worst = max(worst, float(nearer.max()))
        for place in np.flatnonzero(nearer > limit).tolist():
            example = asked[place]
            offenders.append(
                f'{example.question_id} "{excerpt(example.question)}": "{excerpt(getattr(example, style))}" is nearer to '
                f"{nearer[place]:.0%} of the other questions"
            )
    return QualityCheck("max_unrelated", round(worst, 4), "max_unrelated", bool(offenders), offenders)


def _near_training(splits: dict[str, list[Example]], embed: Embed, limit: float) -> QualityCheck:
    worst, offenders = 0.0, []
    for split in ("validation", "test"):
        similarity, places = nearest_training(splits, split, embed)
        worst = max(worst, float(similarity.max()))
        for i in np.flatnonzero(similarity > limit):
            example, other = splits[split][i], splits["train"][places[i]]
            offenders.append(
                f'{example.question_id} ({split}) "{excerpt(example.question)}": {similarity[i]:.2f} like '
                f'{other.question_id} (train) "{excerpt(other.question)}"'
            )
    return QualityCheck("max_near_training", round(worst, 4), "max_near_training", bool(offenders), offenders)
