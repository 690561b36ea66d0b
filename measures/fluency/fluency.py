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
            inputs_description="predictions: texts; word_order: a weighed tonetune.scoring.fluency.WordOrder",
            features=datasets.Features({"predictions": datasets.Value("string")}),
        )

    def _compute(self, predictions, word_order):
        scores = fluency(predictions, word_order)
        return {"fluency": float(scores.mean()), "scores": scores.tolist()}
