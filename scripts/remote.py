"""Sets up the default DVC remote, and shows that it can be written to and read from.

    python -m scripts.remote URL [--endpoint URL]

The address goes into .dvc/config, which git tracks; credentials never do. They come from the environment (AWS_PROFILE,
AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, ...) or from .dvc/config.local, which git ignores:
`dvc remote modify --local storage access_key_id <id>`.
"""

import argparse
import importlib.metadata
import importlib.util
import subprocess
import uuid
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from dvc.repo import Repo

from tonetune.core.command import run
from tonetune.core.errors import UserError

NAME = "storage"
CONFIG = Path(".dvc/config")
CLIENTS = {"s3": "dvc_s3", "ssh": "dvc_ssh", "gs": "dvc_gs", "azure": "dvc_azure"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.remote", description="Set up the default DVC remote.")
    parser.add_argument(
        "url", help="s3://bucket/path, ssh://host/path, gs://bucket/path, azure://container/path or a folder"
    )
    parser.add_argument("--endpoint", help="of an S3 server other than Amazon's, e.g. http://127.0.0.1:8333")
    arguments = parser.parse_args()
    for value in (arguments.url, arguments.endpoint or ""):
        refuse_credentials(value)
    check_client(arguments.url)

    before = CONFIG.read_bytes() if CONFIG.is_file() else b""
    try:
        dvc("remote", "add", "--force", "--default", NAME, arguments.url)
        if arguments.endpoint:
            dvc("remote", "modify", NAME, "endpointurl", arguments.endpoint)
        write_and_read(arguments.url)
    except BaseException:
        CONFIG.write_bytes(before)
        raise
    print(f"{arguments.url}: writes and reads; it is the default remote now (in {CONFIG}: commit it)")


def refuse_credentials(url: str) -> None:
    """A `UserError` if the address holds a password or key: it would be committed."""
    parts = urlsplit(url)
    keys = [
        key for key in parse_qs(parts.query) if any(word in key.lower() for word in ("key", "sig", "token", "pass"))
    ]
    if parts.password or keys or (parts.username and parts.scheme != "ssh"):
        raise UserError(
            "URL: it holds credentials, and .dvc/config is committed; leave them out and set them in the environment "
            f"or by `dvc remote modify --local {NAME} <option> <value>`"
        )


def check_client(url: str) -> None:
    """A `UserError` with the command that installs it, if the storage's client is missing."""
    scheme = urlsplit(url).scheme
    if len(scheme) > 1 and scheme not in CLIENTS and scheme != "file":
        raise UserError(f"URL: {scheme}:// is none of {', '.join(f'{name}://' for name in CLIENTS)} or a folder")
    if scheme in CLIENTS and importlib.util.find_spec(CLIENTS[scheme]) is None:
        version = importlib.metadata.version("dvc")
        raise UserError(f"URL: {scheme}:// needs its client: .venv/bin/pip install 'dvc[{scheme}]=={version}'")


def dvc(*arguments: str) -> None:
    """Run a dvc command; what it complains about becomes a `UserError`."""
    result = subprocess.run(["dvc", *arguments, "--quiet"], capture_output=True, text=True)
    if result.returncode:
        raise UserError(f"dvc {' '.join(arguments)}: {result.stderr.strip()}")


def write_and_read(url: str) -> None:
    """Write a small file under the remote, read it back and remove it."""
    content = uuid.uuid4().bytes
    try:
        with Repo() as repo:
            remote = repo.cloud.get_remote(NAME)
            path = remote.fs.join(remote.path, f".check-{uuid.uuid4().hex}")
            remote.fs.makedirs(remote.path, exist_ok=True)
            remote.fs.pipe_file(path, content)
            back = remote.fs.cat_file(path)
            remote.fs.remove(path)
    except Exception as error:  # five kinds of storage, each with its own errors
        raise UserError(f"{url}: cannot be written to and read from ({type(error).__name__}: {error})") from None
    if back != content:
        raise UserError(f"{url}: gives back other bytes than were written")


if __name__ == "__main__":
    run(main)
