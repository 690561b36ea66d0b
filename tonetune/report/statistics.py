"""How sure the scores are: bootstrap intervals over questions, and significance tests of two systems on the same questions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap, permutation_test

from tonetune.core.errors import UserError
from tonetune.core.rows import SCORES, Generation, Style
from tonetune.evaluation.names import is_recorded

COMPARED = ("joint", "reported_tone")
LEVEL = 0.95
RESAMPLES = 9999
UNDECIDED = "undecided"


@dataclass(frozen=True)
class Interval:
    """A system's mean of one score, with its 95 % interval."""

    system: str
    score: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """One system less another in one score; the interval and the p-value are corrected for all comparisons."""

    system: str
    """The other one."""
    score: str
    difference: float
    low: float
    high: float
    p: float
    winner: str
    """The name of one of the two, or `undecided`."""


def question_means(generations: Sequence[Generation], system: str, score: str) -> dict[str, float]:
    """The system's score on each question, averaged over its sampling seeds, in the order of the questions' ids.

    The questions are the sample; two answers to one question are not two independent pieces of evidence.
    """
    scores: dict[str, list[float]] = {}
    for row in generations:
        if row.system == system:
            scores.setdefault(row.question_id, []).append(getattr(row, score))
    return {question: float(np.mean(scores[question])) for question in sorted(scores)}


def mean_interval(values: np.ndarray, level: float, seed: int) -> tuple[float, float]:
    """Bias-corrected and accelerated bootstrap interval of the mean (Efron 1987): scores pile up at 0 and 1."""
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    resampled = bootstrap(
        (values,), np.mean, confidence_level=level, n_resamples=RESAMPLES, batch=1000, method="BCa", rng=seed
    )
    return float(resampled.confidence_interval.low), float(resampled.confidence_interval.high)


def teacher_perplexity(
    generations: Sequence[Generation], system: str, seed: int, style: Style = "persona"
) -> tuple[float, float, float]:
    """The system's perplexity of the teacher's answers in a style, with its 95 % percentile interval over questions."""
    predicted = {
        row.question_id: (getattr(row, f"{style}_nats"), getattr(row, f"{style}_tokens"))
        for row in generations
        if row.system == system
    }
    nats, tokens = np.array([predicted[question] for question in sorted(predicted)], dtype=float).T
    interval = bootstrap(
        (nats, tokens),
        lambda x, n, axis: np.exp(x.sum(axis=axis) / n.sum(axis=axis)),
        paired=True,
        vectorized=True,
        confidence_level=LEVEL,
        n_resamples=RESAMPLES,
        batch=1000,
        method="percentile",
        rng=seed,
    ).confidence_interval
    return float(np.exp(nats.sum() / tokens.sum())), float(interval.low), float(interval.high)


def intervals(generations: Sequence[Generation], systems: Sequence[str], seed: int) -> list[Interval]:
    """The mean of every score of every system, with its 95 % interval over questions, to 6 digits."""
    found = []
    for system in systems:
        for score in SCORES:
            values = np.array(list(question_means(generations, system, score).values()))
            low, high = mean_interval(values, LEVEL, seed)
            found.append(Interval(system, score, *(round(float(x), 6) for x in (values.mean(), low, high))))
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: the chance of any false alarm among all the tests stays under the level."""
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def simultaneous_level(comparisons: int) -> float:
    """The level of each of so many intervals at which, after Bonferroni, all of them hold at once with 95 %."""
    return 1 - (1 - LEVEL) / max(1, comparisons)


def compare(generations: Sequence[Generation], tuned: str, others: Sequence[str], seed: int) -> list[Comparison]:
    """`tuned` against each other system, question by question, in each score of `COMPARED`.

    p-values: two-sided paired permutation test, adjusted by Holm's method, which is never weaker than Bonferroni's.
    Holm gives no intervals, so these are paired bootstrap intervals at Bonferroni's level, 1 - 0.05 / comparisons: all
    of them hold at once with 95 %. A system wins when its interval leaves out 0 and its p-value is under 0.05. With a
    recorded rival the questions are those that it has a recording of.
    """
    pairs = [(other, score) for score in COMPARED for other in others]
    level = simultaneous_level(len(pairs))
    differences, p_values, bounds = [], [], []
    for other, score in pairs:
        ours, theirs = (question_means(generations, system, score) for system in (tuned, other))
        if is_recorded(other) and theirs.keys() <= ours.keys():
            ours = {question: ours[question] for question in theirs}
        if ours.keys() != theirs.keys():
            raise UserError(
                f"data/baseline_generations.jsonl: {other} and {tuned} answer different questions "
                f"({len(theirs)} and {len(ours)}); run `dvc repro -f baselines` and then `dvc repro`"
            )
        a, b = (np.array(list(values.values())) for values in (ours, theirs))
        differences.append(float((a - b).mean()))
        bounds.append(mean_interval(a - b, level, seed))
        p_values.append(paired_p(a, b, seed))
    return [
        Comparison(
            other,
            score,
            round(difference, 6),
            round(low, 6),
            round(high, 6),
            round(p, 6),
            winner(tuned, other, low, high, p),
        )
        for (other, score), difference, (low, high), p in zip(pairs, differences, bounds, holm(p_values), strict=True)
    ]


def paired_p(a: np.ndarray, b: np.ndarray, seed: int) -> float:
    """How often the mean difference is as large when, question by question, it is chance which system is which."""
    if len(a) < 2:
        return 1.0  # one question decides nothing
    test = permutation_test(
        (a, b),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=1000,
        rng=seed,
    )
    return float(test.pvalue)


def winner(tuned: str, other: str, low: float, high: float, p: float) -> str:
    """Who wins, given the corrected interval of the difference and the corrected p-value."""
    if p >= 1 - LEVEL or low <= 0 <= high:
        return UNDECIDED
    return tuned if low > 0 else other
