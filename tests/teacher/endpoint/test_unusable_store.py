"""A store of responses that is damaged or cannot grow: one message, and what was stored is not asked again."""

import os
import resource
import subprocess
import sys

import pytest

from tests.support.servers.teacher_requests import digest_of, make_requests, make_settings
from tests.support.servers.teacher_server import TeacherServer
from tonetune.core.errors import UserError
from tonetune.core.rows import Answer, read_rows
from tonetune.teacher.endpoint.live import ask
from tonetune.teacher.endpoint.request import Request
from tonetune.teacher.endpoint.store import Store

pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.parametrize("place", ["sqlite_master", "responses", "claims", "spending"])
def test_a_damaged_store_is_named_with_the_way_out(place):
    """Noticed when it is opened, when something is looked up in it, or only when something is written."""
    with TeacherServer() as server:
        requests = make_requests(server.url, 30)
        ask(requests[1:], make_settings(server.url))
        with Store() as store:
            query = "SELECT max(rootpage) FROM sqlite_master WHERE name = ?"
            page = store.database.execute(query, (place,)).fetchone()[0] or 1
            (size,) = store.database.execute("PRAGMA page_size").fetchone()
        content = bytearray(store.path.read_bytes())
        content[(page - 1) * size : page * size] = b"\xff" * size
        store.path.write_bytes(content)
        with pytest.raises(UserError, match="is damaged: move it away") as error:
            ask(requests, make_settings(server.url))
        assert str(error.value).startswith(f"{store.path}: cannot be used (")
        store.path.rename(store.path.with_suffix(".damaged"))
        assert len(set(ask(requests, make_settings(server.url)))) == 30


def test_a_full_disk_is_one_message_and_what_was_stored_is_not_asked_again(live):
    """A limit on the size of any file the stage writes, the store's among them, as in test_interruptions.py."""
    with TeacherServer(latency=0.01) as server:
        # Telling a language unpacks a model into a file, which would be the first over the limit.
        space = live(server, questions__exchanges=False, split__quality__language="off")
        space.stage("questions")
        result = subprocess.run(
            [sys.executable, "-m", "stages.answers"],
            cwd=space.root,
            env=os.environ,
            capture_output=True,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000)),
        )
        assert result.returncode == 1, result.stderr
        assert result.stderr.count("error: ") == 1
        assert "responses.sqlite: cannot be used (" in result.stderr
        assert "make room" in result.stderr
        assert "Traceback" not in result.stderr
        with Store(space.root / ".cache/teacher") as store:
            rows = store.database.execute("SELECT request FROM responses").fetchall()
        kept = [digest_of(Request.model_validate_json(row)) for (row,) in rows]
        assert 8 < len(kept) < 64
        space.stage("answers")
        assert {server.attempts[name] for name in kept} == {1}
        assert len(read_rows(space.root / "data/answers.jsonl", Answer)) == 3 * 20
