"""The live teacher: the real client against a real local server that fails in every way a server can."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from tests.support.servers.teacher_requests import make_request, make_requests, make_settings
from tests.support.servers.teacher_server import TeacherServer
from tests.support.workspace import EXCHANGES, ROOT
from tonetune.core.errors import UserError
from tonetune.core.rows import Answer, read_rows
from tonetune.teacher.endpoint.live import LiveTeacher, ask
from tonetune.teacher.endpoint.protocol import together
from tonetune.teacher.endpoint.store import Store

pytestmark = pytest.mark.usefixtures("here")


def test_all_answers_arrive_and_each_is_stored_once_whatever_the_server_does():
    with TeacherServer(fault_rate=0.25, latency=0.01) as server:
        requests = make_requests(server.url, 300)
        texts = ask(
            requests,
            make_settings(server.url, timeout=1),
            check=lambda text: "als" if "Das ist" in text or "sorry" in text else None,
        )
        assert len(set(texts)) == 300
        assert all(text.endswith("yeah.") for text in texts)
        assert set(server.successes.values()) == {1}
        assert len(server.successes) == 300
        assert sum(server.made.values()) > 60
        assert server.busiest <= 64
        with Store() as store:
            assert store.count() == 300
            reply = store.get(requests[0].key)
        assert (reply.model, reply.fingerprint) == ("test-model-2026-01-01", "fp_test")
        assert json.loads(reply.raw)["choices"][0]["message"]["content"] == reply.text == texts[0]
        assert reply.completion_tokens == json.loads(reply.raw)["usage"]["completion_tokens"] > 0
        before = len(server.arrivals)
        assert ask(requests, make_settings(server.url)) == texts
        assert len(server.arrivals) == before


def test_after_kill_9_only_what_is_missing_is_asked(here):
    with TeacherServer(fault_rate=0.1, latency=0.03, slots=16, faults=("500", "reset", "invalid JSON")) as server:
        command = [sys.executable, "-m", "tests.support.asking", server.url, "50"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        result = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        kills = json.loads((here / "kills.json").read_text())
        assert len(kills) == 50
        assert [len(kill["kept"]) for kill in kills] == sorted(len(kill["kept"]) for kill in kills)
        for kill in kills:  # what was stored is never asked again
            kept = set(kill["kept"])
            assert not [name for at, name in server.arrivals if at > kill["killed"] and name in kept]
        # What the server answered twice was on its way when a run was killed: in hand, or in its queue.
        assert sum(count - 1 for count in server.successes.values()) <= 50 * make_settings(server.url).concurrency
        assert len(server.successes) == 200


def test_two_experiments_side_by_side_ask_for_each_response_once(live):
    with TeacherServer(latency=0.05, slots=16) as server:
        space = live(server)
        space.stage("questions")
        command = [sys.executable, "-m", "stages.answers"]
        environment = os.environ | {"DVC_ROOT": str(space.root)}
        second = subprocess.Popen(command, cwd=space.root, env=environment, stderr=subprocess.PIPE)
        first = space.stage("answers")
        assert second.wait() == 0
        assert first.returncode == 0
        assert set(server.successes.values()) == {1}
        assert len(read_rows(space.root / "data/answers.jsonl", Answer)) == 3 * 20 + 2 * EXCHANGES


def test_the_claims_of_a_killed_run_do_not_hold_up_the_next(here):
    code = "import os; from tonetune.teacher.endpoint.store import Store; s = Store(); print(s.claim('a'), flush=True); os.kill(os.getpid(), 9)"
    dead = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ, capture_output=True, text=True)
    assert dead.stdout == "True\n"
    with Store() as store, Store() as other:
        assert store.claim("a")
        assert not other.claim("a")
        store.release("a")
        assert other.claim("a")


def test_ctrl_c_keeps_what_arrived_says_how_far_it_is_and_exits_soon(live):
    with TeacherServer(latency=0.2, slots=4) as server:
        space = live(server, teacher__concurrency=4, teacher__timeout=60, questions__exchanges=False)
        space.stage("questions")
        environment = os.environ | {"DVC_ROOT": str(space.root)}
        command = [sys.executable, "-m", "stages.answers"]
        process = subprocess.Popen(command, cwd=space.root, env=environment, stderr=subprocess.PIPE, text=True)
        while sum(server.successes.values()) < 20:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=10)
        assert process.returncode == 130
        assert "Traceback" not in message
        with Store(space.root / ".cache/teacher") as store:
            kept = store.count() - 4
        assert kept >= 12
        assert f"answers: {kept} of about 60 responses are there and kept" in message
        before = Counter(server.successes)
        space.stage("answers")
        assert sum((server.successes - before).values()) <= 60 - kept


def test_a_new_setting_enters_the_key_only_where_it_is_sent():
    plain = make_request(None, "Why?")
    assert (
        plain.key
        == make_request(None, "Why?", json_schema=None, extra_body=None).key
        == make_request(None, "Why?", extra_body={}).key
    )
    others = [
        {"json_schema": {"type": "object"}},
        {"extra_body": {"top_p": 0.9}},
        {"sample": 1},
        {"base_url": "http://a"},
        {"temperature": 0.7},
        {"max_tokens": 5},
        {"model": "b"},
    ]
    assert (
        len(
            {
                plain.key,
                *(
                    make_request(
                        **({"url": None, "text": "Why?"} | ({"url": o["base_url"]} if "base_url" in o else o))
                    ).key
                    for o in others
                ),
            }
        )
        == 8
    )


def test_newer_models_are_told_their_own_name_of_the_limit():
    with TeacherServer() as server:
        server.newer = True
        texts = ask(make_requests(server.url, 3), make_settings(server.url, concurrency=1))
        assert len(texts) == 3
        assert len(server.arrivals) == 4


def test_a_429_makes_everybody_wait():
    # One at a time, so that the last 429 comes long after the first one's own pause is over.
    with TeacherServer(fault_rate=1.0, faults=("429",), latency=0.02, slots=1) as server:
        server.most_faults = 1
        assert len(ask(make_requests(server.url, 20), make_settings(server.url))) == 20
        seen, again = set(), []
        for at, name in server.arrivals:
            again += [at] if name in seen else []
            seen.add(name)
        assert min(again) - min(at for at, _ in server.arrivals) > 0.3


def test_the_same_request_twice_in_one_run_is_sent_once():
    with TeacherServer(latency=0.05) as server:
        one = make_request(server.url, "Why?")
        assert len({*ask([one, one, one], make_settings(server.url))}) == 1
        assert len(server.arrivals) == 1


def test_stored_answers_that_the_limits_no_longer_allow_are_asked_again():
    with TeacherServer() as server:
        requests = make_requests(server.url, 5)
        ask(requests, make_settings(server.url))
        with pytest.raises(UserError, match="no usable response: too long, 4 times"):
            ask(requests, make_settings(server.url), check=lambda text: "too long")


def test_a_live_teacher_serves_coroutines_of_ones_own():
    with TeacherServer(latency=0.02) as server:
        teacher = LiveTeacher(make_settings(server.url))

        async def chain(number):
            first = await teacher.respond(make_request(server.url, f"What is {number}?"), about="a")
            await asyncio.sleep(0)
            return (await teacher.respond(make_request(server.url, first.text), about="b")).text

        assert len(set(teacher.run(together(chain(n) for n in range(10)), 20, "chains"))) == 10
