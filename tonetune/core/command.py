"""The frame every command runs in: errors as one message, and what a stage took in time and memory, for `make bench`."""

import contextlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tonetune.core.errors import UserError, storage_problem
from tonetune.core.files import cache_dir, replacing

PER_GIB = 2**20 if sys.platform == "linux" else 2**30  # ru_maxrss counts kibibytes on Linux, bytes on macOS


def peak_memory() -> float:
    """The most memory that this process has held at once, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / PER_GIB


def stages_file() -> Path:
    """The file of `stage_times`, in the cache folder that experiments share."""
    return cache_dir("timing") / "stages.json"


def stage_times() -> dict[str, dict[str, float]]:
    """`seconds` and `peak_gib` by stage, of those that have run here."""
    try:
        return json.loads(stages_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def note_stage(stage: str) -> None:
    """Keep what this process, the stage's, has taken from its start."""
    taken = {
        "seconds": round(time.time() - psutil.Process().create_time(), 2),
        "peak_gib": round(peak_memory(), 3),
    }
    with replacing(stages_file()) as file:
        file.write(json.dumps(stage_times() | {stage: taken}, indent=2))


def run(main: Callable[[], None]) -> None:
    """Run a command's `main`; a `UserError` or a full disk becomes one message on stderr and exit code 1, no traceback."""
    try:
        main()
        _note_stage()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader (`| head`) has gone: point stdout elsewhere so that Python's exit does not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if (problem := storage_problem(error)) is None:
            raise
        print(f"error: {problem}; make room, or make it writable, and run this again", file=sys.stderr)
        sys.exit(1)


def _note_stage() -> None:
    """Note what a stage took; where that cannot be written, it is no error."""
    module = sys.modules["__main__"].__spec__
    if module is None or not module.name.startswith("stages."):
        return
    with contextlib.suppress(OSError, UserError):
        note_stage(module.name.removeprefix("stages."))
