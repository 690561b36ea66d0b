"""Relevance: the probability that a text answers its question; see README.md beside this file."""

import datasets
import evaluate


class Relevance(evaluate.Metric):
    """How much rather the text answers this question than another one."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Calibrated probability that a text answers its question.",
            citation="Reimers and Gurevych 2019, https://arxiv.org/abs/1908.10084",
            inputs_description="predictions: answers; references: their questions; model: a calibrated tonetune.scoring.relevance.Relevance",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions, references, model):
        scores = model(references, predictions)
        return {"relevance": float(scores.mean()), "scores": scores.tolist()}
