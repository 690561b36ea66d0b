"""Splits by question: stratified, stable, near questions together."""

from tests.support.examples import example
from tonetune.core.rows import Question
from tonetune.data.split import assign_splits, classifier_halves, first_samples, reindexed, training_order


def questions(category: str, count: int, start: int = 0) -> list[Question]:
    return [
        Question(id=f"{category}{i}", category=category, text=f"{category} {i}?") for i in range(start, start + count)
    ]


def test_every_category_gives_its_share_to_each_split():
    asked = questions("a", 100) + questions("b", 50)
    split_of = assign_splits(asked, [], 0.1, 0.15, seed=3)
    for category, tests, validations in (("a", 15, 10), ("b", 8, 5)):
        members = [split_of[q.id] for q in asked if q.category == category]
        assert abs(members.count("test") - tests) <= 1
        assert abs(members.count("validation") - validations) <= 1


def test_questions_added_later_move_no_earlier_one():
    before = assign_splits(questions("a", 37), [], 0.1, 0.2, seed=3)
    after = assign_splits(questions("a", 37) + questions("b", 9) + questions("a", 40, start=37), [], 0.1, 0.2, seed=3)
    assert {key: after[key] for key in before} == before


def test_questions_added_to_an_earlier_category_move_no_one_even_where_they_are_near():
    """The file is ordered by category: what is added to the first comes before all of the second."""
    old = questions("a", 20), questions("b", 20)
    before = assign_splits([*old[0], *old[1]], [], 0.1, 0.2, seed=3)
    new = questions("a", 20, start=20)
    asked = [*old[0], *new, *old[1]]
    near = [(20 + i, 40 + i) for i in range(20)]  # each new question is near an old one of the later category
    after = assign_splits(asked, near, 0.1, 0.2, seed=3)
    assert {key: after[key] for key in before} == before
    assert [after[q.id] for q in new] == [before[q.id] for q in old[1]]


def test_a_near_question_follows_the_earlier_one_and_shifts_nobody():
    asked = questions("a", 40)
    plain = assign_splits(asked, [], 0.1, 0.2, seed=3)
    test_index = next(i for i, q in enumerate(asked) if plain[q.id] == "test")
    twin = Question(id="twin", category="a", text="a twin?")
    split_of = assign_splits([*asked, twin], [(test_index, 40)], 0.1, 0.2, seed=3)
    assert split_of["twin"] == "test"
    assert {q.id: split_of[q.id] for q in asked} == plain


def test_another_seed_draws_another_split_and_basics_are_always_trained_on():
    asked = questions("a", 60) + questions("basics", 10)
    one, two = (assign_splits(asked, [], 0.1, 0.2, seed=seed) for seed in (1, 2))
    assert one != two
    assert {one[q.id] for q in asked if q.category == "basics"} == {"train"}


def test_the_training_order_of_a_larger_set_keeps_the_order_of_the_smaller():
    small = [f"q{i}" for i in range(20)]
    large = [f"q{i}" for i in range(40)]
    assert [i for i in training_order(large, 5) if i in set(small)] == training_order(small, 5)
    assert training_order(small, 5) != training_order(small, 6)


def test_all_samples_of_a_question_go_to_one_half_wherever_they_stand():
    sampled = [example(f"{n}?", f"{sample} {n}.") for n in range(7) for sample in ("first", "second")]
    apart = [*sampled[::2], *sampled[1::2]]  # all first samples, then all second ones
    for examples in (sampled, apart):
        halves = classifier_halves(examples)
        asked = [{e.question_id for e in half} for half in halves]
        assert not asked[0] & asked[1]
        assert [len(questions) for questions in asked] == [4, 3]
        assert all(len(half) == 2 * len(questions) for half, questions in zip(halves, asked, strict=True))
        assert halves.tone == [e for e in examples if e in halves.tone]  # in the order of the examples
        assert asked[0] == {f"{n}?" for n in range(0, 7, 2)}
    assert halves == (halves.tone, halves.reporting)


def test_the_halves_are_the_same_with_the_first_samples_alone():
    sampled = [example(f"{n}?", f"{sample} {n}.") for n in range(6) for sample in ("first", "second")]
    first = first_samples(sampled)
    assert [e.answer for e in first] == [f"first {n}." for n in range(6)]
    alone, both = classifier_halves(first), classifier_halves(sampled)
    assert alone.tone == first_samples(both.tone)
    assert alone.reporting == first_samples(both.reporting)


def test_near_pairs_of_kept_questions_are_found_where_these_stand_now():
    every = questions("a", 5)
    pairs = [(0, 4, 0.9), (1, 3, 0.8), (2, 4, 0.7)]
    assert reindexed(pairs, every, [every[4], every[0], every[3], every[2]]) == [(1, 0, 0.9), (3, 0, 0.7)]
