"""How the scores' agreement with readers is measured: on what nothing was fitted on."""

import numpy as np
import pytest

from tonetune.core.rows import Rating
from tonetune.core.tables import write_rows_of
from tonetune.evaluation.controls import rated_controls, rated_example
from tonetune.evaluation.validity import Agreement, agreement, held_out_scores, read_agreements


def rating(writer: str, side: str, sense: int, tone: int = 3) -> Rating:
    return Rating(
        question_id="q", question="Why?", writer=writer, side=side, answer="Yes.", sense=[sense], tone=[tone],
        readers=["r"],
    )  # fmt: skip


RATINGS = [
    rating("a", "fit", 0),
    rating("b", "fit", 3),
    rating("a", "held_out", 1),
    rating("b", "held_out", 2),
    rating("c", "held_out", 3),
    rating("a", "held_out", 0),
]


def fitted_on(calls: list[list[int]]):
    """A score that keeps what it is fitted on, and is everywhere the number of it."""

    def predict(marked: np.ndarray) -> np.ndarray:
        calls.append(np.flatnonzero(marked).tolist())
        return np.full(len(marked), float(marked.sum()))

    return predict


def test_a_writers_answers_are_scored_by_what_was_fitted_without_that_writer():
    calls: list[list[int]] = []
    scores = held_out_scores(RATINGS, fitted_on(calls))
    assert calls == [[1], [0], [0, 1]]  # without a, without b, and c was not among them
    assert np.isnan(scores[:2]).all()  # what is fitted on is not what it is measured on
    assert scores[2:].tolist() == [1, 1, 2, 1]


def test_what_is_learnt_by_heart_of_a_writer_does_not_count():
    """A score that knows writers and nothing else is blind to each."""
    writers = [given.writer for given in RATINGS]

    def predict(marked: np.ndarray) -> np.ndarray:
        known = {writer for writer, fit in zip(writers, marked, strict=True) if fit}
        return np.array([1.0 if writer in known else 0.0 for writer in writers])

    seen = predict(np.array([given.side == "fit" for given in RATINGS]))
    assert seen[[2, 3, 5]].tolist() == [1, 1, 1]
    assert held_out_scores(RATINGS, predict)[[2, 3, 5]].tolist() == [0, 0, 0]


def test_agreement_by_hand():
    sense = np.array([np.nan, np.nan, 0.4, 0.6, 0.8, 0.2])
    scores = {"sense": sense, "tone": 1 - sense, "joint": sense}
    ratings = [row.model_copy(update={"tone": [3 - row.sense[0]]}) for row in RATINGS]
    correlations, rows = agreement(ratings, scores, "writers")
    assert correlations["sense"] == correlations["tone"] == 1
    found = {(row.score, row.writer): row for row in rows}
    a = found["sense", "a"]
    assert (a.new, a.answers, a.rated, a.scored) == ("writers", 2, pytest.approx(0.1667), pytest.approx(0.3))
    assert found["joint", "b"].rated == pytest.approx(2 / 9, abs=1e-4)
    assert [row.writer for row in rows if row.score == "tone"] == ["a", "b", "c"]


def test_agreements_are_read_as_they_were_written(tmp_path):
    rows = [Agreement("a", "joint", "writers", 0.5, 0.1234, 3), Agreement("b", "sense", "questions", 0, 1, 2)]
    write_rows_of(tmp_path / "validity.csv", Agreement, rows)
    assert read_agreements(tmp_path / "validity.csv") == {
        ("joint", "writers"): [rows[0]],
        ("sense", "questions"): [rows[1]],
    }


def test_controls_of_rated_answers_are_by_unseen_writers_or_nonsense_in_the_tone():
    ratings = [
        rating("teacher_a_persona", "fit", 3),
        rating("teacher_a_persona", "held_out", 3),  # a writer that was fitted on
        rating("teacher_c_persona", "held_out", 3),
        rating("teacher_c_plain", "held_out", 3, tone=1),
        rating("tuned_x", "fit", 0),
        rating("tuned_x", "held_out", 0, tone=1),
        rating("tuned_x", "held_out", 0, tone=0),
        rating("tuned_x", "held_out", 1),
        rating("spoilt_neighbour", "held_out", 0),
    ]
    found = rated_controls(ratings)
    assert found == {"unseen_writer": [ratings[2]], "nonsense": [ratings[5]]}
    example = rated_example(ratings[2])
    assert (example.question, example.answer) == ("Why?", "Yes.")
    assert rated_controls([]) == {}
