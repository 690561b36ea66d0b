"""Attention over prefixes that many rows of a batch share and the cache holds once, and over each row's own tokens.

A few-shot prompt is the same for all rows. In the cache of each row it takes most of the memory and is read again in
each decoding step; held once, it is one matrix product for all rows (Juravsky et al. 2024,
https://arxiv.org/abs/2402.05099). Rows with different prefixes share a batch, since much of a decoding step costs the
same whatever the number of rows.

Shapes: query (rows, heads, new, head_dim), `new` being the tokens that run through the model; key and value (rows,
key_heads, own, head_dim), `own` being a row's cached and new tokens after its prefix; prefix keys and values
(key_heads, prefix length, head_dim).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

from tonetune.generation.kv_cache import PreallocatedLayer, preallocated_cache
from tonetune.model.kernels.grouped_attention import ARCHITECTURES

SHARED_PREFIX = "shared_prefix"  # its name as a model's `attn_implementation`


Prefix = Sequence[tuple[torch.Tensor, torch.Tensor]]
"""The keys and values of each layer, (key_heads, prefix length, head_dim)."""


def shared_prefix_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float,
    *,
    prefixes: Sequence[tuple[int, Prefix]],
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Softmax attention of each row over its prefix and its own tokens; returns (rows, new, heads, head_dim) and None.

    `prefixes` are pairs (number of rows, their prefix), in the order of the rows. `attention_mask` (rows, 1, new, own)
    is added to the scores of the rows' own tokens; the prefix is visible to all of them.
    """
    rows, heads, new, head_dim = query.shape
    query = query * scaling
    output = query.new_empty(rows, new, heads, head_dim)
    start = 0
    for count, prefix in prefixes:
        group = slice(start, start + count)
        attended = _attend(query[group], key[group], value[group], attention_mask[group], *prefix[module.layer_idx])
        output[group] = attended.transpose(1, 2)
        start += count
    return output, None


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor,
    prefix_key: torch.Tensor,
    prefix_value: torch.Tensor,
) -> torch.Tensor:
    """The attention of a group of rows that have one prefix: (rows, heads, new, head_dim)."""
    rows, heads, new, head_dim = query.shape
    key_heads, own = key.shape[1:3]
    prefix_length = prefix_key.shape[1]
    queries = heads // key_heads * new
    query = query.reshape(rows, key_heads, queries, head_dim)

    def fold_rows(states: torch.Tensor) -> torch.Tensor:
        """(rows, key_heads, queries, m) as one matrix a key head: (key_heads, rows x queries, m)."""
        return states.transpose(0, 1).reshape(key_heads, rows * queries, -1)

    def unfold_rows(states: torch.Tensor) -> torch.Tensor:
        """The reverse of `fold_rows`."""
        return states.view(key_heads, rows, queries, -1).transpose(0, 1)

    scores = query.new_empty(rows, key_heads, queries, prefix_length + own)
    scores[..., :prefix_length] = unfold_rows(fold_rows(query) @ prefix_key.transpose(1, 2))
    own_scores = (query @ key.transpose(2, 3)).view(rows, key_heads, heads // key_heads, new, own)
    scores[..., prefix_length:] = (own_scores + mask[:, :, None]).view(rows, key_heads, queries, own)
    weights = scores.softmax(-1)
    output = weights[..., prefix_length:] @ value + unfold_rows(fold_rows(weights[..., :prefix_length]) @ prefix_value)
    return output.view(rows, heads, new, head_dim)


AttentionInterface.register(SHARED_PREFIX, shared_prefix_attention)


AttentionMaskInterface.register(SHARED_PREFIX, eager_mask)


def supports_prefix_sharing(model: PreTrainedModel) -> bool:
    """Whether the model can attend to shared prefixes; on a GPU its own kernels are faster, and the answer is no."""
    config = model.config
    known = config.model_type in ARCHITECTURES and config._attn_implementation == "sdpa" and model.device.type == "cpu"
    return known and not has_sliding_window(model)


def has_sliding_window(model: PreTrainedModel) -> bool:
    """Whether a layer of the model attends to the nearest tokens alone, or keeps something else than keys and values."""
    return not all(isinstance(layer, PreallocatedLayer) for layer in preallocated_cache(model.config).layers)


@contextmanager
def prefix_sharing(model: PreTrainedModel) -> Iterator[None]:
    """Within it the model is called with `prefixes`, as `shared_prefix_attention` takes them, and attends to them."""
    original = model.config._attn_implementation
    model.set_attn_implementation(SHARED_PREFIX)
    try:
        yield
    finally:
        model.set_attn_implementation(original)
