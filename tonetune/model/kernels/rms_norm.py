"""The root mean square norm of Llama and Qwen2, forward and backward, in few passes over memory."""

from typing import Any

import torch
from torch.nn.functional import batch_norm


def write_norm(x: torch.Tensor, norm: Any, output: torch.Tensor) -> torch.Tensor:
    """Write the layer `norm` of `x` (n, width) to `output`, rounded where transformers does; return the mean squares, (n)."""
    square = torch.linalg.vector_norm(x, dim=-1, dtype=torch.float32).square_().div_(x.shape[-1])
    torch.mul(_by_row(x, square, norm), norm.weight, out=output)
    return square


def write_norm_gradient(
    gradient: torch.Tensor,
    x: torch.Tensor,
    square: torch.Tensor,
    norm: Any,
    residual: torch.Tensor,
    output: torch.Tensor,
) -> None:
    """Write the gradient of the norm's input, plus `residual`, to `output`; `gradient`, that of its result, is used up."""
    gradient.mul_(norm.weight)
    scale = (square + norm.variance_epsilon).rsqrt_()
    share = (gradient * x).sum(-1) * scale.pow(3).div_(x.shape[-1])
    of_x = _by_row(gradient, square, norm).addcmul_(x, share.to(x.dtype)[:, None], value=-1)
    torch.add(of_x, residual, out=output)


def _by_row(x: torch.Tensor, square: torch.Tensor, norm: Any) -> torch.Tensor:
    """Each row of `x` (n, width) divided by the root of its mean square, in float32 and rounded once.

    A batch norm in which the rows are the channels: the one kernel that reads and writes bfloat16 and scales in float32.
    """
    return batch_norm(x[None], torch.zeros_like(square), square, eps=norm.variance_epsilon)[0]
