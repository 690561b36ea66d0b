"""Attention for training on a CPU: the eager kernel's numbers at half its time, a quarter of SDPA's."""

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import causal_mask_function, eager_mask

GROUPED = "grouped"


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Softmax attention of `query` (batch, heads, length, width) over `key` and `value` (batch, fewer heads, ...).

    The query heads that share a key head are one matrix: keys and values are not repeated, and scale and mask go into
    the matrix product. `attention_mask` is added to the scores: (batch or 1, 1, length, length of the keys).
    """
    batch, heads, length, width = query.shape
    shared, keys = key.shape[1:3]
    group = heads // shared
    rows = query.reshape(batch * shared, group * length, width)
    key, value = (states.reshape(batch * shared, keys, width) for states in (key, value))
    mask = grouped_mask(attention_mask, shared, group, query)
    weights = torch.baddbmm(mask, rows, key.transpose(1, 2), alpha=scaling).softmax(-1)
    weights = torch.nn.functional.dropout(weights, dropout, module.training)
    output = (weights @ value).view(batch, heads, length, width)
    return output.transpose(1, 2).contiguous(), None


def grouped_mask(mask: torch.Tensor | None, shared: int, group: int, like: torch.Tensor) -> torch.Tensor:
    """`mask`, (batch or 1, 1, length, keys), for the scores of `group` heads to each of `shared` key heads, of `like`'s dtype.

    (batch x shared, group x length, keys), or fewer dimensions where rows do not differ.
    """
    if mask is None:
        return like.new_zeros(1)
    batch, _, length, keys = mask.shape
    # A mask of the lowest float32 would be minus infinity in bfloat16, and a row of padding no number.
    mask = mask.clamp(min=-1e30).to(like.dtype)
    if batch == 1:
        return mask[0, 0].repeat(group, 1)
    return mask[:, :, None].expand(batch, shared, group, length, keys).reshape(batch * shared, group * length, keys)


def causal_mask(batch_size: int, **keywords: Any) -> torch.Tensor:
    """transformers' mask for eager attention, (batch or 1, 1, length, keys): one for all rows where these do not differ."""
    alike = keywords.get("attention_mask") is None and keywords.get("mask_function") is causal_mask_function
    return eager_mask(1 if alike else batch_size, **keywords)


AttentionInterface.register(GROUPED, grouped_attention)


AttentionMaskInterface.register(GROUPED, causal_mask)


# Architectures whose layers hand what the model is called with on to their attention, as the tests of these show.
ARCHITECTURES = ("llama", "qwen2")
