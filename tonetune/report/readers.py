"""What readers who see no names made of answers: a blind sheet of items, and their ratings in figures with intervals."""

import hashlib
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

import numpy as np
from pydantic import Field
from scipy.stats import spearmanr

from tonetune.core.rows import Row
from tonetune.core.validation import Text
from tonetune.evaluation.names import MIXED_SENTENCES, TEACHER_PERSONA
from tonetune.report.statistics import LEVEL, mean_interval

HIGHEST = 3
KNOWN_GOOD, KNOWN_BAD = TEACHER_PERSONA, MIXED_SENTENCES
"""Systems whose quality is known: a reader who gets them wrong is left out."""
MIN_KNOWN = 5  # of each, before a reader is judged by them
SENSIBLE, IN_TONE = 2, 1
"""From these ratings on an answer makes sense, and has the tone."""
Scale = Literal["sense", "tone"]


class Item(Row):
    """A question with one system's answer. The id tells nothing of the system."""

    id: Text
    system: Text
    question_id: Text
    question: Text
    answer: str


class Reading(Row):
    """One reader's two ratings of one item."""

    id: Text
    reader: Text
    sense: int = Field(ge=0, le=HIGHEST)
    tone: int = Field(ge=0, le=HIGHEST)


@dataclass(frozen=True)
class ReadersFigure:
    """One figure of a system's answers under readers, with its 95 % interval over questions."""

    system: str
    figure: str
    mean: float
    low: float
    high: float
    answers: int


def item_id(system: str, question_id: str, answer: str) -> str:
    """The same for the same answer, and nothing that a reader could read off it."""
    return hashlib.sha256(f"{system}/{question_id}/{answer}".encode()).hexdigest()[:12]


def blind_items(
    answers: Mapping[str, Mapping[str, str]], questions: Mapping[str, str], count: int, seed: int
) -> list[Item]:
    """Up to `count` answers of every system, to the same questions, mixed in random order.

    `answers` are by system and question id, `questions` the questions by id.
    """
    rng = random.Random(seed)
    shared = [key for key in questions if all(key in given for given in answers.values())]
    chosen = rng.sample(shared, min(count, len(shared)))
    items = [
        Item(
            id=item_id(system, key, given[key]),
            system=system,
            question_id=key,
            question=questions[key],
            answer=given[key],
        )
        for system, given in answers.items()
        for key in chosen
    ]
    rng.shuffle(items)
    return items


def mean_ratings(readings: Sequence[Reading]) -> dict[str, tuple[float, float]]:
    """(sense, tone) of each item by its id, averaged over its readers."""
    found: dict[str, list[Reading]] = defaultdict(list)
    for reading in readings:
        found[reading.id].append(reading)
    return {
        key: (float(np.mean([r.sense for r in given])), float(np.mean([r.tone for r in given])))
        for key, given in found.items()
    }


def readers_figures(items: Sequence[Item], readings: Sequence[Reading], seed: int) -> list[ReadersFigure]:
    """The figures of every system, in the order of the systems' names; items that nobody rated are left out."""
    rated = mean_ratings(readings)
    by_system: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        if item.id in rated:
            by_system[item.system][item.question_id].append(rated[item.id])
    figures = []
    for system in sorted(by_system):
        pairs = np.array([np.mean(given, axis=0) for given in by_system[system].values()])
        sense, tone = pairs[:, 0], pairs[:, 1]
        values = {
            "sense": sense,
            "tone": tone,
            "sense >= 2": (sense >= SENSIBLE).astype(float),
            "sense >= 2 and tone >= 1": ((sense >= SENSIBLE) & (tone >= IN_TONE)).astype(float),
            "sense >= 2 and tone >= 2": ((sense >= SENSIBLE) & (tone >= SENSIBLE)).astype(float),
            "sense x tone / 9": sense * tone / HIGHEST**2,
        }
        for figure, value in values.items():
            low, high = mean_interval(value, LEVEL, seed)
            mean = float(value.mean())
            figures.append(ReadersFigure(system, figure, round(mean, 4), round(low, 4), round(high, 4), len(value)))
    return figures


def readers_agreement(readings: Sequence[Reading], scale: Scale) -> tuple[float, int]:
    """Rank correlation between two readers of the same item, over all such pairs, and how many items have several readers.

    Each pair counts in both orders, so that it does not matter who is called the first. NaN where no item has two readers.
    """
    by_item: dict[str, list[int]] = defaultdict(list)
    for reading in readings:
        by_item[reading.id].append(getattr(reading, scale))
    several = [given for given in by_item.values() if len(given) > 1]
    pairs = np.array([pair for given in several for pair in permutations(given, 2)])
    if len(pairs) == 0 or np.ptp(pairs) == 0:
        return float("nan"), len(several)
    return float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic), len(several)


def unreliable(items: Sequence[Item], readings: Sequence[Reading]) -> list[str]:
    """The readers who find no sense in the teacher's answers, or as much in answers whose sentences are mixed."""
    systems = {item.id: item.system for item in items}
    given: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for reading in readings:
        given[reading.reader][systems[reading.id]].append(reading.sense)
    wrong = []
    for reader, by_system in given.items():
        good, bad = by_system[KNOWN_GOOD], by_system[KNOWN_BAD]
        enough = min(len(good), len(bad)) >= MIN_KNOWN
        if enough and (np.mean(good) < SENSIBLE or np.mean(bad) >= np.mean(good)):
            wrong.append(reader)
    return wrong
