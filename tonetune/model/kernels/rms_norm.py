"""The root mean square norm of Llama and Qwen2, forward and backward, in few passes over memory.

Shapes: x, its gradient and the output (n, width); the norm's weight (width); mean squares (n), in float32.
"""

from typing import Any

import torch
from torch.nn.functional import batch_norm


def write_norm(x: torch.Tensor, norm: Any, output: torch.Tensor) -> torch.Tensor:
    """Write `norm` of `x`, rounded where transformers rounds it, to `output`; return the mean squares of `x`."""
    mean_square = torch.linalg.vector_norm(x, dim=-1, dtype=torch.float32).square_().div_(x.shape[-1])
    torch.mul(_normalize(x, mean_square, norm), norm.weight, out=output)
    return mean_square


def write_norm_gradient(
    gradient: torch.Tensor,
    x: torch.Tensor,
    mean_square: torch.Tensor,
    norm: Any,
    residual: torch.Tensor,
    output: torch.Tensor,
) -> None:
    """Write the gradient of `x` plus `residual` to `output`; `gradient`, that of the norm's output, is overwritten.

    `residual` is the gradient that comes past the norm, through the residual connection.
    """
    gradient.mul_(norm.weight)
    inverse_rms = (mean_square + norm.variance_epsilon).rsqrt_()
    coefficient = (gradient * x).sum(-1) * inverse_rms.pow(3).div_(x.shape[-1])
    x_gradient = _normalize(gradient, mean_square, norm).addcmul_(x, coefficient.to(x.dtype)[:, None], value=-1)
    torch.add(x_gradient, residual, out=output)


def _normalize(x: torch.Tensor, mean_square: torch.Tensor, norm: Any) -> torch.Tensor:
    """Each row of `x` divided by the root of its mean square, in float32 and rounded once.

    As a batch norm with the rows as channels: torch's only kernel that reads and writes bfloat16 and scales in float32.
    """
    return batch_norm(x[None], torch.zeros_like(mean_square), mean_square, eps=norm.variance_epsilon)[0]
