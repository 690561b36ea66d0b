"""What a model's files hold, as a short digest: a base that is replaced in place is another base."""

import hashlib
import json
from pathlib import Path

from tonetune.core.errors import UserError
from tonetune.core.files import cache_dir, write_json
from tonetune.model.locate import locate

READ = (".gguf", ".safetensors", ".json", ".jinja", ".txt", ".model")  # what a model is loaded from


def fingerprint(path: Path) -> str:
    """A digest of the content of a model: a GGUF file, or the files of a folder and of a sentence model's parts by name.

    A file with the size and times that it had when it was last read is taken for unchanged; any other is read again.
    """
    root = path.parent if path.is_file() else path
    folders = [path, *(p.parent for p in path.glob("*/config.json"))]
    inside = [p for folder in folders if folder.is_dir() for p in folder.iterdir() if p.is_file() and p.suffix in READ]
    files = [path] if path.is_file() else sorted(inside)
    known_in = cache_dir("digests") / f"{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}.json"
    known = _read(known_in)
    digests: dict[str, list[object]] = {}
    for file in files:
        status = file.stat()
        # The time of the last change of the inode too: a copy may bring the other time along.
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        name = file.relative_to(root).as_posix()
        seen = known.get(name, [])
        if seen[:-1] == stamp:
            digests[name] = seen
        else:
            with open(file, "rb") as content:
                digests[name] = [*stamp, hashlib.file_digest(content, "sha256").hexdigest()]
    if digests != known:
        write_json(known_in, digests)
    listed = [[name, digest[-1]] for name, digest in digests.items()]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:16]


def content_of(name: str, key: str) -> str:
    """The fingerprint of the model that `name`, the value of the parameter `key`, says; a `UserError` if it is not there."""
    return fingerprint(locate(name, key))


def refuse_replaced(saved: str | None, name: str, key: str, made: Path) -> None:
    """A `UserError` if `made` comes from other content than that model has now; None: what it came from is not known."""
    if saved is not None and saved != content_of(name, key):
        raise UserError(
            f"{key}: {name!r} is not what {made} was made from: it was replaced since; put it back, or `dvc repro -f`"
        )


def _read(path: Path) -> dict[str, list[object]]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
