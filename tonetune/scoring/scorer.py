"""The scores of a list of answers, each from a metric module of the `evaluate` library in measures/."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tonetune.core.errors import UserError
from tonetune.core.files import read_json
from tonetune.core.params import Params
from tonetune.core.rows import SCORES
from tonetune.core.startup import progress_bars_off
from tonetune.model.fingerprint import content_of, refuse_replaced
from tonetune.scoring.embedder import SENTENCE_ADAPTER, Embedder
from tonetune.scoring.endings import Endings
from tonetune.scoring.fluency import WordOrder
from tonetune.scoring.hidden_states import HiddenStates
from tonetune.scoring.relevance import Meaning, Relevance
from tonetune.scoring.sense import LikelihoodFigures, Sense
from tonetune.scoring.sklearn_files import has_fitted, load_array, load_fitted, save_fitted
from tonetune.scoring.tone import Probabilities, Tone, ToneViews

MEASURES = Path("measures")
DERIVED = ("joint", "reported_tone")
"""The scores that `Scorer` makes itself."""
MEASURED = tuple(score for score in SCORES if score not in DERIVED)
"""All others: each has a metric module in measures/, under the same name."""
MAY_LACK = ("tone", "meaning")
TONE, SCORERS, RATED = "models/tone_classifier", "models/scorers", "models/rated_figures"
RATED_ANSWERS = "models/rated_answers"
ENDINGS = "endings"
CONTENTS = "models"
"""The file with the fingerprints of the models that the scorers were fitted with."""


def _models(params: Params) -> dict[str, str]:
    """What the scores are computed with, by its parameter."""
    return {"base_model": params.base_model, "scorers.sentence_model": params.scorers.sentence_model}


def contents_of(params: Params) -> dict[str, str]:
    """The fingerprint of each model that scores are computed with, by its parameter."""
    return {key: content_of(name, key) for key, name in _models(params).items()}


@dataclass(frozen=True)
class FittedScorers:
    """What the stage scorers fits and Scorer applies: the contents of models/scorers."""

    skeletons: Pipeline
    hidden_order: Pipeline
    word_order: Pipeline
    words: Pipeline
    relevance: Pipeline
    sense: Pipeline
    tone: Pipeline | None
    """Without ratings of the persona's tone there is none."""
    meaning: Pipeline | None
    """Only where train.task has rewritings."""
    reporting: Any
    """The second tone classifier, which only reports."""
    questions: np.ndarray
    """(n, dimension): embeddings of n training questions, and below of their answers."""
    answers: np.ndarray
    endings: Endings
    """Where the persona's texts end, for fluency and the report."""

    def save(self, adapter: Path, contents: Mapping[str, str], folder: str = SCORERS) -> None:
        """Write all of it, with the sentence model's `adapter` and `contents_of` the params it was fitted with."""
        models = {name: value for name, value in vars(self).items() if name not in ("questions", "answers", ENDINGS)}
        models = {name: model for name, model in models.items() if model is not None}
        arrays = {"questions": self.questions, "answers": self.answers}
        notes = {CONTENTS: dict(contents), ENDINGS: asdict(self.endings)}
        save_fitted(folder, models, arrays, {SENTENCE_ADAPTER: adapter}, notes)

    @classmethod
    def load(cls, folder: str = SCORERS) -> "FittedScorers":
        """Read what `save` wrote; a `UserError` names what is missing."""
        arrays = {name: load_array(folder, name) for name in ("questions", "answers")}
        models: dict[str, Any] = {
            name: load_fitted(folder, name) if name not in MAY_LACK or has_fitted(folder, name) else None
            for name in cls.__dataclass_fields__
            if name not in arrays and name != ENDINGS
        }
        found = read_json(Path(folder) / f"{ENDINGS}.json")
        return cls(**models, **arrays, endings=Endings(tuple(found["kinds"]), found["min_words"]))


@dataclass(frozen=True)
class RatedAnswers:
    """What the untuned base finds of all rated answers, in the order of `read_ratings`."""

    likelihood: np.ndarray
    """(ratings, sense.LIKELIHOOD)"""
    states: np.ndarray
    """(ratings, hidden size)"""

    def save(self, folder: str = RATED_ANSWERS) -> None:
        save_fitted(folder, {}, vars(self))

    @classmethod
    def load(cls, ratings: int, folder: str = RATED_ANSWERS) -> "RatedAnswers":
        """Read what `save` wrote; a `UserError` if it is not of so many `ratings`."""
        arrays = {name: load_array(folder, name) for name in cls.__dataclass_fields__}
        if any(len(array) != ratings for array in arrays.values()):
            raise UserError(
                f"{folder}: not of the ratings that data/ratings holds; `dvc repro rated_answers` makes it anew"
            )
        return cls(**arrays)


@dataclass(frozen=True)
class RatedFigures:
    """What sense and tone predict from, of all rated answers and of those that are known by construction."""

    sense: np.ndarray
    """(ratings of the persona, 21)"""
    tone: np.ndarray
    """(ratings of the persona, 10 + hidden size)"""
    known_sense: np.ndarray
    senses: np.ndarray
    known_tone: np.ndarray
    tones: np.ndarray

    def save(self, folder: str = RATED) -> None:
        save_fitted(folder, {}, vars(self))

    @classmethod
    def load(cls, folder: str = RATED) -> "RatedFigures":
        return cls(**{name: load_array(folder, name) for name in cls.__dataclass_fields__})


def load_tone(states: HiddenStates, rated: Pipeline | None, folder: str = TONE) -> Tone:
    """What the stage tone_classifier has fitted, and what `scorers` has fitted to ratings of it."""
    views = ToneViews(*(load_fitted(folder, name) for name in ToneViews.__dataclass_fields__))
    classifier: Probabilities = load_fitted(folder, "classifier")
    return Tone(views, classifier, states, rated)


class Scorer:
    """Scores answers with what the stages tone_classifier and scorers have fitted; `base` is the untuned model."""

    def __init__(
        self,
        params: Params,
        base: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        classifier: str = TONE,
        scorers: str = SCORERS,
    ):
        import evaluate  # with all that it brings; the stage validity only reads what is fitted

        fitted = FittedScorers.load(scorers)
        known = Path(scorers) / f"{CONTENTS}.json"
        contents = read_json(known) if known.is_file() else {}
        for key, name in _models(params).items():
            refuse_replaced(contents.get(key), name, key, Path(scorers))
        self.states = HiddenStates(base, tokenizer, params.scorers.hidden_layers)
        self.reporting = fitted.reporting
        self.endings = fitted.endings
        self.tone = load_tone(self.states, fitted.tone, classifier)
        embed = Embedder(params.scorers.sentence_model, Path(scorers) / SENTENCE_ADAPTER)
        relevance = Relevance(embed, fitted.questions, fitted.answers, fitted.words, fitted.relevance)
        self.meaning = Meaning(relevance, fitted.meaning)
        self.models: dict[str, Callable[..., np.ndarray]] = {
            "tone": self.tone,
            "sense": Sense(LikelihoodFigures(base, tokenizer), relevance, fitted.sense),
            "relevance": relevance,
            "fluency": WordOrder(self.states, fitted.skeletons, fitted.hidden_order, fitted.word_order, fitted.endings),
        }
        with progress_bars_off():
            self.measures = {name: evaluate.load(str(MEASURES / name)) for name in MEASURED}

    def __call__(self, questions: Sequence[str], answers: Sequence[str]) -> dict[str, np.ndarray]:
        """(answers) by score: each answer as the one to the question at the same place; see core.rows.Scores."""
        scores = {name: self._measured(name, questions, answers) for name in MEASURED}
        scores["joint"] = scores["tone"] * scores["sense"]
        scores["reported_tone"] = self.reported_tone(answers)
        return scores

    def _measured(self, name: str, questions: Sequence[str], answers: Sequence[str]) -> np.ndarray:
        result = self.measures[name].compute(predictions=answers, references=questions, model=self.models[name])
        scores = np.array(result["scores"])
        if not np.isfinite(scores).all():
            raise UserError(f"measures/{name}: gives scores that are no numbers; refit with `dvc repro -f scorers`")
        return scores

    def meaning_kept(self, plain: Sequence[str], rewritings: Sequence[str]) -> np.ndarray:
        """How far each rewriting says what the plain text at the same place says."""
        return self.meaning(plain, rewritings)

    def reported_tone(self, answers: Sequence[str]) -> np.ndarray:
        """The second classifier's probability of the persona's tone; nothing is trained or chosen on it."""
        return self.reporting.predict_proba(self.states(answers))[:, 1]


def joint_reward(scorer: Scorer) -> Callable[[Sequence[str], Sequence[str]], np.ndarray]:
    """The reward function of GRPO: joint, without what only reports."""

    def joint(questions: Sequence[str], answers: Sequence[str]) -> np.ndarray:
        return scorer.models["tone"](answers) * scorer.models["sense"](questions, answers)

    return joint
