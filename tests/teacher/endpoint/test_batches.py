"""Batches: every answer once, whatever fails, expires, is forgotten or is killed."""

import json
import os
import subprocess
import sys
import time
from collections import Counter

import pytest

from tests.support.servers.teacher_requests import make_request, make_requests, make_settings
from tests.support.servers.teacher_server import TeacherServer
from tests.support.workspace import ROOT
from tonetune.core.errors import UserError
from tonetune.teacher.endpoint.live import ask
from tonetune.teacher.endpoint.store import Store

pytestmark = pytest.mark.usefixtures("here")


def test_batches_bring_every_answer_once_though_lines_fail_and_one_expires():
    with TeacherServer() as server:
        server.batch_broken, server.expire_next, server.batch_seconds = 0.2, True, 0.3
        texts = ask(make_requests(server.url, 60), make_settings(server.url, batch=True))
        assert len(set(texts)) == 60
        assert set(server.successes.values()) == {1}
        assert server.arrivals == []
        lines = [len(server.files[b["input_file_id"]].splitlines()) for b in server.batches.values()]
        assert lines[0] == 60
        assert 30 < lines[1] < 60
        before = len(server.batches)
        assert ask(make_requests(server.url, 60), make_settings(server.url, batch=True)) == texts
        assert len(server.batches) == before


def test_batches_learn_the_newer_name_of_the_limit_and_that_is_no_try():
    with TeacherServer() as server:
        server.newer = True
        requests = [*make_requests(server.url, 19), make_request(server.url, "Why?", json_schema={"type": "object"})]
        texts = ask(requests, make_settings(server.url, batch=True, retries=0, ask_again=0))
        assert len(set(texts)) == 20
        assert [len(names) for _, names in server.submissions] == [20, 20]
        with Store() as store:
            assert store.count() == 20
            assert store.database.execute("SELECT sum(requests) FROM spending").fetchone() == (20,)


def test_batches_do_not_ask_for_ever_what_is_refused_under_both_names_of_the_limit():
    with TeacherServer() as server:
        server.newer, server.most_tokens = True, 100
        with pytest.raises(
            UserError,
            match=r"refused \(400: max_completion_tokens is too large[^,]*\); lower answers\.max_tokens: 220$",
        ):
            ask(make_requests(server.url, 3), make_settings(server.url, batch=True, ask_again=1))
        assert [len(names) for _, names in server.submissions] == [3, 3]


@pytest.mark.parametrize("count", [0, 8])
def test_batches_bring_every_answer_once_though_all_endpoints_fail_and_runs_are_killed(count, here):
    with TeacherServer(seed=158) as server:
        server.batch_fault_rate, server.batch_broken, server.batch_seconds = 0.3, 0.5, 0.3
        server.most_broken = 3
        command = [sys.executable, "-m", "tests.support.asking", server.url, str(count), "batch"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        result = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        kills = json.loads((here / "kills.json").read_text())
        assert len(kills) == count
        assert count == 0 or kills[-1]["kept"]
        for kill in kills:  # what was stored is never submitted again
            later = {name for at, names in server.submissions if at > kill["killed"] for name in names}
            assert later.isdisjoint(kill["kept"])
        # Nor is anything else but the lines that failed.
        submitted = Counter(name for _, names in server.submissions for name in names)
        assert len(submitted) == 60
        assert submitted == {name: 1 + server.made[name] for name in submitted}
        assert {*server.batch_faults} >= {"upload", "create_batch", "show_batch", "list_batches", "content"}
        with Store() as store:
            assert store.count() == 60
            assert store.open_batches(server.url) == []


def test_an_address_without_batches_is_not_taken_for_an_unknown_model():
    with TeacherServer() as server:
        server.offers_batches = False
        with pytest.raises(
            UserError, match=r"^teacher\.batch: true: .* offers no batches \(404: .*\); set it to false$"
        ):
            ask(make_requests(server.url, 3), make_settings(server.url, batch=True))


def test_what_was_in_a_batch_that_the_endpoint_has_forgotten_is_submitted_again():
    with TeacherServer() as server:
        server.batch_seconds = 60
        requests = make_requests(server.url, 10)
        with pytest.raises(UserError, match="submitted"):
            ask(requests, make_settings(server.url, batch=True, batch_wait=False))
        server.batches.clear()
        server.batch_seconds = 0
        prices = {"test-model": [0.0, 1000.0]}  # 11 cents at most, at half the price
        assert len(set(ask(requests, make_settings(server.url, batch=True, prices=prices)))) == 10
        with Store() as store:
            assert store.spent() > 10 * 0.11  # what was forgotten may have been worked off
        assert [len(names) for _, names in server.submissions] == [10, 10]


def test_what_comes_in_a_batch_of_an_earlier_run_is_stored_and_counts_as_spent():
    with TeacherServer() as server:
        server.batch_seconds = 60
        requests = make_requests(server.url, 4)
        with pytest.raises(UserError, match="submitted"):
            ask(requests, make_settings(server.url, batch=True, batch_wait=False))
        server.batches["batch-0"]["until"] = 0
        ask(requests[:1], make_settings(server.url, batch=True))
        with Store() as store:
            assert store.count() == 4
            assert store.database.execute("SELECT sum(requests) FROM spending").fetchone() == (4,)


def test_a_line_separator_in_an_answer_does_not_break_a_line_of_the_results():
    class Separating(TeacherServer):
        def answer(self, body, fault):
            return super().answer(body, fault).replace(" ", "\u2028", 1)

    with Separating() as server:
        texts = ask(make_requests(server.url, 3), make_settings(server.url, batch=True, retries=0))
        assert all("\u2028" in text for text in texts)


def test_batches_halve_the_price():
    with TeacherServer() as server:
        requests = make_requests(server.url, 4)
        prices = {"test-model": [10.0, 10.0]}
        ask(requests, make_settings(server.url, prices=prices))
        with Store() as store:
            full = store.spent()
            store.database.execute("DELETE FROM responses")
        ask(requests, make_settings(server.url, prices=prices, batch=True))
        with Store() as store:
            assert store.spent() == pytest.approx(1.5 * full)


def test_a_stage_submits_a_batch_for_each_step_and_picks_it_up_after_kill_9_and_after_a_stop(live):
    with TeacherServer() as server:
        space = live(server)
        space.stage("questions")
        asked = len(server.arrivals)
        server.batch_seconds = 1.0
        space.set(teacher__batch=True)
        command = [sys.executable, "-m", "stages.answers"]
        process = subprocess.Popen(command, cwd=space.root, env=os.environ, stderr=subprocess.DEVNULL)
        while not server.batches:
            time.sleep(0.02)
        process.kill()
        process.wait()
        space.set(teacher__batch_wait=False)
        stopped = 0
        for _ in range(20):
            result = space.stage("answers", check=False)
            if result.returncode == 0:
                break
            assert "requests are submitted in 1 batches that are not ready; run again later" in result.stderr
            stopped += 1
            time.sleep(0.5)
        assert stopped
        assert result.returncode == 0
        assert set(server.successes.values()) == {1}
        # Plain answers; persona answers and the follow-ups' plain ones; the follow-ups' persona answers.
        assert 3 <= len(server.batches) <= 5
        assert len(server.arrivals) == asked


def test_a_kill_between_submitting_and_noting_the_id_does_not_submit_twice():
    with TeacherServer() as server:
        server.batch_seconds = 0.5
        requests = make_requests(server.url, 10)
        settings = make_settings(server.url, batch=True, batch_wait=False)
        with pytest.raises(UserError, match="submitted"):
            ask(requests, settings)
        with Store() as store:
            store.database.execute("UPDATE batches SET id = NULL")
        time.sleep(0.6)
        assert len(set(ask(requests, settings))) == 10
        assert len(server.batches) == 1


def test_what_a_batch_brought_beside_refusals_that_end_the_run_is_kept():
    class Refusing(TeacherServer):
        refuses = True

        def problem(self, body):
            number = int(body["messages"][-1]["content"].split()[3])
            return (400, "Out of order.", "invalid") if self.refuses and number < 6 else super().problem(body)

    with Refusing() as server:
        requests = make_requests(server.url, 30)
        with pytest.raises(UserError, match=r"responses is usable: refused \(400: Out of order\.\)"):
            ask(requests, make_settings(server.url, batch=True))
        with Store() as store:
            assert [number for number in range(30) if store.get(requests[number].key)] == [*range(6, 30)]
            assert store.database.execute("SELECT sum(requests) FROM spending WHERE prompt_tokens > 0").fetchone() == (
                24,
            )
        server.refuses = False
        assert len(set(ask(requests, make_settings(server.url, batch=True)))) == 30
        assert [len(names) for _, names in server.submissions] == [30, 6]
