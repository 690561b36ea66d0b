"""Settings of glibc's memory allocator (`malloc_trim`, `mallopt`); on systems without glibc nothing is done."""

import ctypes
import sys
from typing import Any

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8  # the parameters' numbers, from mallopt(3)


def trim() -> None:
    """Return the memory that glibc holds but does not use to the system.

    Batches of different sizes fragment the heap: what one leaves behind is in pieces too small for the next.
    """
    if (malloc_trim := _glibc("malloc_trim")) is not None:
        malloc_trim(0)


def retain() -> None:
    """Have glibc retain what is freed from now on.

    The next step needs the same memory again, and each page that the system hands out anew is a page fault.
    """
    if (mallopt := _glibc("mallopt")) is not None:
        mallopt(ARENA_MAX, 1)  # one heap for all threads: those of other threads would be small, and trimmed
        mallopt(MMAP_THRESHOLD, 32 << 20)  # the highest that glibc takes
        mallopt(TRIM_THRESHOLD, (1 << 31) - 1)  # never trim


def _glibc(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
