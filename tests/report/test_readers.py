"""Blind sheets and what readers made of them, on invented readings."""

import math
import re

import pytest
from pydantic import ValidationError

from tonetune.report.readers import (
    Item,
    Reading,
    blind_items,
    item_id,
    mean_ratings,
    readers_agreement,
    readers_figures,
    unreliable,
)

QUESTIONS = {f"q{i}": f"Why {i}?" for i in range(6)}
ANSWERS = {system: {key: f"{system} says {key}" for key in QUESTIONS} for system in ("tuned", "base")}


def test_every_system_answers_the_same_questions_in_an_order_that_the_seed_decides():
    items = blind_items(ANSWERS, QUESTIONS, 4, 1)
    assert len(items) == 8
    asked = {system: {item.question_id for item in items if item.system == system} for system in ANSWERS}
    assert asked["tuned"] == asked["base"]
    assert len(asked["base"]) == 4
    for item in items:
        assert item.question == QUESTIONS[item.question_id]
        assert item.answer == ANSWERS[item.system][item.question_id]
    systems = [item.system for item in items]
    assert systems not in (sorted(systems), sorted(systems, reverse=True))
    assert blind_items(ANSWERS, QUESTIONS, 4, 1) == items
    assert blind_items(ANSWERS, QUESTIONS, 4, 2) != items


def test_only_questions_that_all_systems_answered_are_asked():
    answers = ANSWERS | {"rival": {"q2": "Because.", "q5": "No."}}
    items = blind_items(answers, QUESTIONS, 100, 1)
    assert sorted((item.system, item.question_id) for item in items) == [
        (system, key) for system in ("base", "rival", "tuned") for key in ("q2", "q5")
    ]


def test_an_items_id_is_its_own_and_tells_nothing():
    items = blind_items(ANSWERS, QUESTIONS, 6, 1)
    assert len({item.id for item in items}) == len(items)
    assert all(re.fullmatch("[0-9a-f]{12}", item.id) for item in items)
    again = blind_items(ANSWERS, QUESTIONS, 6, 2)
    assert {item.id for item in again} == {item.id for item in items}
    assert item_id("a", "q", "x") != item_id("b", "q", "x")


def read(system: str, ratings: dict[str, list[tuple[int, int]]]) -> tuple[list[Item], list[Reading]]:
    """A system's items with the (sense, tone) that readers a, b, ... gave to its answer to each question."""
    items = [
        Item(id=f"{system} {key}", system=system, question_id=key, question="Why?", answer="Yes.") for key in ratings
    ]
    readings = [
        Reading(id=f"{system} {key}", reader="abc"[place], sense=sense, tone=tone)
        for key, given in ratings.items()
        for place, (sense, tone) in enumerate(given)
    ]
    return items, readings


def test_ratings_of_one_item_are_averaged_over_its_readers():
    _, readings = read("x", {"q0": [(3, 0), (2, 1)], "q1": [(1, 1)]})
    assert mean_ratings(readings) == {"x q0": (2.5, 0.5), "x q1": (1, 1)}
    with pytest.raises(ValidationError):
        Reading(id="x", reader="a", sense=4, tone=0)


def test_figures_by_hand():
    """Three answers rated (3, 2), (2, 0) and, by two readers, (1, 3) on the mean; one that nobody rated."""
    items, readings = read("tuned", {"q0": [(3, 2)], "q1": [(2, 0)], "q2": [(0, 3), (2, 3)], "q3": []})
    others, more = read("base", {"q0": [(0, 0)]})
    figures = readers_figures([*items, *others], [*readings, *more], 1)
    assert [figure.system for figure in figures] == ["base"] * 6 + ["tuned"] * 6
    found = {figure.figure: figure for figure in figures if figure.system == "tuned"}
    means = {name: figure.mean for name, figure in found.items()}
    assert means == {
        "sense": 2,
        "tone": 1.6667,
        "sense >= 2": 0.6667,
        "sense >= 2 and tone >= 1": 0.3333,
        "sense >= 2 and tone >= 2": 0.3333,
        "sense x tone / 9": 0.3333,
    }
    for figure in figures:
        assert figure.low <= figure.mean <= figure.high
        assert figure.answers == (3 if figure.system == "tuned" else 1)
    assert found["sense"].low < 2 < found["sense"].high
    assert {figure.mean for figure in figures if figure.system == "base"} == {0}


def test_several_answers_of_a_system_to_one_question_count_as_one():
    items, readings = read("tuned", {"q0": [(3, 3)], "again": [(1, 1)], "q1": [(2, 2)]})
    items[1] = items[1].model_copy(update={"question_id": "q0"})
    sense = readers_figures(items, readings, 1)[0]
    assert (sense.figure, sense.mean, sense.answers) == ("sense", 2, 2)


def test_agreement_is_the_rank_correlation_of_readers_of_the_same_item():
    _, same = read("x", {f"q{i}": [(i, 3 - i), (i, i)] for i in range(4)} | {"alone": [(3, 0)]})
    assert readers_agreement(same, "sense") == (pytest.approx(1), 4)
    assert readers_agreement(same, "tone") == (pytest.approx(-1), 4)
    _, swapped = read("x", {f"q{i}": [(i, i), (i, 3 - i)][:: 1 if i % 2 else -1] for i in range(4)})
    assert readers_agreement(swapped, "tone")[0] == pytest.approx(-1)  # whoever is called the first


def test_agreement_is_no_number_where_no_two_readers_differ_or_meet():
    _, alone = read("x", {"q0": [(3, 0)], "q1": [(1, 2)]})
    value, items = readers_agreement(alone, "sense")
    assert math.isnan(value)
    assert items == 0
    _, level = read("x", {"q0": [(2, 2), (2, 2)], "q1": [(2, 2), (2, 2)]})
    value, items = readers_agreement(level, "sense")
    assert math.isnan(value)
    assert items == 2


def test_a_reader_is_left_out_who_finds_no_sense_in_the_teacher_or_as_much_in_mixed_sentences():
    keys = [f"q{i}" for i in range(5)]
    # Readers a to c: right; the teacher is nonsense; everything is sensible.
    good, of_good = read("teacher_persona", {key: [(3, 3), (0, 3), (3, 3)] for key in keys})
    bad, of_bad = read("mixed_sentences", {key: [(1, 3), (0, 3), (3, 3)] for key in keys})
    assert unreliable([*good, *bad], [*of_good, *of_bad]) == ["b", "c"]
    few = [reading for reading in (*of_good, *of_bad) if not reading.id.endswith("q4")]
    assert unreliable([*good, *bad], few) == []
