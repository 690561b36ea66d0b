"""Time and memory of the device that runs the model."""

import resource
import time

import torch


def now() -> float:
    """Seconds on a clock, once a GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def peak_gib() -> float:
    """The most memory that was held at once: on a GPU of its own, else this process's."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def name(cpu: str) -> str:
    """The GPU's name, or the CPU's, which is given."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else cpu
