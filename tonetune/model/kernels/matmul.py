"""Matrix products on both cores of a small CPU with AMX."""

from functools import cache

import torch
from torch.nn.functional import linear

MIN_ROWS = 384  # rows from which on it matters
MAX_COLUMNS = 320  # columns of the result that oneDNN shares between two threads whatever the other sizes
UNSPLIT_COLUMNS = 1536  # columns from which on it always does
COLUMN_MULTIPLE = 32


def matmul(left: torch.Tensor, right: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """`left` (rows, inner) times `right` (inner, columns), both of one dtype, plus `bias` (columns).

    With AMX, oneDNN 3.12 has one of two threads do many a product of a model this small, as its estimate of memory traffic
    finds best; in pieces of some 300 columns both work on it, in up to half the time.
    """
    rows, columns = len(left), right.shape[1]
    if rows < MIN_ROWS or not MAX_COLUMNS < columns < UNSPLIT_COLUMNS or left.dtype != torch.bfloat16 or not _splits():
        return linear(left, right.t(), bias)
    pieces = -(-columns // MAX_COLUMNS)
    width = -(-columns // pieces // COLUMN_MULTIPLE) * COLUMN_MULTIPLE
    output = left.new_empty(rows, columns)
    for place in range(0, columns, width):
        some = slice(place, place + width)
        if bias is None:
            torch.mm(left, right[:, some], out=output[:, some])
        else:
            torch.addmm(bias[some], left, right[:, some], out=output[:, some])
    return output


def _splits() -> bool:
    return torch.get_num_threads() == 2 and _multiplies_tiles()


@cache
def _multiplies_tiles() -> bool:
    return not torch.cuda.is_available() and torch.cpu._is_amx_tile_supported()
