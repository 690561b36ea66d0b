"""Sense: how sensible readers find an answer to its question; see README.md beside this file."""

import datasets
import evaluate


class Sense(evaluate.Metric):
    """Predicted from the untuned base's likelihood and from sentence embeddings, fitted to readers' ratings."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="How sensible readers find an answer to its question, from 0 to 1.",
            citation="",
            inputs_description="predictions: answers; references: their questions; model: a fitted tonetune.scoring.sense.Sense",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions, references, model):
        scores = model(references, predictions)
        return {"sense": float(scores.mean()), "scores": scores.tolist()}
