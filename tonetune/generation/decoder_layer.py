"""Decoder layers of Llama and Qwen2 for generation on a CPU: transformers' own arithmetic in fewer calls.

With one new token a row, what surrounds the matrix products of a layer takes nearly as long as they do. Here query, key and
value are one product, gate and up another, query and key are rotated together, and sums are in place. Every number is rounded
where transformers rounds it; only a product may add up in another order, as it does for another number of rows.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from tonetune.generation.prefix_attention import Prefix, shared_prefix_attention, sharing
from tonetune.model.kernels.packed_linear import PackedLinear
from tonetune.model.kernels.rms_norm import write_norm

Rotation = tuple[torch.Tensor, torch.Tensor]
"""The cosine and the sine, that of the first half negative, for each token: (rows, new tokens, 1, head size)."""


class DecodingLayer:
    """The forward pass of a decoder layer whose attention has `prefixes`; a call takes and returns what the layer's does."""

    def __init__(self, layer: Any):
        attention, mlp = layer.self_attn, layer.mlp
        self.attention, self.mlp = attention, mlp
        self.before_attention, self.before_mlp = layer.input_layernorm, layer.post_attention_layernorm
        self.query_key_value = PackedLinear(attention.q_proj, attention.k_proj, attention.v_proj)
        self.output = PackedLinear(attention.o_proj)
        self.gate_up = PackedLinear(mlp.gate_proj, mlp.up_proj)
        self.down = PackedLinear(mlp.down_proj)
        self.key_heads = attention.k_proj.out_features // attention.head_dim

    def __call__(
        self,
        hidden: torch.Tensor,
        *,
        attention_mask: torch.Tensor,
        position_embeddings: Rotation,
        past_key_values: Any,
        prefixes: Sequence[tuple[int, Prefix]],
        **_: object,
    ) -> torch.Tensor:
        """The layer's output for `hidden`, both (rows, new tokens, width of the model)."""
        rows = hidden.shape[:2]
        together = self.query_key_value.forward(_normed(hidden, self.before_attention))
        heads = together.view(*rows, -1, self.attention.head_dim)
        rotated = _rotated(heads[:, :, : -self.key_heads], position_embeddings)
        key, value = past_key_values.update(
            rotated[:, :, -self.key_heads :].transpose(1, 2),
            heads[:, :, -self.key_heads :].transpose(1, 2),
            self.attention.layer_idx,
        )
        query = rotated[:, :, : -self.key_heads].transpose(1, 2)
        attended, _weights = shared_prefix_attention(
            self.attention, query, key, value, attention_mask, self.attention.scaling, prefixes=prefixes
        )
        hidden = self.output.forward(attended.flatten(2).flatten(0, 1)).view_as(hidden).add_(hidden)
        gate, up = self.gate_up.forward(_normed(hidden, self.before_mlp)).chunk(2, -1)
        return self.down.forward(self.mlp.act_fn(gate).mul_(up)).view_as(hidden).add_(hidden)


def _normed(hidden: torch.Tensor, norm: Any) -> torch.Tensor:
    """`norm` of it, the layer's root mean square norm, (rows x new tokens, width)."""
    rows = hidden.flatten(0, 1)
    output = torch.empty_like(rows)
    write_norm(rows, norm, output)
    return output


def _rotated(heads: torch.Tensor, rotation: Rotation) -> torch.Tensor:
    """Heads (rows, new tokens, heads, head size) turned by their positions."""
    cosine, sine = rotation
    return (heads * cosine).add_(heads.roll(heads.shape[-1] // 2, -1).mul_(sine))


def _signed(rotary: nn.Module) -> Callable[..., Rotation]:
    """`rotary`'s forward pass with results that `_rotated` takes."""
    usual = rotary.forward

    def forward(*args: Any, **keywords: Any) -> Rotation:
        cosine, sine = usual(*args, **keywords)
        sine[..., : sine.shape[-1] // 2].neg_()
        return cosine[:, :, None], sine[:, :, None]

    return forward


def supports_decoding_layer(model: PreTrainedModel) -> bool:
    """Whether the layers of a model that `shares` are plain: without quantised weights and unmerged adapters."""
    layers: Any = model.model.layers  # type: ignore[union-attr]
    linear_layers = [part for layer in layers for name, part in layer.named_modules() if name.endswith("_proj")]
    return all(type(part) is nn.Linear for part in linear_layers)


@contextmanager
def decoding_layers(model: PreTrainedModel) -> Iterator[None]:
    """`sharing` with `FusedLayer`s: within it the model can only be called with `prefixes`."""
    body: Any = model.model
    passes = {layer: DecodingLayer(layer) for layer in body.layers} | {body.rotary_emb: _signed(body.rotary_emb)}
    with sharing(model), ExitStack() as undo:
        for module, forward in passes.items():
            module.forward = forward
            undo.callback(delattr, module, "forward")
        yield
