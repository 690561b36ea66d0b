"""Grouped-query attention for training on a CPU: the eager kernel's numbers at half its time, a quarter of SDPA's.

Shapes: query (batch, heads, length, head_dim); key and value (batch, key_heads, key_length, head_dim);
heads = key_heads x group_size. A mask is added to the scores: (batch or 1, 1, length, key_length).
"""

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import causal_mask_function, eager_mask

GROUPED = "grouped"  # its name as a model's `attn_implementation`


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
    """Softmax attention: (batch, length, heads, head_dim), and None in place of the attention weights.

    The query heads that share a key head are the rows of one matrix, so keys and values are not repeated; scaling and
    mask are part of the matrix product (`baddbmm`).
    """
    batch, heads, length, head_dim = query.shape
    key_heads, key_length = key.shape[1:3]
    group_size = heads // key_heads
    rows = query.reshape(batch * key_heads, group_size * length, head_dim)
    key, value = (states.reshape(batch * key_heads, key_length, head_dim) for states in (key, value))
    mask = grouped_mask(attention_mask, key_heads, group_size, query)
    weights = torch.baddbmm(mask, rows, key.transpose(1, 2), alpha=scaling).softmax(-1)
    weights = torch.nn.functional.dropout(weights, dropout, module.training)
    output = (weights @ value).view(batch, heads, length, head_dim)
    return output.transpose(1, 2).contiguous(), None


def grouped_mask(mask: torch.Tensor | None, key_heads: int, group_size: int, like: torch.Tensor) -> torch.Tensor:
    """The attention mask in the shape of grouped scores, (batch x key_heads, group_size x length, key_length).

    It has the dtype and device of `like`, and fewer dimensions, to be broadcast, where all rows of the batch have the
    same mask or `mask` is None.
    """
    if mask is None:
        return like.new_zeros(1)
    batch, _, length, key_length = mask.shape
    # float32's minimum would round to minus infinity in bfloat16, and the softmax of a row of padding would be NaN.
    mask = mask.clamp(min=-1e30).to(like.dtype)
    if batch == 1:
        return mask[0, 0].repeat(group_size, 1)
    return (
        mask[:, :, None]
        .expand(batch, key_heads, group_size, length, key_length)
        .reshape(batch * key_heads, group_size * length, key_length)
    )


def causal_mask(batch_size: int, **keywords: Any) -> torch.Tensor:
    """transformers' mask for eager attention, (batch, 1, length, key_length).

    A mask that is causal and nothing else is the same for every row, so it is made once: (1, 1, length, key_length).
    """
    causal_only = keywords.get("attention_mask") is None and keywords.get("mask_function") is causal_mask_function
    return eager_mask(1 if causal_only else batch_size, **keywords)


AttentionInterface.register(GROUPED, grouped_attention)


AttentionMaskInterface.register(GROUPED, causal_mask)


# Model types whose decoder layers pass the keyword arguments of a call on to the attention; the tests run on each.
ARCHITECTURES = ("llama", "qwen2")
