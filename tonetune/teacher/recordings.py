"""Teacher responses kept in git, as compressed JSONL, so that a clone needs no API key."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from tonetune.core.errors import UserError
from tonetune.core.files import read_gzip_lines, write_gzip
from tonetune.core.rows import Recording, parse_lines

FOLDER = Path("data/recordings")
SHARED = FOLDER / "questions.jsonl.gz"
PLAIN = FOLDER / "plain.jsonl.gz"  # plain answers know no persona: all personas share them
ENDS = 8  # in 256 rows so many end a gzip member


def recordings_path(persona: str) -> Path:
    """Where a persona's recordings lie."""
    return FOLDER / f"{persona}.jsonl.gz"


def shared_path(own_prompts: bool, persona: str) -> Path:
    """Where the question lists lie that a persona uses: its own if it has prompts of its own."""
    return recordings_path(persona) if own_prompts else SHARED


def answer_paths(persona: str) -> list[Path]:
    """Where the answers lie that replay for a persona: of two recordings of one request the later file's counts."""
    return [path for path in (PLAIN, recordings_path(persona)) if path.exists() or path != PLAIN]


def read_recordings(path: Path) -> list[Recording]:
    """Read a file of recordings; a broken or repeated line is a `UserError` with file and line."""
    try:
        lines = read_gzip_lines(path, f"restore it with `git checkout {path}`")
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such recordings; teacher.mode: live, then saving what it fetched, makes them"
        ) from None
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
    """Write recordings sorted by what they are about, the same bytes for the same rows.

    The file is a run of gzip members, which any gunzip reads as one. Where a member ends depends on the rows around it
    alone, so a changed row changes its member and no other byte, and git stores the difference only.
    """
    ordered = sorted(recordings, key=lambda recording: (recording.about, recording.request))
    members = [""]
    for row in ordered:
        members[-1] += json.dumps(row.model_dump(exclude_defaults=True), ensure_ascii=False) + "\n"
        if int(row.request[:2], 16) < ENDS:
            members.append("")
    write_gzip(path, *(member for member in members if member or len(members) == 1))


def merge_recordings(path: Path, added: Sequence[Recording], clash: str | None = None) -> int:
    """Add recordings to those in `path`, in place of those of the same request; how many were new or changed.

    With `clash` none is replaced: one that is there with another text is a `UserError` that ends in it.
    """
    kept = {recording.request: recording for recording in read_recordings(path)} if path.exists() else {}
    changed = 0
    for recording in added:
        known = kept.get(recording.request)
        if clash and known and known.text != recording.text:
            raise UserError(f"{path}: the prompt for {recording.about!r} {clash}")
        if known is None or (known != recording and not clash):
            kept[recording.request] = recording
            changed += 1
    if changed or clash:
        write_recordings(path, kept.values())
    return changed
