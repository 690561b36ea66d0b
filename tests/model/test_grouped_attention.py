"""Attention whose query heads share their key heads."""

import pytest
import torch
from transformers.models.llama.modeling_llama import eager_attention_forward

from tonetune.model.kernels.grouped_attention import grouped_attention


@pytest.mark.parametrize("padded", [False, True])
def test_grouped_attention_is_eager_attention(padded):
    """Three query heads to a key head, with and without a mask of its own for each row."""
    torch.manual_seed(0)
    module = torch.nn.Identity()
    module.num_key_value_groups = 3
    query, key, value = torch.randn(2, 6, 5, 8), torch.randn(2, 2, 5, 8), torch.randn(2, 2, 5, 8)
    mask = torch.full((5, 5), -1e9).triu(1).expand(2 if padded else 1, 1, 5, 5).clone()
    if padded:
        mask[1, ..., 3:] = -1e9
    ours, _ = grouped_attention(module, query, key, value, mask, scaling=0.3)
    plain, _ = eager_attention_forward(module, query, key, value, mask, scaling=0.3)
    torch.testing.assert_close(ours, plain)
