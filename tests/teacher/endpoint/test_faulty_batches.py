"""Batches that end in every way, with results that lack lines or have strange ones, and a stop in between.

Nothing good is lost, nothing is paid twice; each end is the right data or one line.
"""

import json
import random

import pytest

from tests.support.servers.teacher_replies import error
from tests.support.servers.teacher_requests import digest_of, make_requests, make_settings
from tests.support.servers.teacher_server import TeacherServer
from tonetune.core.errors import UserError
from tonetune.teacher.endpoint.live import ask
from tonetune.teacher.endpoint.store import Store

pytestmark = pytest.mark.usefixtures("here")

ENDS = ("", "failed", "expired", "cancelled")
MOST_RUNS = 15
SAYS = ("are submitted in 1 batches that are not ready", "refuses the batch (Enqueued token limit reached)")


@pytest.mark.parametrize("seed", range(4))
def test_however_batches_end_each_answer_is_paid_once_and_each_run_ends_with_data_or_one_line(seed):
    dice = random.Random(seed)
    with TeacherServer(seed=seed) as server:
        server.ends = dice.choices(ENDS, k=4)
        server.spoilt, server.lost_lines, server.batch_broken = 0.4, 0.2, 0.2
        server.batch_fault_rate, server.most_broken = 0.1, 2
        requests = make_requests(server.url, 24)
        settings = make_settings(server.url, batch=True, batch_wait=False, retries=6)
        server.batch_seconds = 60  # the first run finds its batch not ready, and ends
        texts = None
        for run in range(MOST_RUNS):
            with Store() as store:
                kept = {digest_of(request) for request in requests if store.get(request.key)}
            before = len(server.submissions)
            texts, said = ended(requests, settings)
            assert kept.isdisjoint(name for _, names in server.submissions[before:] for name in names)
            if texts is not None:
                break
            assert len(said.splitlines()) == 1
            assert any(says in said for says in SAYS), said
            if run == 0:
                for batch in server.batches.values():
                    batch["until"] = 0
                server.batch_seconds = 0
        assert texts is not None
        assert len(set(texts)) == 24
        assert server.successes == dict.fromkeys(map(digest_of, requests), 1)
        with Store() as store:
            assert store.count() == 24
            assert store.open_batches(server.url) == []


def ended(requests, settings):
    """The texts, or else what the run said at its end."""
    try:
        return ask(requests, settings), ""
    except UserError as reason:
        return None, str(reason)


def test_the_reasons_for_which_a_batch_failed_are_one_line():
    with TeacherServer() as server:
        server.ends, server.failure = ["failed"], "Line 1: no model.\nLine 2: no model."
        texts, said = ended(make_requests(server.url, 2), make_settings(server.url, batch=True))
        assert texts is None
        assert len(said.splitlines()) == 1


def test_results_are_kept_where_the_file_of_errors_is_not_there():
    class Forgetful(TeacherServer):
        def work_off(self, name, batch):
            super().work_off(name, batch)
            batch["error_file_id"] = "file-gone"

        async def content(self, request):
            if request.match_info["name"] == "file-gone":
                return error(404, "No such File object: file-gone", None)
            return await super().content(request)

    with Forgetful() as server:
        texts, _ = ended(make_requests(server.url, 3), make_settings(server.url, batch=True, retries=0))
        assert texts is not None
        assert set(server.successes.values()) == {1}


def test_an_answer_is_kept_where_the_file_of_errors_names_its_line_too():
    class Contradicting(TeacherServer):
        def work_off(self, name, batch):
            super().work_off(name, batch)
            refusal = {"status_code": 400, "body": {"error": {"message": "Out of order.", "code": "invalid"}}}
            rows = [json.loads(row) | {"response": refusal} for row in self.files[batch["output_file_id"]].splitlines()]
            batch["error_file_id"] = "file-errors"
            self.files["file-errors"] = "\n".join(map(json.dumps, rows))

    with Contradicting() as server:
        texts, _ = ended(make_requests(server.url, 3), make_settings(server.url, batch=True, retries=0))
        assert texts is not None
