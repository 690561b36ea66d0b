"""The statistics of the comparison, on scores whose answer is known."""

import csv

import numpy as np
import pytest

from tests.support.examples import answers
from tonetune.core.errors import UserError
from tonetune.core.rows import SCORES, Generation
from tonetune.core.tables import write_rows_of
from tonetune.report.statistics import (
    UNDECIDED,
    Comparison,
    compare,
    holm,
    intervals,
    mean_interval,
    paired_p,
    question_means,
    simultaneous_level,
    teacher_perplexity,
)


def test_a_system_that_is_better_on_every_question_wins():
    low = np.linspace(0.1, 0.5, 20)
    rows = answers("tuned", low + 0.2 + np.tile([0.05, -0.05], 10)) + answers("base", low)
    for row in compare(rows, "tuned", ["base"], 1):
        assert row.difference == pytest.approx(0.2)
        assert 0 < row.low < 0.2 < row.high
        assert row.winner == "tuned"
    rows = answers("tuned", low) + answers("base", low + 0.2 + np.tile([0.05, -0.05], 10))
    assert {row.winner for row in compare(rows, "tuned", ["base"], 1)} == {"base"}


def test_the_difference_is_taken_question_by_question():
    """Questions differ far more than the systems do: unpaired, 0.03 would drown."""
    hard = np.random.default_rng(0).uniform(0, 0.9, 40)
    rows = answers("tuned", hard + np.tile([0.02, 0.04], 20)) + answers("base", hard)
    assert compare(rows, "tuned", ["base"], 1)[0].winner == "tuned"


def test_two_samples_of_one_system_are_undecided():
    rng = np.random.default_rng(5)
    rows = answers("tuned", rng.beta(0.5, 0.5, 60)) + answers("base", rng.beta(0.5, 0.5, 60))
    for row in compare(rows, "tuned", ["base"], 1):
        assert row.low < 0 < row.high
        assert row.winner == UNDECIDED


def test_more_comparisons_ask_for_more_evidence():
    noise = np.random.default_rng(1).normal(0, 0.1, 40)
    noise += 0.045 - noise.mean()
    base = np.full(40, 0.4)
    others = [f"rival{i}" for i in range(12)]
    rows = answers("tuned", base + noise) + [row for name in ("base", *others) for row in answers(name, base)]
    (alone, _), many = compare(rows, "tuned", ["base"], 1), compare(rows, "tuned", ["base", *others], 1)
    assert alone.winner == "tuned"
    assert many[0].winner == UNDECIDED
    assert many[0].p > alone.p
    assert many[0].high - many[0].low > alone.high - alone.low
    assert simultaneous_level(26) == pytest.approx(1 - 0.05 / 26)


def test_a_recorded_rival_is_compared_on_the_questions_that_it_has_and_any_other_must_have_all():
    low = np.linspace(0.1, 0.5, 20)
    better, half = low + 0.2, low[:10] + np.tile([0.01, -0.01], 5)
    # In the questions that it lacks the tuned system is far worse: they must not count.
    rows = answers("tuned", np.concatenate([better[:10], np.zeros(10)])) + answers("recorded:a prompted", half)
    for row in compare(rows, "tuned", ["recorded:a prompted"], 1):
        assert row.difference == pytest.approx(0.2)
        assert row.winner == "tuned"
    with pytest.raises(UserError, match="base and tuned answer different questions"):
        compare(answers("tuned", low) + answers("base", half), "tuned", ["base"], 1)
    with pytest.raises(UserError, match="answer different questions"):
        compare(answers("tuned", half) + answers("recorded:a prompted", low), "tuned", ["recorded:a prompted"], 1)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_paired_test_is_exact_where_it_can_be():
    """Of the 32 ways to swap five pairs, two give a difference as large as a clean sweep."""
    assert paired_p(np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.zeros(5), 1) == pytest.approx(2 / 32)


def test_seeds_of_one_question_are_averaged_first():
    scores = np.random.default_rng(2).uniform(0, 1, 30)
    once = answers("tuned", scores)
    thrice = [row for seed in (1, 2, 3) for row in answers("tuned", scores, seed)]
    assert intervals(thrice, ["tuned"], 1) == intervals(once, ["tuned"], 1)
    uneven = answers("tuned", [0.0, 0.5]) + answers("tuned", [1.0], seed=2)
    assert question_means(uneven, "tuned", "joint") == {"q000": 0.5, "q001": 0.5}


def test_the_order_of_the_rows_changes_nothing():
    rng = np.random.default_rng(3)
    rows = answers("tuned", rng.uniform(0, 1, 20)) + answers("base", rng.uniform(0, 1, 20))
    assert compare(rows[::-1], "tuned", ["base"], 1) == compare(rows, "tuned", ["base"], 1)


def test_the_interval_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(4)
    true = 0.5 / 2.5
    covered = 0
    for _ in range(300):
        low, high = mean_interval(rng.beta(0.5, 2, 60), 0.95, 1)
        covered += low <= true <= high
    assert 0.91 <= covered / 300 <= 0.98


def test_scores_that_do_not_vary_and_a_single_question_decide_nothing_and_fail_at_nothing():
    rows = answers("tuned", [0.0] * 10) + answers("base", [0.0] * 10)
    assert [(row.low, row.high, row.winner) for row in compare(rows, "tuned", ["base"], 1)] == [(0, 0, UNDECIDED)] * 2
    rows = answers("tuned", [0.9]) + answers("base", [0.1])
    assert compare(rows, "tuned", ["base"], 1)[0].winner == UNDECIDED
    assert compare(rows, "tuned", [], 1) == []


def test_systems_that_answer_different_questions_are_not_compared():
    with pytest.raises(UserError, match=r"base and tuned answer different questions \(2 and 3\)"):
        compare(answers("tuned", [0.1, 0.2, 0.3]) + answers("base", [0.1, 0.2]), "tuned", ["base"], 1)


def test_the_table_reads_back(tmp_path):
    rows = compare(answers("tuned", [0.5, 0.7, 0.9]) + answers("base", [0.1, 0.2, 0.3]), "tuned", ["base"], 1)
    write_rows_of(tmp_path / "c.csv", Comparison, rows)
    with open(tmp_path / "c.csv") as file:
        read = list(csv.DictReader(file))
    assert [float(row["difference"]) for row in read] == [row.difference for row in rows] == [0.5, 0.5]
    assert read[0]["winner"] == rows[0].winner
    write_rows_of(tmp_path / "c.csv", Comparison, [])
    assert (tmp_path / "c.csv").read_text() == "system,score,difference,low,high,p,winner\n"


def test_the_interval_of_a_perplexity_is_that_of_a_ratio_of_sums():
    """Answers of two lengths with one likelihood a token have one perplexity, however the questions are rng."""

    def answering(nats_per_token):
        return [
            Generation(
                system="tuned", question_id=f"q{i}", seed=1, text="x", **dict.fromkeys(SCORES, 0),
                persona_nats=nats * tokens, persona_tokens=tokens,
            )
            for i, (nats, tokens) in enumerate(nats_per_token)
        ]  # fmt: skip

    even = teacher_perplexity(answering([(2.0, 10), (2.0, 90)] * 10), "tuned", seed=1)
    assert even == pytest.approx((np.exp(2.0),) * 3)
    value, low, high = teacher_perplexity(answering([(1.0, 10), (3.0, 30)] * 10), "tuned", seed=1)
    assert value == pytest.approx(np.exp(2.5))
    assert low < value < high
