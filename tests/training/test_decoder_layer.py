"""The decoder layer that trains by hand: its numbers are those of transformers and peft."""

import pytest
import torch
from transformers import LlamaConfig, Qwen2Config

from tests.support.adapted_model import adapted, gradients, make_plain
from tonetune.training.decoder_layer import TrainingLayer


def batch(padded: bool) -> dict[str, torch.Tensor]:
    """Three rows; `padded`, the second has padding on the left and the third on the right."""
    ids = torch.randint(0, 300, (3, 17))
    own = torch.ones_like(ids)
    if padded:
        own[1, :4] = own[2, 12:] = 0
    return {"input_ids": ids, "labels": ids.masked_fill(own == 0, -100)} | ({"attention_mask": own} if padded else {})


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("targets", ["all-linear", "attention", ["gate_proj", "o_proj"]])
@pytest.mark.parametrize("config", [LlamaConfig, Qwen2Config])
def test_losses_and_gradients_are_the_plain_layers(config, targets, padded):
    model = adapted(config, targets)
    inputs = batch(padded)
    ours = model(**inputs, use_cache=False).loss
    ours_gradients = gradients(model, ours)
    make_plain(model)
    plain = model(**inputs, use_cache=False).loss
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-6)
    for name, gradient in gradients(model, plain).items():
        scale = gradient.abs().max()
        assert scale > 0
        torch.testing.assert_close(ours_gradients[name] / scale, gradient / scale, rtol=0, atol=5e-4)


def test_in_bfloat16_the_gradients_are_as_near_to_the_exact_ones_as_the_plain_layers_are():
    inputs = batch(padded=False)
    exact = adapted(LlamaConfig)
    make_plain(exact)
    exact_gradients = gradients(exact, exact(**inputs, use_cache=False).loss)

    def distance(model):
        found = gradients(model, model(**inputs, use_cache=False).loss)
        return sum((found[name] - exact).norm() / exact.norm() for name, exact in exact_gradients.items()) / len(found)

    model = adapted(LlamaConfig, dtype=torch.bfloat16)
    ours = distance(model)
    make_plain(model)
    assert 0 < ours < 1.1 * distance(model)


@pytest.mark.parametrize("changes", [{"rslora": True}, {"r": 20, "alpha": 7}])
def test_scale_and_rank_of_the_adapter_are_the_plain_ones(changes):
    """The scale is no power of two, the rank no multiple of what the matrix is padded to."""
    model = adapted(LlamaConfig, **changes)
    inputs = batch(padded=False)
    ours = gradients(model, model(**inputs, use_cache=False).loss)
    make_plain(model)
    for name, gradient in gradients(model, model(**inputs, use_cache=False).loss).items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-4, atol=1e-5)


def test_without_its_adapter_the_layer_is_the_base():
    """DPO's reference is the model with its adapter disabled; and generation hands a cache on."""
    model = adapted(LlamaConfig)
    inputs = batch(padded=False)
    with torch.no_grad():
        with_adapter = model(**inputs, use_cache=False).logits
        cached = model(**inputs, use_cache=True).logits
        with model.disable_adapter():
            without = model(**inputs, use_cache=False).logits
        plain = model.unload()
        for layer in plain.model.layers:
            del layer.forward
        torch.testing.assert_close(without, plain(**inputs, use_cache=False).logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(cached, with_adapter, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(without, with_adapter, atol=1e-2)


@pytest.mark.parametrize("changes", [{"dropout": 0.1}, {"dora": True}])
def test_what_it_cannot_stand_for_keeps_the_plain_layer(changes):
    model = adapted(LlamaConfig, **changes)
    assert not any(isinstance(layer.forward, TrainingLayer) for layer in model.get_base_model().model.layers)
