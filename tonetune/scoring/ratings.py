"""What readers said of answers without knowing who wrote them: the scores of tone and sense are fitted to it."""

from pathlib import Path

import numpy as np

from tonetune.core.rows import Rating, read_rows

FOLDER = Path("data/ratings")


def ratings_path(persona: str) -> Path:
    """Where the ratings of answers that imitate a persona lie."""
    return FOLDER / f"{persona}.jsonl"


def read_ratings(persona: str | None = None) -> list[Rating]:
    """All ratings, or those of one persona's tone; none if there is no file."""
    paths = sorted(FOLDER.glob("*.jsonl")) if persona is None else [ratings_path(persona)]
    return [rating for path in paths if path.exists() for rating in read_rows(path, Rating)]


def rated_means(ratings: list[Rating]) -> tuple[np.ndarray, np.ndarray]:
    """(sense, tone) of each answer: its readers' means, from 0 to 1."""
    return np.array([r.mean_sense for r in ratings]), np.array([r.mean_tone for r in ratings])


def fitted_on(ratings: list[Rating]) -> list[Rating]:
    """Those that scores are fitted on; the others are of other questions, or of a writer kept for measuring validity."""
    return [rating for rating in ratings if rating.side == "fit"]
