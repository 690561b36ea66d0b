"""Every score has its array, joint is tone times sense, and what is fitted comes back from its files."""

import evaluate
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from tests.support.workspace import ROOT
from tonetune.core.errors import UserError
from tonetune.core.rows import SCORES, Generation
from tonetune.scoring.embedder import SENTENCE_ADAPTER
from tonetune.scoring.endings import Endings
from tonetune.scoring.scorer import MEASURED, FittedScorers, Scorer, joint_reward

QUESTIONS = ["Why?", "How on earth?"]
ANSWERS = ["Because that is how it is.", "One step at a time, and slowly."]


def of_pair(questions, answers):
    """A score that shows whether each answer came with its own question."""
    return np.array(
        [{"Why?": 0.8, "How on earth?": 0.4}[q] * (a in ANSWERS) for q, a in zip(questions, answers, strict=True)]
    )


class KnownOrder:
    """A word order whose probabilities are known."""

    endings = Endings()

    def __call__(self, answers):
        return np.array([0.7, 0.6])


class Known(Scorer):
    """With models whose scores are known."""

    def __init__(self, **models):
        self.models = {
            "tone": lambda answers: np.array([0.5, 0.25]),
            "sense": of_pair,
            "relevance": lambda questions, answers: np.array([1.0, 0.9]),
            "fluency": KnownOrder(),
        } | models
        self.measures = {name: evaluate.load(str(ROOT / "measures" / name)) for name in MEASURED}

    def reported_tone(self, answers):
        return np.array([0.3, 0.2])


def test_the_scores_are_those_of_the_rows_and_joint_is_tone_times_sense():
    scores = Known()(QUESTIONS, ANSWERS)
    assert set(scores) == set(SCORES)
    assert SCORES == ("joint", "tone", "sense", "relevance", "fluency", "reported_tone")
    assert {name: values.tolist() for name, values in scores.items()} == {
        "tone": [0.5, 0.25],
        "sense": [0.8, 0.4],
        "relevance": [1.0, 0.9],
        "fluency": [0.7, 0.6],
        "joint": pytest.approx([0.4, 0.1]),
        "reported_tone": [0.3, 0.2],
    }


def test_a_score_that_is_no_number_is_refused_by_name():
    with pytest.raises(UserError, match=r"measures/tone: gives scores that are no numbers"):
        Known(tone=lambda answers: np.array([0.5, np.nan]))(QUESTIONS, ANSWERS)


def test_the_reward_is_joint_and_asks_nothing_else():
    def never(*_):
        raise AssertionError

    scorer = Known(relevance=never, fluency=never)
    assert joint_reward(scorer)(QUESTIONS, ANSWERS) == pytest.approx([0.4, 0.1])


def test_a_generation_must_have_every_score():
    row = {"system": "x", "question_id": "q", "seed": 1, "text": "Yes."} | dict.fromkeys(SCORES, 0.5)
    assert Generation(**row).sense == 0.5
    for score in SCORES:
        with pytest.raises(ValueError, match=score):
            Generation(**{name: value for name, value in row.items() if name != score})


def fitted(slope):
    return make_pipeline(LogisticRegression().fit([[0.0], [1.0], [slope], [slope + 1]], [0, 0, 1, 1]))


def test_fitted_scorers_come_back_each_in_its_place(tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "weights").write_text("w")
    arrays = ("questions", "answers")
    names = [name for name in FittedScorers.__dataclass_fields__ if name not in (*arrays, "endings")]
    models = {name: fitted(2.0 + place) for place, name in enumerate(names)}
    endings = Endings(("emoji", "sentence"), 2)
    saved = FittedScorers(**models, questions=np.eye(3), answers=np.ones((3, 3)), endings=endings)
    saved.save(adapter, {"base_model": "0123"}, str(tmp_path / "scorers"))
    loaded = FittedScorers.load(str(tmp_path / "scorers"))
    for name in names:
        mine, theirs = (getattr(one, name).predict_proba([[1.5]]) for one in (saved, loaded))
        assert np.array_equal(mine, theirs)
    assert loaded.endings == endings
    assert np.array_equal(loaded.questions, np.eye(3))
    assert np.array_equal(loaded.answers, np.ones((3, 3)))
    assert (tmp_path / "scorers" / SENTENCE_ADAPTER / "weights").read_text() == "w"
    (tmp_path / "scorers" / "sense.skops").unlink()
    with pytest.raises(UserError, match=r"sense\.skops: no such model"):
        FittedScorers.load(str(tmp_path / "scorers"))
