"""Do the scores agree with readers, on questions and on writers that nothing was fitted on?"""

from tonetune.core.startup import silence_libraries

silence_libraries()

import numpy as np
from sklearn.pipeline import Pipeline

from tonetune.core.command import run
from tonetune.core.files import write_json
from tonetune.core.params import load_params
from tonetune.core.tables import write_rows_of
from tonetune.evaluation.validity import Agreement, agreement, held_out_scores
from tonetune.scoring.ratings import rated_means, read_ratings
from tonetune.scoring.scorer import FittedScorers, RatedFigures
from tonetune.scoring.sense import fit_sense, predicted_sense
from tonetune.scoring.tone import fit_tone


def main() -> None:
    params = load_params()
    ratings = read_ratings(params.persona)
    if not ratings:
        print(f"data/ratings: none of {params.persona}, so nothing to hold its scores against")
        write_json("metrics/validity.json", {})
        write_rows_of("metrics/validity.csv", Agreement, [])
        return
    rated_sense, rated_tone = rated_means(ratings)
    answers, authors = [r.answer for r in ratings], np.array([r.author for r in ratings])
    fitted, figures = FittedScorers.load(), RatedFigures.load()
    assert fitted.tone is not None  # there are ratings

    def sense(model: Pipeline) -> np.ndarray:
        return predicted_sense(model, figures.sense, answers)

    def tone(model: Pipeline) -> np.ndarray:
        return np.clip(model.predict(figures.tone), 0, 1)

    def sense_without(rows: np.ndarray) -> np.ndarray:
        known = figures.known_sense, figures.senses
        return sense(fit_sense(figures.sense[rows], rated_sense[rows], authors[rows].tolist(), *known))

    def tone_without(rows: np.ndarray) -> np.ndarray:
        known = figures.known_tone, figures.tones
        return tone(fit_tone(figures.tone[rows], rated_tone[rows], authors[rows].tolist(), *known))

    # New questions: the fitted scores as they are. New writers: refitted without each in turn.
    held_out = np.array([rating.side == "held_out" for rating in ratings])
    now = {"sense": sense(fitted.sense), "tone": tone(fitted.tone)}
    new_questions = {name: np.where(held_out, values, np.nan) for name, values in now.items()}
    new_writers = {
        "sense": held_out_scores(ratings, sense_without),
        "tone": held_out_scores(ratings, tone_without),
    }

    metrics: dict[str, float] = {}
    rows: list[Agreement] = []
    for left_out, scores in (("questions", new_questions), ("writers", new_writers)):
        correlations, found = agreement(ratings, scores | {"joint": scores["sense"] * scores["tone"]}, left_out)
        metrics |= {f"{name}_new_{left_out}": value for name, value in correlations.items()}
        gaps = [abs(row.rated - row.scored) for row in found if row.score == "joint"]
        metrics[f"largest_gap_new_{left_out}"] = round(max(gaps), 6)
        rows += found
    write_json("metrics/validity.json", metrics)
    write_rows_of("metrics/validity.csv", Agreement, rows)


if __name__ == "__main__":
    run(main)
