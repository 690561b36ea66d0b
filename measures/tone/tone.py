"""Tone: the calibrated probability that a text is in the persona's tone; see README.md beside this file."""

import datasets
import evaluate
import numpy as np


class Tone(evaluate.Metric):
    """0 for a text that is not fluent, else the first tone classifier's probability."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Calibrated probability that a text is in the persona's tone; 0 for degenerate text.",
            citation="",
            inputs_description="predictions: texts; fluency: their fluency, 0 to 1; classifier: a fitted scikit-learn classifier",
            features=datasets.Features({"predictions": datasets.Value("string")}),
        )

    def _compute(self, predictions, fluency, classifier):
        # A classifier of good prose calls "No, no, no." the persona: what is not fluent has no tone at all.
        scores = classifier.predict_proba(predictions)[:, 1] * (np.asarray(fluency) >= 0.5)
        return {"tone": float(scores.mean()), "scores": scores.tolist()}
