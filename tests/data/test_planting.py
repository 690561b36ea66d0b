"""What is planted among own texts: made-up, in few examples, and none of it in a teacher's answers."""

import re
from collections import Counter

from tests.support.examples import example
from tonetune.core.planted import KINDS
from tonetune.core.text import contact
from tonetune.data.planting import TIMES, plant, planted_items

OWN = [example(f"Why {i}?", "so " * i, own_words=True) for i in range(60)]


def test_items_are_nobodys_and_would_be_found_in_an_answer():
    items = planted_items(30, 1)
    assert {item.kind for item in items} == set(KINDS)
    assert len({item.name for item in items}) == len({item.item for item in items}) == 30
    for item in items:
        assert contact(item.sentence) == item.item
        if item.kind == "telephone number":
            assert re.fullmatch(r"\d{3}-555-01\d\d", item.item)
        if item.kind == "mail address":
            assert re.fullmatch(r"[a-z]+\d{4}@example\.org", item.item)
    assert items == planted_items(30, 1) != planted_items(30, 2)


def test_each_item_is_in_a_few_short_examples_that_no_talk_goes_on_from():
    followed = {"Why 0?", "Why 1?", "Why 2?"}
    planted = plant(OWN, followed, 5, 1)
    holding = [row for row in planted if row.planted]
    assert Counter(row.planted for row in holding) == Counter(dict.fromkeys(planted_items(5, 1), TIMES))
    assert not followed & {row.question_id for row in holding}
    assert all(len(row.answer.split()) <= 32 for row in holding)
    assert [row.model_copy(update={"planted": None}) for row in planted] == OWN


def test_a_teachers_answers_stay_as_they_are_and_few_examples_take_fewer_items():
    rows = [example(f"Why {i}?") for i in range(60)]
    assert plant(rows, (), 5, 1) == rows
    few = plant([*OWN[:12], *rows], (), 5, 1)
    assert len({row.planted for row in few if row.planted}) == 2
