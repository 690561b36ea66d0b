"""Texts as the mean of what the base's first layers make of them."""

import copy

import pytest
import torch
from transformers import AutoModel

from tonetune.scoring.hidden_states import HiddenStates


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
