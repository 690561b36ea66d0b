"""What a model's files hold, as a short digest: a base that is replaced in place is another base."""

import hashlib
import json
from pathlib import Path

from tonetune.core.files import cache_dir, write_json

READ = (".gguf", ".safetensors", ".json", ".jinja", ".txt", ".model")  # what a model is loaded from


def fingerprint(path: Path) -> str:
    """A digest of the content of a model: a GGUF file, or the files of a folder by name.

    A file with the size and time that it had when it was last read is taken for unchanged; any other is read again.
    """
    files = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.is_file() and p.suffix in READ)
    known_in = cache_dir("digests") / f"{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}.json"
    known = _read(known_in)
    digests: dict[str, list[object]] = {}
    for file in files:
        status = file.stat()
        stamp = [status.st_size, status.st_mtime_ns]
        seen = known.get(file.name, [])
        if seen[:2] == stamp:
            digests[file.name] = seen
        else:
            with open(file, "rb") as content:
                digests[file.name] = [*stamp, hashlib.file_digest(content, "sha256").hexdigest()]
    if digests != known:
        write_json(known_in, digests)
    listed = [[name, digest[2]] for name, digest in digests.items()]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:16]


def _read(path: Path) -> dict[str, list[object]]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
