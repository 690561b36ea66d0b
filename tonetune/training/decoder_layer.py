"""Decoder layers of Llama and Qwen2 for training LoRA on a CPU: forward and backward pass by hand, in few passes over memory.

Autograd's backward pass of a layer of a small model takes more time between the matrix products than in them. Here the layers
of one input and their adapters are one product (tonetune/model/kernels/packed_linear.py), results are written where the next product reads them, and
sums are in place. Numbers are rounded where transformers and peft round them, or not at all.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.functional import silu

from tonetune.model.kernels.grouped_attention import ARCHITECTURES, GROUPED, grouped_mask
from tonetune.model.kernels.lora_linear import FastLoRALinear
from tonetune.model.kernels.packed_linear import PackedLinear
from tonetune.model.kernels.rms_norm import write_norm, write_norm_gradient

aten = torch.ops.aten


class TrainingLayer:
    """A decoder layer's forward pass with a backward pass of its own; a call takes and returns what the layer's does."""

    def __init__(self, layer: Any):
        attention, mlp = layer.self_attn, layer.mlp
        self.usual = layer.forward
        self.query_key_value = PackedLinear(attention.q_proj, attention.k_proj, attention.v_proj)
        self.output = PackedLinear(attention.o_proj)
        self.gate_up = PackedLinear(mlp.gate_proj, mlp.up_proj)
        self.down = PackedLinear(mlp.down_proj)
        self.joined = (self.query_key_value, self.output, self.gate_up, self.down)
        self.before_attention, self.before_mlp = layer.input_layernorm, layer.post_attention_layernorm
        self.loaded = False
        """Whether the joined matrices hold the adapters' present numbers already."""
        self.width, self.scaling, self.group = attention.head_dim, attention.scaling, attention.num_key_value_groups

    def __call__(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        past_key_values: Any = None,
        **others: Any,
    ) -> torch.Tensor:
        """The layer's output for `hidden_states`, both (rows, tokens, width of the model)."""
        without = any(
            part.layer.disable_adapters or part.layer.merged for joined in self.joined for part in joined.parts
        )
        if without or past_key_values is not None or hidden_states.dtype != self.down.backward_weight.dtype:
            others |= {"past_key_values": past_key_values, "position_embeddings": position_embeddings}
            return self.usual(hidden_states, attention_mask=attention_mask, **others)
        assert position_embeddings is not None
        parameters = [parameter for joined in self.joined for parameter in joined.parameters()]
        output: torch.Tensor = _Layer.apply(hidden_states, *position_embeddings, attention_mask, self, *parameters)
        return output

    def load(self) -> None:
        """Take the adapters' present numbers."""
        for joined in self.joined:
            joined.load_adapters()


class _Layer(torch.autograd.Function):
    """Shapes: x and what is of its kind are (rows x tokens, width); query is (rows x key heads, heads to each x tokens, width
    of a head), key and value likewise with one head.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        cosine: torch.Tensor,
        sine: torch.Tensor,
        mask: torch.Tensor | None,
        layer: TrainingLayer,
        *parameters: torch.Tensor,
    ) -> torch.Tensor:
        if not layer.loaded:
            layer.load()
        x = hidden.flatten(0, 1)
        rotation = cosine[:, :, None], sine[:, :, None]

        attention_in, place = layer.query_key_value.input_buffer(x)
        square = write_norm(x, layer.before_attention, place)
        query, key, value = _heads(layer.query_key_value.forward(attention_in), hidden, layer)
        shared = key.shape[2]
        query, key, value = (
            states.reshape(len(hidden) * shared, -1, layer.width)
            for states in (_rotary(query, *rotation), _rotary(key, *rotation), value.transpose(1, 2))
        )
        added = grouped_mask(mask, shared, layer.group, x)
        weights = torch.baddbmm(added, query, key.transpose(1, 2), alpha=layer.scaling).softmax(-1)
        output_in, place = layer.output.input_buffer(x)
        _by_token(place, hidden, layer).copy_(_by_head(weights @ value, hidden, layer))
        middle = layer.output.forward(output_in).add_(x)

        mlp_in, place = layer.gate_up.input_buffer(x)
        middle_square = write_norm(middle, layer.before_mlp, place)
        gate_up = layer.gate_up.forward(mlp_in)
        gate, up = gate_up.chunk(2, -1)
        down_in, place = layer.down.input_buffer(x)
        activated = silu(gate)
        torch.mul(activated, up, out=place)
        output = layer.down.forward(down_in).add_(middle)

        ctx.layer = layer
        ctx.save_for_backward(
            hidden, *rotation, square, attention_in, query, key, value, weights, output_in,
            middle, middle_square, mlp_in, gate_up, activated, down_in,
        )  # fmt: skip
        return output.view_as(hidden)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        layer: TrainingLayer = ctx.layer
        (
            hidden, cosine, sine, square, attention_in, query, key, value, weights, output_in,
            middle, middle_square, mlp_in, gate_up, activated, down_in,
        ) = ctx.saved_tensors  # fmt: skip
        x, of_output = hidden.flatten(0, 1), gradients[0].flatten(0, 1)

        room, place = layer.down.gradient_buffer(x)
        place.copy_(of_output)
        of_down = layer.down.backward(room, down_in)
        of_gated = layer.down.input_gradient(room)
        gate, up = gate_up.chunk(2, -1)
        room, place = layer.gate_up.gradient_buffer(x)
        of_gate, of_up = place.chunk(2, -1)
        torch.mul(of_gated, activated, out=of_up)
        aten.silu_backward.grad_input(of_gated.mul_(up), gate, grad_input=of_gate)
        of_gate_up = layer.gate_up.backward(room, mlp_in)
        of_normed = layer.gate_up.input_gradient(room)

        room, of_middle = layer.output.gradient_buffer(x)
        write_norm_gradient(of_normed, middle, middle_square, layer.before_mlp, of_output, of_middle)
        of_o = layer.output.backward(room, output_in)
        of_attended = _by_token(layer.output.input_gradient(room), hidden, layer).transpose(1, 2).reshape(query.shape)
        of_weights = of_attended @ value.transpose(1, 2)
        of_scores = aten._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        room, place = layer.query_key_value.gradient_buffer(x)
        of_query, of_key, of_value = _heads(place, hidden, layer)
        scaled = {"beta": 0, "alpha": layer.scaling}
        turned = torch.baddbmm(query, of_scores, key, **scaled)
        _rotary_backward(_by_head(turned, hidden, layer), cosine, sine, of_query)
        turned = torch.baddbmm(key, of_scores.transpose(1, 2), query, **scaled)
        _rotary_backward(_by_head(turned, hidden, layer), cosine, sine, of_key)
        of_value.copy_(_by_head(weights.transpose(1, 2) @ of_attended, hidden, layer))
        of_heads = layer.query_key_value.backward(room, attention_in)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = torch.empty_like(hidden)
            of_normed = layer.query_key_value.input_gradient(room)
            write_norm_gradient(of_normed, x, square, layer.before_attention, of_middle, of_x.flatten(0, 1))
        return of_x, None, None, None, None, *of_heads, *of_o, *of_gate_up, *of_down


def _heads(states: torch.Tensor, hidden: torch.Tensor, layer: TrainingLayer) -> Sequence[torch.Tensor]:
    """Query, key and value of (rows x tokens, all heads side by side), each (rows, tokens, heads, width of a head)."""
    heads = _by_token(states, hidden, layer)
    shared = heads.shape[2] // (layer.group + 2)
    return heads.split([layer.group * shared, shared, shared], 2)


def _by_token(states: torch.Tensor, hidden: torch.Tensor, layer: TrainingLayer) -> torch.Tensor:
    """(rows x tokens, heads side by side) as (rows, tokens, heads, width of a head)."""
    return states.unflatten(0, hidden.shape[:2]).unflatten(-1, (-1, layer.width))


def _by_head(states: torch.Tensor, hidden: torch.Tensor, layer: TrainingLayer) -> torch.Tensor:
    """(rows x key heads, heads to each x tokens, width of a head) as (rows, tokens, heads, width of a head)."""
    rows, length = hidden.shape[:2]
    return states.view(rows, -1, length, layer.width).transpose(1, 2)


def _rotary(states: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Heads turned by their positions, from (rows, tokens, heads, width) to (rows, heads, tokens, width)."""
    output = states.new_empty(states.transpose(1, 2).shape)
    first, second = torch.mul(states, cosine, out=output.transpose(1, 2)).chunk(2, -1)
    half = states.shape[-1] // 2
    first.addcmul_(states[..., half:], sine[..., :half], value=-1)
    second.addcmul_(states[..., :half], sine[..., half:])
    return output


def _rotary_backward(gradient: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, output: torch.Tensor) -> None:
    """The gradient of `_rotated`'s input, from that of its result, both (rows, tokens, heads, width)."""
    first, second = torch.mul(gradient, cosine, out=output).chunk(2, -1)
    half = gradient.shape[-1] // 2
    first.addcmul_(gradient[..., half:], sine[..., half:])
    second.addcmul_(gradient[..., :half], sine[..., :half], value=-1)


def use_training_layers(body: Any) -> None:
    """Give those decoder layers a `TrainedLayer` that it can stand for; `body` is what is below the head, on a CPU."""
    config = body.config
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        return  # each process has a part of each weight
    plain = config.hidden_act == "silu" and not getattr(config, "attention_dropout", 0)
    if config.model_type not in ARCHITECTURES or config._attn_implementation != GROUPED or not plain:
        return
    for layer in body.layers:
        attention, mlp = layer.self_attn, layer.mlp
        projections = [attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj]
        projections += [mlp.gate_proj, mlp.up_proj, mlp.down_proj]
        if all(type(part) in (FastLoRALinear, nn.Linear) for part in projections):
            layer.forward = TrainingLayer(layer)


def training_layers(body: Any) -> list[TrainingLayer]:
    """What `fuse_layers` gave the decoder layers of `body`."""
    passes = [layer.__dict__.get("forward") for layer in body.layers]
    return [forward for forward in passes if isinstance(forward, TrainingLayer)]


@contextmanager
def weights_loaded(layers: Sequence[TrainingLayer]) -> Iterator[None]:
    """Within it the adapters stay as they are: their numbers are taken once, whichever threads call the `layers`."""
    with torch.no_grad():
        for layer in layers:
            layer.load()
    for layer in layers:
        layer.loaded = True
    try:
        yield
    finally:
        for layer in layers:
            layer.loaded = False
