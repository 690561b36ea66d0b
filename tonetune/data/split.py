"""Which questions are trained on, chosen on and reported on."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from tonetune.core.rows import BASICS, Example, Question, SplitName

BLOCK = 10


def _pseudorandom(seed: int, *parts: object) -> str:
    """A number in hexadecimal that looks random and depends on nothing but its arguments."""
    return hashlib.sha256("/".join(map(str, (seed, *parts))).encode()).hexdigest()


def assign_splits(
    questions: Sequence[Question], near: Sequence[tuple[int, int]], validation: float, test: float, seed: int
) -> dict[str, SplitName]:
    """The split of each question's id: stratified by category, and stable when questions are added to any category.

    Every category is cut into blocks of ten in the order of the file. Each block gives its share to test and to
    validation (rounded so that the running total is right), and which of the ten go where is drawn from `seed`, so a
    later question cannot move an earlier one. A question that is near an earlier one (`near`: pairs of indices)
    follows it to its split and takes no place in a block; earlier is what stands earlier in its category, wherever that
    is in the file. A follow-up goes where the question goes that it follows. The basic exchanges are always trained on.
    """
    counts: Counter[str] = Counter()
    age: dict[int, tuple[int, int]] = {}
    for index, question in enumerate(questions):
        age[index] = (counts[question.category], index)
        counts[question.category] += 1
    by_age = sorted(age, key=lambda index: age[index])
    follows: dict[int, int] = {}
    for older, younger in sorted(
        (sorted(pair, key=lambda index: age[index]) for pair in near), key=lambda p: age[p[0]]
    ):
        follows.setdefault(younger, older)
    split_of: dict[str, SplitName] = {}
    places: dict[str, int] = {}
    for index in by_age:
        question = questions[index]
        if question.category == BASICS:
            split_of[question.id] = "train"
        elif question.after:
            split_of[question.id] = split_of[question.after]
        elif index in follows:
            split_of[question.id] = split_of[questions[follows[index]].id]
        else:
            place = places.get(question.category, 0)
            places[question.category] = place + 1
            split_of[question.id] = _split_of_place(question.category, place, validation, test, seed)
    return split_of


def _split_of_place(category: str, place: int, validation: float, test: float, seed: int) -> SplitName:
    block, offset = divmod(place, BLOCK)
    order = sorted(range(BLOCK), key=lambda slot: _pseudorandom(seed, category, block, slot))
    rank = order.index(offset)
    tests = _share_of_block(test, block)
    validations = _share_of_block(test + validation, block) - tests
    if rank < tests:
        return "test"
    return "validation" if rank < tests + validations else "train"


def _share_of_block(share: float, block: int) -> int:
    """How many of a block's places a share takes, so that all blocks together take round(share x places)."""
    return round(share * BLOCK * (block + 1)) - round(share * BLOCK * block)


def training_order(ids: Sequence[str], seed: int) -> list[str]:
    """A fixed order of the training questions, from which `split.train_size` takes the first n."""
    return sorted(ids, key=lambda identifier: _pseudorandom(seed, "order", identifier))


def reindexed(
    near: Sequence[tuple[int, int, float]], questions: Sequence[Question], kept: Sequence[Question]
) -> list[tuple[int, int, float]]:
    """The near pairs of `questions`, given by index, by their index in `kept`: those of which both are kept."""
    index = {question.id: i for i, question in enumerate(kept)}
    pairs = [(questions[i].id, questions[j].id, similarity) for i, j, similarity in near]
    return [(index[a], index[b], similarity) for a, b, similarity in pairs if a in index and b in index]


class ClassifierHalves(NamedTuple):
    """The training questions that each of the two tone classifiers is fitted on: they share none."""

    tone: list[Example]
    reporting: list[Example]


def classifier_halves(examples: Sequence[Example]) -> ClassifierHalves:
    """Every other question each, in the order of the examples; all samples of a question go to one half."""
    place = {identifier: index for index, identifier in enumerate(dict.fromkeys(e.question_id for e in examples))}
    halves = ClassifierHalves([], [])
    for example in examples:
        halves[place[example.question_id] % 2].append(example)
    return halves


def first_samples(examples: Sequence[Example]) -> list[Example]:
    """Each question's first answer alone, in the order of the examples."""
    first: dict[str, Example] = {}
    for example in examples:
        first.setdefault(example.question_id, example)
    return list(first.values())
