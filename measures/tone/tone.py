"""Tone: how much of the persona's tone readers hear in a text; see README.md beside this file."""

import datasets
import evaluate


class Tone(evaluate.Metric):
    """N-gram views weighed by readers' ratings, or a calibrated classifier where there are none."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="How much of the persona's tone readers hear in a text, from 0 to 1.",
            citation="",
            inputs_description="predictions: answers; references: their questions; model: a fitted tonetune.scoring.tone.Tone; the questions are not looked at",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions, references, model):
        scores = model(predictions)
        return {"tone": float(scores.mean()), "scores": scores.tolist()}
