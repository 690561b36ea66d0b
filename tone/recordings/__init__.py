"""Teacher responses kept in git, as compressed JSONL, so that a clone needs no API key."""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path

from tone.errors import UserError
from tone.files import replacing
from tone.rows import Row, Text, parse_lines

FOLDER = Path("data/recordings")
SHARED = FOLDER / "questions.jsonl.gz"


class Recording(Row):
    """One response of the teacher."""

    request: Text
    """The request's key."""
    about: Text
    """The category or the question it is for: for people, who cannot read keys."""
    teacher: Text
    """What wrote it."""
    text: Text


def recordings_path(persona: str) -> Path:
    """Where a persona's recordings lie."""
    return FOLDER / f"{persona}.jsonl.gz"


def read_recordings(path: Path) -> list[Recording]:
    """Read a file of recordings; a broken or repeated line is a `UserError` with file and line."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            lines = file.readlines()
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such recordings; teacher.mode: live, then saving what it fetched, makes them"
        ) from None
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a whole gzip file ({error}); restore it with `git checkout {path}`") from None
    seen: dict[str, int] = {}
    recordings = parse_lines(lines, path, Recording)
    for number, recording in enumerate(recordings, 1):
        if recording.request in seen:
            raise UserError(
                f"{path}, line {number}: repeats the request {recording.request} of line {seen[recording.request]}; "
                "remove one of them"
            )
        seen[recording.request] = number
    return recordings


def write_recordings(path: Path, recordings: Iterable[Recording]) -> None:
    """Write recordings sorted by what they are about, the same bytes for the same rows."""
    ordered = sorted(recordings, key=lambda recording: (recording.about, recording.request))
    text = "".join(json.dumps(row.model_dump(), ensure_ascii=False) + "\n" for row in ordered)
    with replacing(path, "wb") as file:
        file.write(gzip.compress(text.encode(), mtime=0))
