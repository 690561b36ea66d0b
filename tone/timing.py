"""What each stage took in time and memory when it last ran: in .cache, for `make bench`, and never in a metric."""

import json
import resource
import sys
import time
from pathlib import Path

import psutil

from tone.files import cache_dir, replacing

PER_GIB = 2**20 if sys.platform == "linux" else 2**30  # ru_maxrss counts kibibytes on Linux, bytes on macOS


def stages_file() -> Path:
    """Where it is kept."""
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
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / PER_GIB, 3),
    }
    with replacing(stages_file()) as file:
        file.write(json.dumps(stage_times() | {stage: taken}, indent=2))
