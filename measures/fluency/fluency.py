"""Fluency: whether a text is acceptable, finished, non-repetitive English; see README.md beside this file."""

import datasets
import evaluate

from tonetune.scoring.fluency import fluency


class Fluency(evaluate.Metric):
    """The probability of the word order, less for repetition, 0 for what is unfinished."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Acceptable, finished, non-repetitive English, from 0 to 1.",
            citation="",
            inputs_description="predictions: answers; references: their questions; model: a weighed tonetune.scoring.fluency.WordOrder; the questions are not looked at",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions, references, model):
        scores = fluency(predictions, model)
        return {"fluency": float(scores.mean()), "scores": scores.tolist()}
