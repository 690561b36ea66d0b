"""Do the scores agree with readers, on questions and on writers that nothing was fitted on?"""

from tonetune.core.startup import silence_libraries

silence_libraries()

from pathlib import Path

import numpy as np

from tonetune.core.command import run
from tonetune.core.files import write_json
from tonetune.core.params import load_params
from tonetune.core.tables import write_rows_of
from tonetune.evaluation.validity import Agreement, agreement, held_out_scores
from tonetune.model.base import load_base, load_tokenizer
from tonetune.scoring.embedder import SENTENCE_ADAPTER, Embedder
from tonetune.scoring.ratings import means, read_ratings
from tonetune.scoring.relevance import Relevance
from tonetune.scoring.scorer import SCORERS, FittedScorers, load_tone
from tonetune.scoring.sense import LikelihoodFigures, Sense, fit_sense, predicted_sense
from tonetune.scoring.tone import fit_tone


def main() -> None:
    params = load_params()
    ratings = read_ratings(params.persona)
    if not ratings:
        print(f"data/ratings: none of {params.persona}, so nothing to hold its scores against")
        write_json("metrics/validity.json", {})
        write_rows_of("metrics/validity.csv", Agreement, [])
        return
    rated_sense, rated_tone = means(ratings)
    questions, answers = [r.question for r in ratings], [r.answer for r in ratings]

    # What the scores predict from.
    fitted = FittedScorers.load()
    embed = Embedder(params.scorers.sentence_model, Path(SCORERS) / SENTENCE_ADAPTER)
    relevance = Relevance(embed, fitted.questions, fitted.answers, fitted.words, fitted.relevance)
    base, tokenizer = (
        load_base(params.base_model, params.compute),
        load_tokenizer(params.base_model, params.chat_template_kwargs),
    )
    sense = Sense(LikelihoodFigures(base, tokenizer), relevance, fitted.sense)
    tone = load_tone()
    sense_figures, tone_figures = sense.figures(questions, answers), tone.views.figures(answers)

    # New questions: the fitted scores as they are. New writers: refitted without each in turn.
    held_out = np.array([rating.side == "held_out" for rating in ratings])
    now = {"sense": predicted_sense(fitted.sense, sense_figures, answers), "tone": tone(answers)}
    new_questions = {name: np.where(held_out, values, np.nan) for name, values in now.items()}
    new_writers = {
        "sense": held_out_scores(
            ratings,
            lambda rows: predicted_sense(fit_sense(sense_figures[rows], rated_sense[rows]), sense_figures, answers),
        ),
        "tone": held_out_scores(
            ratings, lambda rows: np.clip(fit_tone(tone_figures[rows], rated_tone[rows]).predict(tone_figures), 0, 1)
        ),
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
