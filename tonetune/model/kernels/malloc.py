"""What glibc does with memory that is free; elsewhere nothing is done."""

import ctypes
import sys
from typing import Any

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8  # mallopt(3)


def trim() -> None:
    """Give the memory that glibc keeps for later use back to the system.

    What batches of different sizes leave behind is in pieces that the next one finds too small, and lies there unused.
    """
    if (trim := _glibc("malloc_trim")) is not None:
        trim(0)


def retain() -> None:
    """Have glibc keep what is freed from now on.

    It is needed again in the next step, and each page that comes from the system anew is a fault.
    """
    if (tell := _glibc("mallopt")) is not None:
        tell(ARENA_MAX, 1)  # other threads' heaps would be small, and given back
        tell(MMAP_THRESHOLD, 32 << 20)  # the highest
        tell(TRIM_THRESHOLD, (1 << 31) - 1)


def _glibc(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
