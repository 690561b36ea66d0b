"""Memory that is free, given back to the system."""

import ctypes
import sys


def give_back() -> None:
    """Have glibc give back the memory that it keeps for later use; elsewhere nothing.

    What batches of different sizes leave behind is in pieces that the next one finds too small, and lies there unused.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
