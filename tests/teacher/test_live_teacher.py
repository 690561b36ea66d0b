"""The live teacher: the real client against a real local server that fails in every way a server can."""

import asyncio
import gzip
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.teacher_server import TeacherServer, digest
from tests.support.workspace import ROOT
from tonetune.core.errors import UserError
from tonetune.core.params import Teacher, load_params
from tonetune.core.rows import Answer, Example, Message, Question, read_dropped, read_rows
from tonetune.teacher.endpoint import store as store_module
from tonetune.teacher.endpoint.live import LiveTeacher, ask
from tonetune.teacher.endpoint.protocol import together
from tonetune.teacher.endpoint.request import Request
from tonetune.teacher.endpoint.store import Store

KEY = "sk-proj-Zq8rT2uVx7WnM4kP9sLd"
DEFAULTS = load_params(ROOT / "params.yaml").teacher.model_dump()


def make_settings(url, **changes):
    mine = {"mode": "live", "base_url": url, "model": "test-model", "timeout": 60, "batch_poll": 0.1}
    return Teacher.model_validate(DEFAULTS | mine | changes)


def make_request(url, text, **settings):
    messages = (Message(role="system", content="Be yourself."), Message(role="user", content=text))
    mine = {"base_url": url, "model": "test-model", "temperature": 0.8, "max_tokens": 220}
    return Request(messages=messages, **(mine | settings))


def make_requests(url, count):
    return [make_request(url, f"What is number {i} good for?") for i in range(count)]


def digest_of(request):
    return digest(request.body())


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A store of its own, a key in the environment, and nobody else's settings."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def live(workspace, monkeypatch):
    """A function that turns the copy of the repo to a server."""
    monkeypatch.setenv("DVC_ROOT", str(workspace.root))

    def turn(server, **changes):
        mine = {
            "teacher__mode": "live",
            "teacher__base_url": server.url,
            "teacher__model": "test-model",
            "teacher__timeout": 60,
            "teacher__batch_poll": 0.1,
            "questions__per_prompt": 5,
        }
        workspace.set(**(mine | changes))
        return workspace

    return turn


# Every response, once


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
        assert len(read_rows(space.root / "data/answers.jsonl", Answer)) == 2 * 44


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
        space = live(server, teacher__concurrency=4, teacher__timeout=60)
        space.stage("questions")
        environment = os.environ | {"DVC_ROOT": str(space.root)}
        command = [sys.executable, "-m", "stages.answers"]
        process = subprocess.Popen(command, cwd=space.root, env=environment, stderr=subprocess.PIPE, text=True)
        while sum(server.successes.values()) < 20:
            time.sleep(0.05)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=10)
        assert time.monotonic() - started < 2
        assert process.returncode == 130
        assert "Traceback" not in message
        with Store(space.root / ".cache/teacher") as store:
            kept = store.count() - 4
        assert kept >= 12
        assert f"answers: {kept} of about 88 responses are there and kept" in message
        before = Counter(server.successes)
        space.stage("answers")
        assert sum((server.successes - before).values()) <= 88 - kept


# A store that cannot be used


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
        space = live(server)
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
        assert 8 < len(kept) < 92
        space.stage("answers")
        assert {server.attempts[name] for name in kept} == {1}
        assert len(read_rows(space.root / "data/answers.jsonl", Answer)) == 2 * 44


# Limits and money


@pytest.mark.parametrize("limit", [{"requests_per_minute": 10}, {"tokens_per_minute": 2400}])
def test_the_minutes_limits_hold_over_all_that_is_in_flight_retries_included(limit, monkeypatch):
    monkeypatch.setattr(store_module, "MINUTE", 1.0)
    with TeacherServer(fault_rate=0.3, faults=("500",)) as server:
        ask(make_requests(server.url, 25), make_settings(server.url, **limit))
        times = sorted(at for at, _ in server.arrivals)
        assert len(times) > 25
        # A request counts 220 tokens of response and some twenty of prompt, so the tokens allow ten as well.
        assert all(later - earlier > 0.9 for earlier, later in zip(times, times[10:], strict=False))


def test_the_money_stops_before_the_next_request_would_pass_it():
    with TeacherServer(latency=0.02) as server:
        prices = {"test-model": [0.0, 1000.0]}  # a request may cost 22 cents, and costs about 4
        settings = make_settings(server.url, max_cost=1.0, prices=prices, concurrency=8)
        requests = make_requests(server.url, 100)
        with pytest.raises(
            UserError, match=r"teacher.max_cost: 1.0 dollars: .* are left, and the next request may cost"
        ):
            ask(requests, settings)
        with Store() as store:
            kept, spent = store.count(), store.spent()
            there = [request for request in requests if store.get(request.key)]
            assert kept == sum(server.successes.values()) >= 18  # what was in flight landed and is kept
            assert 0.78 < spent <= 1.0
        before = len(server.arrivals)
        with pytest.raises(UserError, match="max_cost"):  # a later run has no new purse
            ask(requests[50:], settings)
        assert len(ask(there, settings)) == kept
        assert len(server.arrivals) == before


HOLDING = """
from tonetune.teacher.endpoint.store import Reply, Store
with Store() as store:
    store.claim("a")
    store.reserve("a", 0.9, 1.0)
    print("held", flush=True)
    store.spend("http://a", "a", Reply("", "m", None, 0, 0, ""), float(input()))
"""


@pytest.mark.parametrize("spent", [0.1, 0.9, None])
def test_money_that_another_run_has_set_aside_is_waited_for(spent):
    """That run spends some of it, all of it, or is killed."""
    with TeacherServer() as server, ThreadPoolExecutor() as pool:
        settings = make_settings(
            server.url, max_cost=1.0, prices={"test-model": [0.0, 1000.0]}
        )  # at most 22 cents each
        pipe = subprocess.PIPE
        other = subprocess.Popen([sys.executable, "-c", HOLDING], cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        try:
            assert other.stdout.readline() == "held\n"
            asking = pool.submit(ask, make_requests(server.url, 2), settings)
            time.sleep(1)
            assert not asking.done()
            assert server.arrivals == []
            if spent is not None:
                other.communicate(str(spent))
        finally:
            other.kill()
            other.wait()
        if spent == 0.9:
            with pytest.raises(UserError, match=r"0\.1000 are left, and the next request may cost 0\.2200"):
                asking.result()
        else:
            assert len(set(asking.result())) == 2


def test_two_runs_side_by_side_both_end_where_the_money_is_enough_for_both():
    with TeacherServer(latency=0.1) as server, ThreadPoolExecutor() as pool:
        # Four requests of 22 cents may be in flight at a time; all sixteen cost about 70 cents.
        settings = make_settings(server.url, max_cost=1.0, prices={"test-model": [0.0, 1000.0]})
        requests = make_requests(server.url, 16)
        runs = [pool.submit(ask, some, settings) for some in (requests[:8], requests[8:])]
        assert len({text for run in runs for text in run.result()}) == 16
        assert server.busiest <= 4
        with Store() as store:
            assert 0.5 < store.spent() <= 1.0


def test_the_estimate_counts_what_is_there_and_sends_nothing(live):
    with TeacherServer() as server:
        space = live(server, teacher__prices={"test-model": [10.0, 100.0]})
        command = (sys.executable, "-m", "scripts.estimate")
        fresh = space.run(*command).stdout.splitlines()
        assert server.arrivals == []
        assert [line.split()[:3] for line in fresh[1:4]] == [
            ["questions", "0", "4"],
            ["answers", "0", "88"],
            ["together", "0", "92"],
        ]
        assert "about $1." in fresh[4]
        space.stage("questions")
        assert "0       4" not in space.run(*command).stdout
        space.stage("answers")
        before = len(server.arrivals)
        done = space.run(*command).stdout
        assert "together        92       0" in done
        assert "nothing to pay" in done
        assert len(server.arrivals) == before


# Questions and answers through the stages


def test_a_live_run_becomes_recordings_that_replay_the_same_bytes(live):
    with TeacherServer(fault_rate=0.2, latency=0.01) as server:
        space = live(server, questions__per_prompt=60)
        space.stage("questions")
        space.stage("answers")
        assert set(server.successes.values()) == {1}
        names = ("data/questions.jsonl", "data/answers.jsonl", "data/dropped.json")
        fresh = [(space.root / name).read_bytes() for name in names]
        assert Counter(q.category for q in read_rows(space.root / names[0], Question)) == Counter(
            {"controversial": 60, "entrepreneur": 60, "funny": 60, "hilarious": 60, "basics": 24}
        )
        space.run(sys.executable, "-m", "scripts.recordings", "save")
    space.set(teacher__mode="replay")
    (space.root / ".cache").rename(space.root / "cache-of-before")
    space.stage("questions")
    space.stage("answers")
    assert [(space.root / name).read_bytes() for name in names] == fresh


def test_a_stored_answer_that_the_run_did_not_take_is_neither_counted_nor_saved(live):
    with TeacherServer(faults=("declines",)) as server:
        space = live(server, questions__exchanges=False, teacher__prices={"test-model": [10.0, 100.0]})
        estimate = (sys.executable, "-m", "scripts.estimate")
        space.stage("questions")
        space.stage("answers")
        assert "answers         40       0" in space.run(*estimate).stdout
        question = read_rows(space.root / "data/questions.jsonl", Question)[0]
        with Store(space.root / ".cache/teacher") as store:  # as if it had been kept when that was no fault
            text = "I'm sorry, but I can't say."
            store.database.execute("UPDATE responses SET text = ? WHERE about = ?", (text, question.text))
        assert "answers         38       2" in space.run(*estimate).stdout
        server.fault_rate, server.most_faults = 1.0, 100
        space.stage("answers")
        names = ("data/answers.jsonl", "data/dropped.json")
        fresh = [(space.root / name).read_bytes() for name in names]
        assert [row.question_id for row in read_dropped(space.root / names[1])] == [question.id]
        space.run(sys.executable, "-m", "scripts.recordings", "save")
    space.set(teacher__mode="replay")
    space.stage("answers")
    assert [(space.root / name).read_bytes() for name in names] == fresh


def test_an_endpoint_without_json_schema_is_asked_for_lists(live):
    with TeacherServer() as server:
        server.structured = False
        space = live(server, questions__exchanges=False)
        space.stage("questions")
        assert len(read_rows(space.root / "data/questions.jsonl", Question)) == 20
        space.set(questions__json_schema="always", questions__per_prompt=6)
        result = space.stage("questions", check=False)
        assert "questions.json_schema" in result.stderr
        server.structured = True
        space.stage("questions")
        assert len(read_rows(space.root / "data/questions.jsonl", Question)) == 24


def test_a_model_that_repeats_itself_is_stopped_with_a_clear_message(live):
    with TeacherServer() as server:
        server.repeats = True
        result = live(server, questions__per_prompt=60).stage("questions", check=False)
        assert result.returncode == 1
        assert "questions.prompts." in result.stderr
        assert "keeps repeating itself: 3 lists in a row had hardly a new question after 50 of 60" in result.stderr


def test_what_stays_unusable_is_dropped_and_listed_and_the_rest_goes_through_split(live):
    with TeacherServer(fault_rate=1.0, faults=("declines",)) as server:
        server.most_faults = 4
        space = live(server, questions__exchanges=False, questions__per_prompt=30, teacher__ask_again=1)
        server.fault_rate = 0
        space.stage("questions")
        server.fault_rate = 0.4
        server.seed = 3
        result = space.stage("answers")
        dropped = read_dropped(space.root / "data/dropped.json")
        assert 5 < len(dropped) < 60
        assert {row.reason for row in dropped} == {"declines (\"i'm sorry, but i can't\"), 2 times"}
        assert f"{len(dropped)} of 120 dropped:\n  {dropped[0].question_id}" in result.stderr
        answers = read_rows(space.root / "data/answers.jsonl", Answer)
        assert {a.question_id for a in answers}.isdisjoint(row.question_id for row in dropped)
        space.set(split__quality__most_near_questions=9999, split__quality__most_crossing=9999)
        space.stage("split")
        rows = [
            row
            for side in ("train", "validation", "test")
            for row in read_rows(space.root / f"data/{side}.jsonl", Example)
        ]
        assert len(rows) == 120 - len(dropped) == len(answers) / 2
        space.run(sys.executable, "-m", "scripts.recordings", "save")
    space.set(teacher__mode="replay")
    space.stage("answers")
    assert read_dropped(space.root / "data/dropped.json") == dropped


def test_further_samples_are_asked_for_and_train_only(live):
    with TeacherServer() as server:
        space = live(server, questions__exchanges=False, questions__per_prompt=20, answers__samples=2)
        space.stage("questions")
        space.stage("answers")
        answers = read_rows(space.root / "data/answers.jsonl", Answer)
        assert Counter((a.style, a.sample) for a in answers) == {
            (style, sample): 80 for style in ("persona", "plain") for sample in (None, 1)
        }
        assert len({a.request for a in answers}) == 320


# Safe


def test_the_key_is_in_no_file_output_or_command_line_whatever_fails(live):
    seen = []
    with TeacherServer() as server:
        space = live(server, teacher__retries=1, teacher__concurrency=1, questions__exchanges=False)
        server.key = "another"  # the server's refusal repeats the key it was sent
        cases = [(401, None), (400, KEY), (404, KEY), (403, KEY), (429, KEY), (500, KEY)]
        for status, message in cases:
            if message:
                server.key, server.always = None, (status, f"Bad: {message}", "code")
            result = space.stage("questions", check=False)
            assert result.returncode == 1
            assert result.stderr.count("error: ") == 1
            assert "Traceback" not in result.stderr
            seen.append(result.stdout + result.stderr)
            if status == 401:
                assert server.unauthorised == len(server.arrivals) == 1  # and not again
        assert "***" in seen[0]
        server.key, server.always = KEY, None
        os.environ["OPENAI_LOG"] = "debug"
        try:
            seen.append(space.stage("questions").stderr)
        finally:
            del os.environ["OPENAI_LOG"]
        server.latency = 0.2
        command = [sys.executable, "-m", "stages.answers"]
        process = subprocess.Popen(command, cwd=space.root, env=os.environ, stderr=subprocess.PIPE, text=True)
        while len(server.arrivals) < 15:
            time.sleep(0.05)
        with open(f"/proc/{process.pid}/cmdline") as file:
            seen.append(file.read())
        process.send_signal(signal.SIGINT)
        seen.append(process.communicate()[1])
    assert not [text for text in seen if KEY in text]
    files = [path for path in space.root.rglob("*") if path.is_file()]
    assert any(path.suffix == ".sqlite" for path in files)
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    assert not [path for path in files if path.suffix == ".gz" and KEY.encode() in gzip.decompress(path.read_bytes())]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


BAD = {
    "no key": ({"base_url": None}, ["OPENAI_API_KEY is not set", "base_url"]),
    "http to another machine": ({"base_url": "http://192.0.2.1/v1"}, ["unencrypted", "192.0.2.1 in teacher.allow_http"]),
    "unreachable": ({"base_url": f"http://127.0.0.1:{free_port()}/v1"}, ["no connection to http://127.0.0.1:", "is it running"]),
    "unknown model": ({"model": "gpt-99"}, ["teacher.model: 'gpt-99'", "404"]),
    "no price": ({"max_cost": 1.0}, ["teacher.max_cost", "needs the price of 'test-model'", "teacher.prices"]),
    "budget too small": ({"max_cost": 0.0001, "prices": {"test-model": [1, 9]}}, ["teacher.max_cost", "0.0001 are left", "raise it"]),
    "tokens per minute too small": ({"tokens_per_minute": 50}, ["teacher.tokens_per_minute: 50", "lower max_tokens"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_settings_get_one_clear_message(name, monkeypatch):
    changes, says = BAD[name]
    if name == "no key":
        monkeypatch.delenv("OPENAI_API_KEY")
    with TeacherServer() as server:
        settings = make_settings(server.url, retries=1, **({"base_url": server.url} | changes))
        with pytest.raises(UserError) as error:
            ask([make_request(settings.base_url, "Why?", model=settings.model)] * 3, settings)
    message = str(error.value)
    assert len(message.splitlines()) == 1
    for part in says:
        assert part in message


def test_another_machine_may_be_allowed_by_name():
    from tonetune.teacher.endpoint.client import check_key

    assert check_key(make_settings("http://box.local:8000/v1", allow_http=["box.local"])) == KEY
    assert check_key(make_settings("https://box.local/v1")) == KEY
    with pytest.raises(UserError):
        check_key(make_settings("http://localhost.example.org/v1", allow_http=["box.local"]))


@pytest.mark.parametrize("url", ["ftp://a/v1", "a.example.org/v1", "http://me:secret@a/v1"])
def test_an_address_that_is_none_or_holds_a_password_is_refused(url):
    with pytest.raises(ValueError, match="base_url"):
        make_settings(url)


# Keys, dialects, reuse


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


# Batches


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
        with pytest.raises(UserError, match=r"refused \(400: max_completion_tokens is too large.*, 2 times"):
            ask(make_requests(server.url, 3), make_settings(server.url, batch=True, ask_again=1))
        assert [len(names) for _, names in server.submissions] == [3, 3, 3]


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
        assert len(set(ask(requests, make_settings(server.url, batch=True)))) == 10
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
        # Persona answers, plain ones; and once more for the follow-ups, and for follow-ups of follow-ups.
        assert 4 <= len(server.batches) <= 6
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


def test_a_live_teacher_serves_coroutines_of_ones_own():
    with TeacherServer(latency=0.02) as server:
        teacher = LiveTeacher(make_settings(server.url))

        async def chain(number):
            first = await teacher.respond(make_request(server.url, f"What is {number}?"), about="a")
            await asyncio.sleep(0)
            return (await teacher.respond(make_request(server.url, first.text), about="b")).text

        assert len(set(teacher.run(together(chain(n) for n in range(10)), 20, "chains"))) == 10
