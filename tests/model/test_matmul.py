"""The product of matrices in pieces."""

import pytest
import torch

from tonetune.model.kernels import matmul


@pytest.mark.parametrize("columns", [320, 330, 576, 960, 1535, 1536])
def test_a_product_in_pieces_is_the_product(columns, monkeypatch):
    monkeypatch.setattr(matmul, "_splits", lambda: True)
    torch.manual_seed(0)
    x, weight, bias = torch.randn(400, 64), torch.randn(columns, 64), torch.randn(columns)
    exact = torch.nn.functional.linear(*(part.bfloat16().float() for part in (x, weight, bias)))
    x, weight, bias = x.bfloat16(), weight.bfloat16(), bias.bfloat16()
    torch.testing.assert_close(matmul.matmul(x, weight.t(), bias).float(), exact, rtol=0.01, atol=0.05)
    without = matmul.matmul(x, weight.t())
    torch.testing.assert_close(without.float(), exact - bias.float(), rtol=0.01, atol=0.1)
