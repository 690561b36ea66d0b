"""Decoder layers of Llama and Qwen2 for training LoRA on a CPU: a backward pass by hand, with few passes over memory.

Autograd's backward pass of a small model's layer takes more time between the matrix products than in them. Here layers
with the same input and their adapters are one product (tonetune/model/kernels/packed_linear.py), results are written
where the next product reads them, and additions are in place. Numbers are rounded where transformers and peft round
them, or not at all.

Shapes: hidden (rows, tokens, width); x, residual and their like (rows x tokens, width). In attention `group_size` query
heads share a key head: query (rows x key_heads, group_size x tokens, head_dim), key and value (rows x key_heads,
tokens, head_dim). "By token" is (rows, tokens, heads, head_dim).
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
    """A decoder layer's forward pass, with a backward pass by hand; takes and returns what transformers' layer does."""

    def __init__(self, layer: Any):
        attention, mlp = layer.self_attn, layer.mlp
        self.original_forward = layer.forward
        self.query_key_value = PackedLinear(attention.q_proj, attention.k_proj, attention.v_proj)
        self.output = PackedLinear(attention.o_proj)
        self.gate_up = PackedLinear(mlp.gate_proj, mlp.up_proj)
        self.down = PackedLinear(mlp.down_proj)
        self.packed = (self.query_key_value, self.output, self.gate_up, self.down)
        self.attention_norm, self.mlp_norm = layer.input_layernorm, layer.post_attention_layernorm
        self.adapters_loaded = False
        """Whether the packed matrices already hold the adapters' current weights."""
        self.head_dim, self.scaling, self.group_size = (
            attention.head_dim,
            attention.scaling,
            attention.num_key_value_groups,
        )

    def __call__(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        past_key_values: Any = None,
        **others: Any,
    ) -> torch.Tensor:
        """The layer's output for `hidden_states`, both (rows, tokens, width).

        transformers' own forward pass runs instead if an adapter is disabled or merged, if there is a cache, or if the
        dtype is not that of the weights.
        """
        adapter_off = any(
            part.layer.disable_adapters or part.layer.merged for packed in self.packed for part in packed.parts
        )
        if adapter_off or past_key_values is not None or hidden_states.dtype != self.down.backward_weight.dtype:
            others |= {"past_key_values": past_key_values, "position_embeddings": position_embeddings}
            return self.original_forward(hidden_states, attention_mask=attention_mask, **others)
        assert position_embeddings is not None
        parameters = [parameter for packed in self.packed for parameter in packed.parameters()]
        output: torch.Tensor = _DecoderLayer.apply(
            hidden_states, *position_embeddings, attention_mask, self, *parameters
        )
        return output

    def load_adapters(self) -> None:
        """Copy the adapters' current weights into the packed matrices."""
        for packed in self.packed:
            packed.load_adapters()


class _DecoderLayer(torch.autograd.Function):
    """The forward and backward pass of a `TrainingLayer`."""

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
        if not layer.adapters_loaded:
            layer.load_adapters()
        x = hidden.flatten(0, 1)
        cos_sin = cosine[:, :, None], sine[:, :, None]

        attention_in, view = layer.query_key_value.input_buffer(x)
        mean_square = write_norm(x, layer.attention_norm, view)
        query, key, value = _heads(layer.query_key_value.forward(attention_in), hidden, layer)
        key_heads = key.shape[2]
        query, key, value = (
            states.reshape(len(hidden) * key_heads, -1, layer.head_dim)
            for states in (_rotary(query, *cos_sin), _rotary(key, *cos_sin), value.transpose(1, 2))
        )
        added_mask = grouped_mask(mask, key_heads, layer.group_size, x)
        weights = torch.baddbmm(added_mask, query, key.transpose(1, 2), alpha=layer.scaling).softmax(-1)
        output_in, view = layer.output.input_buffer(x)
        _by_token(view, hidden, layer).copy_(_ungrouped(weights @ value, hidden, layer))
        residual = layer.output.forward(output_in).add_(x)

        mlp_in, view = layer.gate_up.input_buffer(x)
        mlp_mean_square = write_norm(residual, layer.mlp_norm, view)
        gate_up = layer.gate_up.forward(mlp_in)
        gate, up = gate_up.chunk(2, -1)
        down_in, view = layer.down.input_buffer(x)
        activated = silu(gate)
        torch.mul(activated, up, out=view)
        output = layer.down.forward(down_in).add_(residual)

        ctx.layer = layer
        ctx.save_for_backward(
            hidden, *cos_sin, mean_square, attention_in, query, key, value, weights, output_in,
            residual, mlp_mean_square, mlp_in, gate_up, activated, down_in,
        )  # fmt: skip
        return output.view_as(hidden)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        layer: TrainingLayer = ctx.layer
        (
            hidden, cosine, sine, mean_square, attention_in, query, key, value, weights, output_in,
            residual, mlp_mean_square, mlp_in, gate_up, activated, down_in,
        ) = ctx.saved_tensors  # fmt: skip
        x, output_gradient = hidden.flatten(0, 1), gradients[0].flatten(0, 1)

        # MLP: down_proj, silu(gate) * up, gate_proj and up_proj.
        buffer, view = layer.down.gradient_buffer(x)
        view.copy_(output_gradient)
        down_gradients = layer.down.backward(buffer, down_in)
        product_gradient = layer.down.input_gradient(buffer)
        gate, up = gate_up.chunk(2, -1)
        buffer, view = layer.gate_up.gradient_buffer(x)
        gate_gradient, up_gradient = view.chunk(2, -1)
        torch.mul(product_gradient, activated, out=up_gradient)
        aten.silu_backward.grad_input(product_gradient.mul_(up), gate, grad_input=gate_gradient)
        gate_up_gradients = layer.gate_up.backward(buffer, mlp_in)
        normed_gradient = layer.gate_up.input_gradient(buffer)

        # The norm before the MLP, with the residual connection; o_proj; attention.
        buffer, residual_gradient = layer.output.gradient_buffer(x)
        write_norm_gradient(
            normed_gradient, residual, mlp_mean_square, layer.mlp_norm, output_gradient, residual_gradient
        )
        o_proj_gradients = layer.output.backward(buffer, output_in)
        attended_gradient = (
            _by_token(layer.output.input_gradient(buffer), hidden, layer).transpose(1, 2).reshape(query.shape)
        )
        weights_gradient = attended_gradient @ value.transpose(1, 2)
        scores_gradient = aten._softmax_backward_data(weights_gradient, weights, -1, weights.dtype)
        buffer, view = layer.query_key_value.gradient_buffer(x)
        query_gradient, key_gradient, value_gradient = _heads(view, hidden, layer)
        scaled = {"beta": 0, "alpha": layer.scaling}
        rotated_gradient = torch.baddbmm(query, scores_gradient, key, **scaled)
        _rotary_backward(_ungrouped(rotated_gradient, hidden, layer), cosine, sine, query_gradient)
        rotated_gradient = torch.baddbmm(key, scores_gradient.transpose(1, 2), query, **scaled)
        _rotary_backward(_ungrouped(rotated_gradient, hidden, layer), cosine, sine, key_gradient)
        value_gradient.copy_(_ungrouped(weights.transpose(1, 2) @ attended_gradient, hidden, layer))

        # q_proj, k_proj, v_proj; the norm before attention, with the residual connection.
        query_key_value_gradients = layer.query_key_value.backward(buffer, attention_in)
        hidden_gradient = None
        if ctx.needs_input_grad[0]:
            hidden_gradient = torch.empty_like(hidden)
            normed_gradient = layer.query_key_value.input_gradient(buffer)
            write_norm_gradient(
                normed_gradient, x, mean_square, layer.attention_norm, residual_gradient, hidden_gradient.flatten(0, 1)
            )
        return (
            hidden_gradient, None, None, None, None,
            *query_key_value_gradients, *o_proj_gradients, *gate_up_gradients, *down_gradients,
        )  # fmt: skip


def _heads(states: torch.Tensor, hidden: torch.Tensor, layer: TrainingLayer) -> Sequence[torch.Tensor]:
    """Query, key and value by token, from (rows x tokens, all heads side by side)."""
    heads = _by_token(states, hidden, layer)
    key_heads = heads.shape[2] // (layer.group_size + 2)
    return heads.split([layer.group_size * key_heads, key_heads, key_heads], 2)


def _by_token(states: torch.Tensor, hidden: torch.Tensor, layer: TrainingLayer) -> torch.Tensor:
    """(rows x tokens, heads side by side) as (rows, tokens, heads, head_dim)."""
    return states.unflatten(0, hidden.shape[:2]).unflatten(-1, (-1, layer.head_dim))


def _ungrouped(states: torch.Tensor, hidden: torch.Tensor, layer: TrainingLayer) -> torch.Tensor:
    """(rows x key_heads, group_size x tokens, head_dim) as (rows, tokens, heads, head_dim)."""
    rows, tokens = hidden.shape[:2]
    return states.view(rows, -1, tokens, layer.head_dim).transpose(1, 2)


def _rotary(states: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """The rotary position embedding, from (rows, tokens, heads, head_dim) to (rows, heads, tokens, head_dim)."""
    output = states.new_empty(states.transpose(1, 2).shape)
    first, second = torch.mul(states, cosine, out=output.transpose(1, 2)).chunk(2, -1)
    half = states.shape[-1] // 2
    first.addcmul_(states[..., half:], sine[..., :half], value=-1)
    second.addcmul_(states[..., :half], sine[..., half:])
    return output


def _rotary_backward(gradient: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, output: torch.Tensor) -> None:
    """Write the gradient of `_rotary`'s input to `output`; `gradient` is that of its result, both by token."""
    first, second = torch.mul(gradient, cosine, out=output).chunk(2, -1)
    half = gradient.shape[-1] // 2
    first.addcmul_(gradient[..., half:], sine[..., half:])
    second.addcmul_(gradient[..., :half], sine[..., :half], value=-1)


def use_training_layers(body: Any) -> None:
    """Replace the forward pass of the decoder layers that a `TrainingLayer` computes likewise, in place.

    `body` is the model below its head, on a CPU. Left as they are: other architectures, attention that is not `GROUPED`
    or has dropout, other activations than SiLU, and layers that are quantised or have another adapter than plain LoRA.
    """
    config = body.config
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        return  # each process holds a shard of each weight
    if config.model_type not in ARCHITECTURES or config._attn_implementation != GROUPED:
        return
    if config.hidden_act != "silu" or getattr(config, "attention_dropout", 0):
        return
    for layer in body.layers:
        attention, mlp = layer.self_attn, layer.mlp
        projections = [attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj]
        projections += [mlp.gate_proj, mlp.up_proj, mlp.down_proj]
        if all(type(projection) in (FastLoRALinear, nn.Linear) for projection in projections):
            layer.forward = TrainingLayer(layer)


def training_layers(body: Any) -> list[TrainingLayer]:
    """The `TrainingLayer`s that `use_training_layers` gave the decoder layers of `body`."""
    forwards = [layer.__dict__.get("forward") for layer in body.layers]
    return [forward for forward in forwards if isinstance(forward, TrainingLayer)]


@contextmanager
def adapters_loaded(layers: Sequence[TrainingLayer]) -> Iterator[None]:
    """Load the adapters of `layers` once; within it they must not change, and several threads may call the layers."""
    with torch.no_grad():
        for layer in layers:
            layer.load_adapters()
    for layer in layers:
        layer.adapters_loaded = True
    try:
        yield
    finally:
        for layer in layers:
            layer.adapters_loaded = False
