"""Texts as the mean of what the base's first layers make of them."""

import copy

import numpy as np
import pytest
import torch
from transformers import AutoModel

from tonetune.scoring.hidden_states import WINDOW, HiddenStates


def test_hidden_states_are_those_of_the_first_layers_whatever_becomes_of_the_base(tiny, tiny_base):
    model, tokenizer = tiny
    base = copy.deepcopy(model)
    states = HiddenStates(base, tokenizer, 1)
    with torch.no_grad():
        for weight in base.parameters():
            weight.zero_()
    first = AutoModel.from_pretrained(tiny_base, dtype=torch.float32, num_hidden_layers=1)
    found = states(["A short one.", "And one that is a good deal longer."])
    for text, vector in zip(["A short one.", "And one that is a good deal longer."], found, strict=True):
        encoded = tokenizer.encode(text, return_tensors="pt", add_special_tokens=False)
        expected = first(encoded).last_hidden_state[0].mean(0)
        assert vector == pytest.approx(expected.detach().numpy(), rel=1e-4, abs=1e-5)


def test_all_of_a_long_text_counts(tiny):
    """Two texts that differ only after the first window are not the same."""
    model, tokenizer = tiny
    states = HiddenStates(model, tokenizer, 1)
    start = "A word and another one. " * 60
    same, other, short = states([start + "So it ends.", start + "Lightning strikes twice!", "So it ends."])
    assert not np.allclose(same, other)
    # The mean is over all tokens: that of the windows, by their lengths.
    ids = tokenizer.encode(start + "So it ends.", add_special_tokens=False)
    body = copy.deepcopy(model.model)
    body.layers = body.layers[:1]
    with torch.no_grad():
        windows = [body(torch.tensor([ids[i : i + WINDOW]])).last_hidden_state[0] for i in range(0, len(ids), WINDOW)]
    assert same == pytest.approx(torch.cat(windows).mean(0).numpy(), rel=1e-3, abs=1e-4)
    assert len(windows) > 1
    assert not np.allclose(short, same)
