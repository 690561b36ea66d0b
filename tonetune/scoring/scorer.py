"""The scores of a list of answers, each from a metric module of the `evaluate` library in measures/."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tonetune.core.errors import UserError
from tonetune.core.params import Params
from tonetune.core.startup import progress_bars_off
from tonetune.scoring.embedder import SENTENCE_ADAPTER, Embedder
from tonetune.scoring.fluency import WordOrder
from tonetune.scoring.hidden_states import HiddenStates
from tonetune.scoring.relevance import Relevance
from tonetune.scoring.sklearn_files import load_array, load_fitted

MEASURES = Path("measures")


@dataclass(frozen=True)
class Scores:
    """One number from 0 to 1 an answer, in the order of the answers."""

    tone: np.ndarray
    relevance: np.ndarray
    fluency: np.ndarray

    @property
    def joint(self) -> np.ndarray:
        """tone x relevance x fluency of each answer: an answer must have all three (Krishna et al. 2020)."""
        return self.tone * self.relevance * self.fluency


class Scorer:
    """Scores answers with the fitted models of the stages tone_classifier and scorers; `base` is the untuned model."""

    def __init__(
        self,
        params: Params,
        base: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        classifier: str = "models/tone_classifier",
        scorers: str = "models/scorers",
    ):
        self.states = HiddenStates(base, tokenizer, params.scorers.hidden_layers)
        self.classifier = load_fitted(classifier, "classifier")
        self.word_order = WordOrder(
            self.states,
            load_fitted(scorers, "skeletons"),
            load_fitted(scorers, "hidden_order"),
            load_fitted(scorers, "word_order"),
        )
        self.reporting = load_fitted(scorers, "reporting")
        self.relevance = Relevance(
            Embedder(params.scorers.sentence_model, Path(scorers) / SENTENCE_ADAPTER),
            load_array(scorers, "questions"),
            load_array(scorers, "answers"),
            load_fitted(scorers, "words"),
            load_fitted(scorers, "relevance"),
        )
        with progress_bars_off():
            self.measures = {name: evaluate.load(str(MEASURES / name)) for name in ("tone", "relevance", "fluency")}

    def __call__(self, questions: Sequence[str], answers: Sequence[str]) -> Scores:
        """Score each answer to the question at the same place."""

        fluent = self._scores("fluency", predictions=answers, word_order=self.word_order)
        return Scores(
            tone=self._scores("tone", predictions=answers, fluency=fluent, classifier=self.classifier),
            relevance=self._scores("relevance", predictions=answers, references=questions, relevance=self.relevance),
            fluency=fluent,
        )

    def tone(self, answers: Sequence[str]) -> np.ndarray:
        """The tone alone, of answers that belong to no question; 0 for what is not fluent."""
        fluent = self._scores("fluency", predictions=answers, word_order=self.word_order)
        return self._scores("tone", predictions=answers, fluency=fluent, classifier=self.classifier)

    def _scores(self, measure: str, **inputs: Any) -> np.ndarray:
        scores = np.array(self.measures[measure].compute(**inputs)["scores"])
        if not np.isfinite(scores).all():
            raise UserError(f"measures/{measure}: gives scores that are no numbers; refit with `dvc repro -f scorers`")
        return scores

    def reported_tone(self, answers: Sequence[str]) -> np.ndarray:
        """The second classifier's probability of the persona's tone; nothing is trained or chosen on it."""
        return self.reporting.predict_proba(self.states(answers))[:, 1]
