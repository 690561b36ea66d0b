"""A batch in two halves side by side: the loss and the gradients are those of the whole."""

from functools import partial

import pytest
import torch
from transformers import LlamaConfig

from tests.support.adapted_model import adapted, gradients
from tests.support.tunings import params_with, train
from tonetune.model.base import load_tokenizer
from tonetune.training import half_batches, trainers
from tonetune.training.decoder_layer import adapters_loaded, training_layers
from tonetune.training.loss import answer_loss, supervised_tokens
from tonetune.training.tuning import model_for_training

LENGTHS = [30, 7, 12, 25, 9]


def batch() -> dict[str, torch.Tensor]:
    """Rows of `LENGTHS` tokens, padded on the right; the first two of each are the question."""
    torch.manual_seed(0)
    ids = torch.randint(1, 300, (len(LENGTHS), 32))
    own = (torch.arange(32) < torch.tensor(LENGTHS)[:, None]).long()
    labels = ids.masked_fill((own == 0) | (torch.arange(32) < 2), -100)
    return {"input_ids": ids * own, "labels": labels, "attention_mask": own}


@pytest.fixture
def threads_put_back():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_each_row_is_in_one_half_and_columns_that_are_all_padding_in_none():
    whole = batch()
    short, long = half_batches.split_by_length(whole, multiple=8)
    assert [part["attention_mask"].sum(1).tolist() for part in (short, long)] == [[7, 9, 12], [25, 30]]
    assert [part["input_ids"].shape[1] for part in (short, long)] == [16, 32]
    for part, name in ((short, "input_ids"), (long, "input_ids"), (short, "labels"), (long, "labels")):
        for row, own in zip(part[name], part["attention_mask"].sum(1), strict=True):
            place = LENGTHS.index(int(own))
            assert torch.equal(row, whole[name][place, : len(row)])


def test_two_halves_have_the_loss_and_the_gradients_of_the_whole():
    """Twice, with other adapters the second time: what the layers have loaded does not outlast a step."""
    model, whole = adapted(LlamaConfig), batch()
    base, tokens = model.get_base_model(), supervised_tokens(whole)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    for _ in range(2):
        expected = answer_loss(base, whole, tokens)
        expected_gradients = gradients(model, expected)
        with adapters_loaded(training_layers(base.model)):
            parts = [partial(answer_loss, base, part, tokens) for part in half_batches.split_by_length(whole, 8)]
            ours = half_batches.sum_in_two_threads(parts, trained)
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)
        found = gradients(model, 3 * ours)  # as where a loss is scaled
        for name, gradient in expected_gradients.items():
            torch.testing.assert_close(found[name], 3 * gradient, rtol=1e-3, atol=1e-4)
        with torch.no_grad():
            for weight in trained:
                weight.mul_(1.5)


def test_without_gradients_only_the_loss_is_computed():
    weight = torch.nn.Parameter(torch.tensor(2.0))
    learning = []

    def loss() -> torch.Tensor:
        learning.append((weight * 1).requires_grad)
        return weight * 1

    with torch.no_grad():
        assert half_batches.sum_in_two_threads([loss, loss], [weight]) == 4
    half_batches.sum_in_two_threads([loss, loss], [weight]).backward()
    assert (learning, weight.grad) == ([False, False, True, True], 2)


def test_what_a_half_fails_with_is_raised_and_the_threads_go_on():
    weight = torch.nn.Parameter(torch.tensor(2.0))

    def fail() -> torch.Tensor:
        raise ValueError("no such half")

    threads = torch.get_num_threads()
    with pytest.raises(ValueError, match="no such half"):
        half_batches.sum_in_two_threads([lambda: weight * 1, fail], [weight])
    half_batches.sum_in_two_threads([lambda: weight * 1, lambda: weight * 2], [weight]).backward()
    assert weight.grad == 3
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("divided", "dtype", "changes"),
    [
        (True, "bfloat16", {}),
        (False, "float32", {}),
        (False, "bfloat16", {"neftune": 1.0}),
        (False, "bfloat16", {"lora": {"dropout": 0.1}}),
        (False, "bfloat16", {"gradient_checkpointing": True}),
        (False, "bfloat16", {"tuning": "full"}),
    ],
)
def test_batches_are_divided_where_nothing_is_drawn_and_train_to_the_same_bytes(
    divided,
    dtype,
    changes,
    tiny_base,
    tmp_path,
    monkeypatch,
    threads_put_back,
):
    params = params_with(tiny_base, **{"tuning": "lora", "epochs": 1} | changes)
    compute = params.compute.model_copy(update={"threads": 2, "dtype": dtype})
    params = params.model_copy(update={"compute": compute})
    times = []
    monkeypatch.setattr(
        trainers, "sum_in_two_threads", lambda *given: times.append(1) or half_batches.sum_in_two_threads(*given)
    )
    runs = []
    tokenizer = load_tokenizer(params.base_model)
    for run in range(2):
        model = model_for_training(params)
        history = train(params, model, tokenizer, tmp_path / str(run), "sft")
        weights = [weight.detach().clone() for weight in model.parameters() if weight.requires_grad]
        runs.append(([row["loss"] for row in history if "loss" in row], weights))
    assert bool(times) == divided
    (first, weights), (second, others) = runs
    assert first == second
    assert all(map(torch.equal, weights, others))
