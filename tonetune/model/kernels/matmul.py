"""Matrix products on both cores of a small CPU with AMX."""

from functools import cache

import torch
from torch.nn.functional import linear

MIN_ROWS = 384  # with fewer rows, splitting gains nothing
MAX_COLUMNS = 320  # oneDNN shares products of up to so many columns between two threads, whatever their other sizes
UNSPLIT_COLUMNS = 1536  # and those of at least so many
COLUMN_MULTIPLE = 32  # the width of a piece is a multiple of it: columns of the result that fill two AMX tiles


def matmul(left: torch.Tensor, right: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """`left` (rows, inner) times `right` (inner, columns), both of one dtype, plus `bias` (columns): (rows, columns).

    With AMX, oneDNN 3.12 leaves many products of a small model to one of two threads, because of its estimate of memory
    traffic. In pieces of some 300 columns both threads work on them, which takes as little as half the time.
    """
    rows, columns = len(left), right.shape[1]
    if rows < MIN_ROWS or not MAX_COLUMNS < columns < UNSPLIT_COLUMNS or left.dtype != torch.bfloat16 or not _splits():
        return linear(left, right.t(), bias)
    pieces = -(-columns // MAX_COLUMNS)
    width = -(-columns // pieces // COLUMN_MULTIPLE) * COLUMN_MULTIPLE
    output = left.new_empty(rows, columns)
    for start in range(0, columns, width):
        piece = slice(start, start + width)
        if bias is None:
            torch.mm(left, right[:, piece], out=output[:, piece])
        else:
            torch.addmm(bias[piece], left, right[:, piece], out=output[:, piece])
    return output


def _splits() -> bool:
    return torch.get_num_threads() == 2 and _has_amx()


@cache
def _has_amx() -> bool:
    return not torch.cuda.is_available() and torch.cpu._is_amx_tile_supported()
