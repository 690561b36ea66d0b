"""The batches that the sentence model is tuned in."""

import random

from datasets import Dataset

from tone.sentence_model import BATCH, ByLength

QUESTIONS = 100


def pairs() -> Dataset:
    draws = random.Random(0)
    texts = ["x" * draws.randint(50, 500) for _ in range(2 * QUESTIONS)]
    return Dataset.from_dict({"anchor": [f"question {i}" for i in range(QUESTIONS)] * 2, "positive": texts})


def test_an_epoch_holds_each_pair_once_and_a_batch_each_question_once():
    sampler = ByLength(pairs(), batch_size=BATCH, drop_last=False, seed=17)
    batches = list(sampler)
    assert sorted(row for batch in batches for row in batch) == list(range(2 * QUESTIONS))
    assert all(len({row % QUESTIONS for row in batch}) == len(batch) <= BATCH for batch in batches)
    assert len(batches) == len(sampler)


def test_batches_are_mostly_free_of_padding():
    lengths = [len(text) for text in pairs()["positive"]]
    batches = list(ByLength(pairs(), batch_size=BATCH, drop_last=False, seed=17))
    padded = sum(len(batch) * max(lengths[row] for row in batch) for batch in batches)
    assert padded < 1.25 * sum(lengths)


def test_the_seed_and_the_epoch_decide_the_order():
    sampler, again = (ByLength(pairs(), batch_size=BATCH, drop_last=False, seed=17) for _ in range(2))
    first = list(sampler)
    assert list(again) == first
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert list(ByLength(pairs(), batch_size=BATCH, drop_last=False, seed=18)) != first
