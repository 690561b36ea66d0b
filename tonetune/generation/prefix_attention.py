"""Attention over what many rows of a batch begin with, held once, and over what each row has of its own.

A few-shot prompt is the same for all rows. Copied into the cache of each it takes most of the memory, and each step reads it
again for every row; held once, it is one matrix product for all rows (Juravsky et al. 2024, https://arxiv.org/abs/2402.05099).
Rows of several such prompts share a batch: what a step costs whatever the number of its rows is then paid once.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

from tonetune.generation.kv_cache import PreallocatedLayer, preallocated_cache
from tonetune.model.kernels.grouped_attention import ARCHITECTURES

SHARED = "shared_prefix"


Prefix = Sequence[tuple[torch.Tensor, torch.Tensor]]
"""The keys and values of each layer, (heads, length of the prefix, head size)."""


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
    """Softmax attention of `query` (rows, heads, new, width) over each row's prefix, then its `key` and `value`.

    `prefixes` says how many rows in turn begin with which prefix. `key` and `value` (rows, fewer heads, own tokens, width) and
    `attention_mask` (rows, 1, new, own tokens; added to the scores) are of each row's own tokens; all of them see its
    whole prefix.
    """
    rows, heads, new, width = query.shape
    query = query * scaling
    output = query.new_empty(rows, new, heads, width)
    start = 0
    for count, prefix in prefixes:
        alike = slice(start, start + count)
        attended = _attend(query[alike], key[alike], value[alike], attention_mask[alike], *prefix[module.layer_idx])
        output[alike] = attended.transpose(1, 2)
        start += count
    return output, None


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
) -> torch.Tensor:
    """The attention of rows that have one prefix, of `keys` and `values`: (rows, heads, new, width)."""
    rows, heads, new, width = query.shape
    groups, own = key.shape[1:3]
    shared = keys.shape[1]
    per_group = heads // groups * new
    query = query.reshape(rows, groups, per_group, width)

    def together(states: torch.Tensor) -> torch.Tensor:
        """All rows' (rows, groups, n, m) as one matrix a group."""
        return states.transpose(0, 1).reshape(groups, rows * per_group, -1)

    def apart(states: torch.Tensor) -> torch.Tensor:
        return states.view(groups, rows, per_group, -1).transpose(0, 1)

    scores = query.new_empty(rows, groups, per_group, shared + own)
    scores[..., :shared] = apart(together(query) @ keys.transpose(1, 2))
    own_scores = (query @ key.transpose(2, 3)).view(rows, groups, heads // groups, new, own)
    scores[..., shared:] = (own_scores + mask[:, :, None]).view(rows, groups, per_group, own)
    weights = scores.softmax(-1)
    output = weights[..., shared:] @ value + apart(together(weights[..., :shared]) @ values)
    return output.view(rows, heads, new, width)


AttentionInterface.register(SHARED, shared_prefix_attention)


AttentionMaskInterface.register(SHARED, eager_mask)


def group_sizes(model: PreTrainedModel) -> bool:
    """Whether the model can attend to a prefix that is held once: on a GPU its own kernels are the faster ones."""
    config = model.config
    known = config.model_type in ARCHITECTURES and config._attn_implementation == "sdpa" and model.device.type == "cpu"
    return known and all(isinstance(layer, PreallocatedLayer) for layer in preallocated_cache(config).layers)


@contextmanager
def sharing(model: PreTrainedModel) -> Iterator[None]:
    """Let the model attend to the `prefixes` that it is called with."""
    usual = model.config._attn_implementation
    model.set_attn_implementation(SHARED)
    try:
        yield
    finally:
        model.set_attn_implementation(usual)
