"""A batch in two halves, each on half of the threads.

Both threads on one small product, sum or norm after the other wait for each other at the end of every one. A half has all its
threads to itself from the first layer to the last gradient, and holds less padding than the whole.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch

Inputs = dict[str, torch.Tensor]


def split_by_length(inputs: Inputs, multiple: int) -> list[Inputs]:
    """The shorter and the longer rows of `inputs`, each (batch, length) and padded on the right.

    Columns that are padding in all rows of a half are left out, up to a `multiple` of columns.
    """
    lengths = inputs["attention_mask"].sum(1)
    order = lengths.argsort(stable=True)
    halves = order.tensor_split(2)
    widths = [multiple * -(-int(lengths[rows].max()) // multiple) for rows in halves]
    return [
        {name: values[rows, :width] for name, values in inputs.items()}
        for rows, width in zip(halves, widths, strict=True)
    ]


def sum_in_two_threads(
    losses: Sequence[Callable[[], torch.Tensor]], parameters: Sequence[torch.Tensor]
) -> torch.Tensor:
    """The sum of two `losses`, each computed on half of the threads; its gradient is for `parameters` alone.

    What the losses draw from torch's global generator would come in no certain order: they must not draw.
    """
    total: torch.Tensor = _ParallelSum.apply(losses, torch.is_grad_enabled(), *parameters)
    return total


class _ParallelSum(torch.autograd.Function):
    """The gradients are made along with the losses: each half's where its activations are."""

    @staticmethod
    def forward(
        ctx: Any, losses: Sequence[Callable[[], torch.Tensor]], learning: bool, *parameters: torch.Tensor
    ) -> torch.Tensor:
        def run(loss: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
            with torch.set_grad_enabled(learning):
                value = loss()
                return value.detach(), torch.autograd.grad(value, parameters) if learning else ()

        (first, gradients), (second, others) = _pool(torch.get_num_threads()).map(run, losses)
        if learning:
            torch._foreach_add_(gradients, others)
        ctx.gradients = gradients
        return first + second

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        torch._foreach_mul_(ctx.gradients, gradients[0])
        return None, None, *ctx.gradients


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Two Python threads whose operators run on half of the `threads` each."""
    pool = ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(max(1, threads // 2),))
    both = threading.Barrier(2)
    list(pool.map(lambda _: both.wait(), range(2)))
    torch.set_num_threads(threads)  # of this thread, and of those to come
    return pool
