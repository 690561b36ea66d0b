"""Likelihoods against the plainest way to compute them."""

import copy

import pytest
import torch

from tonetune.core.errors import UserError
from tonetune.generation.likelihood import likelihood
from tonetune.scoring.hidden_states import HiddenStates


def test_likelihood_counts_the_answer_tokens_only_whatever_the_batch(tiny, ids):
    model, _ = tiny
    answers = [[10, 20, 30, 2], [40, 2], [50, 60, 2]]
    expected = []
    for prompt, answer in zip(ids, answers, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
        expected.append(-sum(float(logits[len(prompt) + i - 1, token]) for i, token in enumerate(answer)))
    for batch_tokens in (1, 1000):
        result = likelihood(model, ids, answers, ["abcd", "ab", "abc"], batch_tokens)
        assert result.nats == pytest.approx(expected, rel=1e-4)
        assert result.tokens == (4, 2, 3)
    assert result.perplexity == pytest.approx(torch.tensor(sum(expected) / 9).exp().item(), rel=1e-4)
    assert result.bits_per_byte == pytest.approx(sum(expected) / 9 / 0.6931472, rel=1e-4)


def test_weights_that_are_no_numbers_are_an_error_that_says_so(tiny, ids):
    model, tokenizer = copy.deepcopy(tiny[0]), tiny[1]
    model.model.layers[0].mlp.down_proj.weight.data[0, 0] = torch.nan
    with pytest.raises(UserError, match=r"no numbers; are its weights damaged"):
        likelihood(model, ids, [[10, 2]] * 3, ["a"] * 3, 1000)
    with pytest.raises(UserError, match=r"base_model: its hidden states are no numbers"):
        HiddenStates(model, tokenizer, 1)(["Some text."])
