"""The limits of a minute and the money hold over all that is in flight, and the estimate says what a run will cost."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import genai_prices
import pytest

from tests.support.servers.teacher_requests import make_requests, make_settings
from tests.support.servers.teacher_server import TeacherServer
from tests.support.workspace import EXCHANGES, ROOT
from tonetune.core.errors import UserError
from tonetune.teacher.endpoint import store as store_module
from tonetune.teacher.endpoint.cost import listed_prices
from tonetune.teacher.endpoint.live import ask
from tonetune.teacher.endpoint.store import Store

pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.parametrize("limit", [{"requests_per_minute": 10}, {"tokens_per_minute": 2400}])
def test_the_minutes_limits_hold_over_all_that_is_in_flight_retries_included(limit, monkeypatch):
    monkeypatch.setattr(store_module, "MINUTE", 2.0)
    with TeacherServer(fault_rate=0.3, faults=("500",)) as server:
        ask(make_requests(server.url, 25), make_settings(server.url, **limit))
        times = sorted(at for at, _ in server.arrivals)
        assert len(times) > 25
        # A request counts 220 tokens of response and some twenty of prompt, so the tokens allow ten as well.
        # Half a second for a busy machine, on which a request may arrive late.
        assert all(later - earlier > 1.5 for earlier, later in zip(times, times[10:], strict=False))


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
            assert kept == sum(server.successes.values()) >= 18  # what was in flight was settled and is kept
            assert 0.78 < spent <= 1.0
        before = len(server.arrivals)
        with pytest.raises(UserError, match="max_cost"):  # a later run has no new budget
            ask(requests[50:], settings)
        assert len(ask(there, settings)) == kept
        assert len(server.arrivals) == before


def test_a_price_that_changes_with_the_hour_counts_at_its_highest(monkeypatch):
    def by_the_hour(usage, *, genai_request_timestamp=None, **_):
        dear = genai_request_timestamp is not None and genai_request_timestamp.hour == 13
        per_token = (4e-6 if dear else 1e-6) * (usage.input_tokens or 0)
        return SimpleNamespace(input_price=per_token, output_price=3 * per_token)

    monkeypatch.setattr(genai_prices, "calc_price", by_the_hour)
    assert listed_prices.__wrapped__("a-model", None) == pytest.approx((4.0, 12.0))


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
        answers = 3 * 20 + 2 * EXCHANGES  # the plain one and two of the persona's to each of twenty questions
        fresh = space.run(*command).stdout.splitlines()
        assert server.arrivals == []
        assert [line.split()[:3] for line in fresh[1:4]] == [
            ["questions", "0", "4"],
            ["answers", "0", str(answers)],
            ["together", "0", str(4 + answers)],
        ]
        prompt, response = (int(number) for number in fresh[3].split()[3:5])
        assert f"about ${(prompt * 10 + response * 100) / 1e6:.2f}," in fresh[4]
        space.stage("questions")
        assert "0       4" not in space.run(*command).stdout
        space.stage("answers")
        before = len(server.arrivals)
        done = space.run(*command).stdout
        assert f"together      {4 + answers}       0" in done
        assert "nothing to pay" in done
        assert len(server.arrivals) == before
