"""Matrix products on both cores of a small CPU with AMX."""

from functools import cache

import torch

FEWEST = 384  # rows from which on it matters
WIDEST = 320  # columns of the result that oneDNN shares between two threads whatever the other sizes
WHOLE = 1536  # columns from which on it always does
TILE = 32


def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """`left` (rows, inner) times `right` (inner, columns), both of one dtype.

    With AMX, oneDNN 3.12 has one of two threads do many a product of a model this small, as its estimate of memory traffic
    finds best; in pieces of some 300 columns both work on it, in up to half the time.
    """
    rows, columns = len(left), right.shape[1]
    if rows < FEWEST or not WIDEST < columns < WHOLE or left.dtype != torch.bfloat16 or not _splits():
        return left @ right
    pieces = -(-columns // WIDEST)
    width = -(-columns // pieces // TILE) * TILE
    output = left.new_empty(rows, columns)
    for piece, place in zip(right.split(width, 1), output.split(width, 1), strict=True):
        torch.mm(left, piece, out=place)
    return output


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """What torch's `linear` returns for `x` (..., inputs)."""
    output = product(x.flatten(0, -2), weight.t())
    if bias is not None:
        output += bias
    return output.view(*x.shape[:-1], len(weight))


@cache
def _splits() -> bool:
    return not torch.cuda.is_available() and torch.get_num_threads() == 2 and torch.cpu._is_amx_tile_supported()
