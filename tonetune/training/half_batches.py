"""A batch in two halves, each on half of the threads.

Threads that share an operator wait for each other at its end, which costs a small model much of its time. Here each
half has its threads to itself from the first layer to the last gradient; and it has less padding than the whole batch.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch

Inputs = dict[str, torch.Tensor]


def split_by_length(inputs: Inputs, multiple: int) -> list[Inputs]:
    """The shorter and the longer rows of `inputs`, whose tensors are (batch, length) and padded on the right.

    Each half is as long as its longest row, rounded up to a `multiple`.
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
    """The sum of two `losses`, each computed on half of the threads; only `parameters` get gradients.

    The losses must not use torch's global random generator: which of them would take from it first is not determined.
    """
    total: torch.Tensor = _ParallelSum.apply(losses, torch.is_grad_enabled(), *parameters)
    return total


class _ParallelSum(torch.autograd.Function):
    """The forward pass computes the gradients too: each half's in the thread that has its activations."""

    @staticmethod
    def forward(
        ctx: Any, losses: Sequence[Callable[[], torch.Tensor]], with_gradients: bool, *parameters: torch.Tensor
    ) -> torch.Tensor:
        def run(loss: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
            with torch.set_grad_enabled(with_gradients):
                value = loss()
                return value.detach(), torch.autograd.grad(value, parameters) if with_gradients else ()

        (first, gradients), (second, second_gradients) = _pool(torch.get_num_threads()).map(run, losses)
        if with_gradients:
            torch._foreach_add_(gradients, second_gradients)
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
    barrier = threading.Barrier(2)
    list(pool.map(lambda _: barrier.wait(), range(2)))  # starts both
    torch.set_num_threads(threads)  # the initializers have also changed it for this thread and for new ones
    return pool
