"""Do the scores agree with readers? On questions that nothing was fitted on, and on writers that nothing was fitted on."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from tonetune.core.rows import Rating
from tonetune.scoring.ratings import rated_means

Predict = Callable[[np.ndarray], np.ndarray]
"""Fits a score on the ratings that are marked and predicts all of them."""


@dataclass(frozen=True)
class Agreement:
    """One writer's answers: their mean rating and mean score, from 0 to 1."""

    writer: str
    score: str
    new: str
    """What nothing was fitted on: these `questions`, or also the `writers`."""
    rated: float
    scored: float
    answers: int


def held_out_scores(ratings: Sequence[Rating], predict: Predict) -> np.ndarray:
    """The score of each held-out rating's answer, fitted without its writer's answers; NaN for the others."""
    fit = np.array([rating.side == "fit" for rating in ratings])
    writers = np.array([rating.author for rating in ratings])
    scores = np.full(len(ratings), np.nan)
    for writer in np.unique(writers[~fit]):
        held_out = ~fit & (writers == writer)
        scores[held_out] = predict(fit & (writers != writer))[held_out]
    return scores


def agreement(
    ratings: Sequence[Rating], scores: dict[str, np.ndarray], new: str
) -> tuple[dict[str, float], list[Agreement]]:
    """Rank correlations of sense, tone and joint with the ratings, and each writer's means; NaN scores are left out."""
    sense, tone = rated_means(list(ratings))
    rated = {"sense": sense, "tone": tone, "joint": sense * tone}
    writers = np.array([rating.writer for rating in ratings])
    correlations, rows = {}, []
    for name, values in rated.items():
        known = ~np.isnan(scores[name])
        correlations[name] = round(float(spearmanr(scores[name][known], values[known]).statistic), 6)
        for writer in sorted(set(writers[known].tolist())):
            own = known & (writers == writer)
            pair = (float(values[own].mean()), float(scores[name][own].mean()))
            rows.append(Agreement(writer, name, new, round(pair[0], 4), round(pair[1], 4), int(own.sum())))
    return correlations, rows


def read_agreements(path: str = "metrics/validity.csv") -> dict[tuple[str, str], list[Agreement]]:
    """What the stage validity found: the writers' means by score and by what is new."""
    found: dict[tuple[str, str], list[Agreement]] = {}
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            means = (round(float(row["rated"]), 4), round(float(row["scored"]), 4))
            agreed = Agreement(row["writer"], row["score"], row["new"], *means, int(row["answers"]))
            found.setdefault((agreed.score, agreed.new), []).append(agreed)
    return found
