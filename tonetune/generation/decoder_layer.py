"""Decoder layers of Llama and Qwen2 for generation on a CPU: transformers' own arithmetic in fewer calls.

With one new token a row, what surrounds the matrix products of a layer takes nearly as long as they do. So query, key
and value are one product, gate and up another, query and key are rotated together, and additions are in place. Every
number is rounded where transformers rounds it; only a product may add up in another order, as it does with another
number of rows.

Shapes: hidden (rows, new, width), `new` being the tokens of each row that run through the model; heads (rows, new,
heads, head_dim), where query heads come before key heads, and key heads before value heads.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from tonetune.generation.prefix_attention import Prefix, prefix_sharing, shared_prefix_attention
from tonetune.model.kernels.packed_linear import PackedLinear
from tonetune.model.kernels.rms_norm import write_norm

CosSin = tuple[torch.Tensor, torch.Tensor]
"""Cosine and sine of the rotary embedding, (rows, new, 1, head_dim); the sine's first half is negated."""


class DecodingLayer:
    """The forward pass of a decoder layer with `prefixes`; a call takes and returns what transformers' layer does."""

    def __init__(self, layer: Any):
        attention, mlp = layer.self_attn, layer.mlp
        self.attention, self.mlp = attention, mlp
        self.attention_norm, self.mlp_norm = layer.input_layernorm, layer.post_attention_layernorm
        self.query_key_value = PackedLinear(attention.q_proj, attention.k_proj, attention.v_proj)
        self.output = PackedLinear(attention.o_proj)
        self.gate_up = PackedLinear(mlp.gate_proj, mlp.up_proj)
        self.down = PackedLinear(mlp.down_proj)
        self.key_heads = attention.k_proj.out_features // attention.head_dim

    def __call__(
        self,
        hidden: torch.Tensor,
        *,
        attention_mask: torch.Tensor | None,
        position_embeddings: CosSin,
        past_key_values: Any,
        prefixes: Sequence[tuple[int, Prefix]] | None = None,
        **_: object,
    ) -> torch.Tensor:
        """The layer's output for `hidden`, both (rows, new, width); without `prefixes` all is in the cache."""
        rows = hidden.shape[:2]
        packed = self.query_key_value.forward(_rms_norm(hidden, self.attention_norm))
        heads = packed.view(*rows, -1, self.attention.head_dim)
        rotated = _rotary(heads[:, :, : -self.key_heads], position_embeddings)
        key, value = past_key_values.update(
            rotated[:, :, -self.key_heads :].transpose(1, 2),
            heads[:, :, -self.key_heads :].transpose(1, 2),
            self.attention.layer_idx,
        )
        query = rotated[:, :, : -self.key_heads].transpose(1, 2)
        if prefixes is None:
            attended = self._attend(query, key, value, attention_mask)
        else:
            assert attention_mask is not None
            attended, _weights = shared_prefix_attention(
                self.attention, query, key, value, attention_mask, self.attention.scaling, prefixes=prefixes
            )
        hidden = self.output.forward(attended.flatten(2).flatten(0, 1)).view_as(hidden).add_(hidden)
        gate, up = self.gate_up.forward(_rms_norm(hidden, self.mlp_norm)).chunk(2, -1)
        return self.down.forward(self.mlp.act_fn(gate).mul_(up)).view_as(hidden).add_(hidden)

    def _attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Attention to what is cached, (rows, new, heads, head_dim)."""
        scaling = self.attention.scaling
        if mask is None and query.shape[2] == 1:
            # The query heads of a key head are so many queries to it: its keys and values need not be repeated.
            queries = query.reshape(len(query), self.key_heads, -1, query.shape[-1])
            attended = scaled_dot_product_attention(queries, key, value, scale=scaling)
            return attended.view(query.shape).transpose(1, 2)
        return sdpa_attention_forward(self.attention, query, key, value, mask, scaling=scaling)[0]


def _rms_norm(hidden: torch.Tensor, norm: Any) -> torch.Tensor:
    """The layer's root mean square norm of `hidden`, (rows x new, width)."""
    rows = hidden.flatten(0, 1)
    output = torch.empty_like(rows)
    write_norm(rows, norm, output)
    return output


def _rotary(heads: torch.Tensor, cos_sin: CosSin) -> torch.Tensor:
    """The rotary position embedding of `heads` (rows, new, heads, head_dim)."""
    cosine, sine = cos_sin
    return (heads * cosine).add_(heads.roll(heads.shape[-1] // 2, -1).mul_(sine))


def _signed_rope(rotary: nn.Module) -> Callable[..., CosSin]:
    """The forward pass of the model's rotary embedding, with results as `_rotary` takes them."""
    original = rotary.forward

    def forward(*args: Any, **keywords: Any) -> CosSin:
        cosine, sine = original(*args, **keywords)
        sine[..., : sine.shape[-1] // 2].neg_()
        return cosine[:, :, None], sine[:, :, None]

    return forward


def supports_decoding_layer(model: PreTrainedModel) -> bool:
    """Whether a model that `supports_prefix_sharing` is free of quantised weights and unmerged adapters."""
    layers: Any = model.model.layers  # type: ignore[union-attr]
    linear_layers = [part for layer in layers for name, part in layer.named_modules() if name.endswith("_proj")]
    return all(type(part) is nn.Linear for part in linear_layers)


class DecodingLayers:
    """A model's `DecodingLayer`s, which are built once, and take the place of its layers while they are `enabled`."""

    def __init__(self, model: PreTrainedModel):
        body: Any = model.model
        self.rotary = body.rotary_emb
        self.layers = {layer: DecodingLayer(layer) for layer in body.layers}

    @contextmanager
    def enabled(self) -> Iterator[None]:
        """Within it the model runs through them."""
        forwards: dict[Any, Any] = self.layers | {self.rotary: _signed_rope(self.rotary)}
        with ExitStack() as stack:
            for module, forward in forwards.items():
                module.forward = forward
                stack.callback(delattr, module, "forward")
            yield


@contextmanager
def decoding_layers(model: PreTrainedModel) -> Iterator[None]:
    """`prefix_sharing` with `DecodingLayer`s: within it the model can only be called with `prefixes`."""
    with prefix_sharing(model), DecodingLayers(model).enabled():
        yield
