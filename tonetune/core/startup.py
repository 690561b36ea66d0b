"""Keeps off the screen what the libraries say and a user can do nothing about."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast


def silence_libraries() -> None:
    """Call before torch, transformers or bitsandbytes are imported; errors still get through."""
    # OpenMP's threads wait for each other by spinning for milliseconds, during which, on a core that another process has
    # too, the thread that is waited for does not run. After a thousand turns they sleep: on free cores that costs nothing.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("BITSANDBYTES_NOWELCOME", "1")
    # datasets tells S3 of each load of local files
    os.environ.setdefault("HF_UPDATE_DOWNLOAD_COUNTS", "0")
    # bitsandbytes asks the hub for an optional CPU kernel and warns when it cannot have it
    for name in ("bitsandbytes", "kernels", "torch.distributed.elastic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=UserWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)


def import_bitsandbytes() -> None:
    """Call it before what imports peft. At its import bitsandbytes hands four functions to `torch.compile`, which loads
    torch's compiler for each of them, over a second at every start; those of them that run at all do so uncompiled.
    """
    import torch

    def uncompiled(function: Any = None, **_: Any) -> Any:
        return function

    compiled = torch.compile
    torch.compile = cast(Any, uncompiled)
    try:
        import bitsandbytes  # noqa: F401
    finally:
        torch.compile = compiled


@contextmanager
def progress_bars_off() -> Iterator[None]:
    """Without the bars of loading and saving, which take less than a second here."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.enable_progress_bar()
