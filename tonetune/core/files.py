"""Where things lie, and writing them so that a kill leaves either the old file or the new one."""

import fcntl
import gzip
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tonetune.core.errors import UserError

SEAL = "sealed.json"


def cache_dir(kind: str) -> Path:
    """The folder for one kind of thing that outlives a stage's outputs: `$DVC_ROOT/.cache/<kind>`.

    DVC sets `DVC_ROOT` to the main repository, from queued experiments too, so they all share it.
    """
    folder = Path(os.environ.get("DVC_ROOT", ".")) / ".cache" / kind
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be created ({error.strerror}); make it a folder you can write to") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{folder}: cannot be written to; make it writable")
    return folder


@contextmanager
def replacing(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path` that takes its place when the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    encoding = None if "b" in mode else "utf-8"
    newline = None if "b" in mode else "\n"
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, mode, encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        raise UserError(f"{path}: not written ({error.strerror})") from None
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: str | Path) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its place when the block ends without an error."""
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, suffix=".tmp"))
    try:
        yield unfinished
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(unfinished, folder)
        os.chmod(folder, 0o755)
    except OSError as error:
        raise UserError(f"{folder}: not written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented JSON in the order of its keys."""
    with replacing(path) as file:
        json.dump(value, file, indent=2, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file; a `UserError` if it is missing or broken."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; `dvc repro` makes it") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from None


def read_gzip_lines(path: Path, way_out: str) -> list[str]:
    """The lines of a compressed file of text; a `FileNotFoundError` if it is missing.

    If it is broken, a `UserError` that ends in `way_out`.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return file.readlines()
    except FileNotFoundError:
        raise
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a whole gzip file ({error}); {way_out}") from None


def write_gzip(path: Path, *members: str) -> None:
    """Write text as a run of gzip members, which any gunzip reads as one; the same bytes for the same members."""
    with replacing(path, "wb") as file:
        for member in members:
            file.write(gzip.compress(member.encode(), mtime=0))


def content_key(paths: Sequence[str | Path], *values: object) -> str:
    """A hash of the bytes of the files at `paths` and of `values`: equal only when all of them are."""
    digest = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode())
    for path in paths:
        digest.update(hashlib.sha256(Path(path).read_bytes()).digest())
    return digest.hexdigest()[:16]


def seal(folder: Path) -> None:
    """Mark a folder as whole, by the size, time and hash of every file in it."""
    marks = {str(path.relative_to(folder)): [*_stamp(path), _digest(path)] for path in _files(folder)}
    write_json(folder / SEAL, marks)


def is_whole(folder: Path) -> bool:
    """Whether a folder is sealed and its files are still those that were sealed.

    A file with the size and time it was sealed with is taken for unchanged; any other is hashed.
    """
    try:
        marks = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        files = {str(path.relative_to(folder)): path for path in _files(folder)}
        return marks.keys() == files.keys() and all(
            _stamp(path) == marks[name][:2] or _digest(path) == marks[name][2] for name, path in files.items()
        )
    except (OSError, ValueError):
        return False


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SEAL)


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for other processes that make the same thing; a killed one's lock ends with it."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def unreadable(path: Path, error: Exception) -> UserError:
    """What to tell of an output that cannot be read."""
    reason = str(error).partition("\n")[0][:200]
    return UserError(f"{path}: damaged or cut short ({reason}); remove it and `dvc checkout` or `dvc repro`")


def load_yaml(path: str | Path) -> Any:
    """Parse a YAML file; a `UserError` if it is missing or broken."""
    try:
        return YAML(typ="safe", pure=True).load(Path(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: not YAML ({getattr(error, 'problem', None) or error})") from None
