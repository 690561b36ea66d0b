"""The batches that the sentence model is tuned in, and what tuning writes."""

import random
import sys

import numpy as np
import torch
from datasets import Dataset

from tests.support.workspace import ROOT
from tonetune.core.params import load_params
from tonetune.core.rows import Example, Message
from tonetune.scoring.embedder import Embedder
from tonetune.scoring.embedder_tuning import BATCH, ByLength, tune_embedder

QUESTIONS = 100


def pairs() -> Dataset:
    rng = random.Random(0)
    texts = ["x" * rng.randint(50, 500) for _ in range(2 * QUESTIONS)]
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


def numbered(count: int) -> list[Example]:
    return [
        Example(
            question_id=f"q{i}",
            category="c",
            prompt=[Message(role="user", content=f"What is number {i}?")],
            completion=[Message(role="assistant", content=f"The one after {i - 1}.")],
            plain=f"It is {i}.",
        )
        for i in range(count)
    ]


def test_what_was_tuned_embeds_as_what_its_adapter_is_loaded_into_and_not_as_before(tmp_path):
    model = load_params(ROOT / "params.yaml").scorers.sentence_model
    texts = ["What is number 3?", "It is 3.", "Something else altogether, and longer."]
    vectors = {}
    for dtype in (torch.float32, torch.bfloat16):
        embed = Embedder(model)
        before = embed(texts)
        tune_embedder(embed, numbered(64), epochs=1, seed=17, folder=tmp_path / str(dtype), dtype=dtype)
        vectors[dtype] = embed(texts)
        assert np.array_equal(vectors[dtype], Embedder(model, tmp_path / str(dtype))(texts))
        assert np.abs(vectors[dtype] - before).max() > 0.01
        assert {weight.dtype for weight in embed.model.parameters()} == {torch.float32}
    # What is trained in bfloat16 is what is trained in float32, but for its rounding.
    assert (vectors[torch.float32] * vectors[torch.bfloat16]).sum(1).min() > 0.98


def test_tuning_writes_the_same_bytes_whatever_was_drawn_before_and_names_no_folder(tmp_path):
    model = load_params(ROOT / "params.yaml").scorers.sentence_model
    written = []
    for turn in range(2):
        torch.rand(turn + 1)  # the state that an earlier part of a stage would leave behind
        folder = tmp_path / str(turn)
        tune_embedder(Embedder(model), numbered(16), epochs=1, seed=17, folder=folder, dtype=torch.float32)
        written.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert written[0] == written[1]
    assert set(written[0]) == {"adapter_config.json", "adapter_model.safetensors"}
    assert not any(sys.prefix.encode() in content for content in written[0].values())
