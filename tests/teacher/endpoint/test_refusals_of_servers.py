"""What a server will not do is met once, said in one line that names its knob, and costs no more than it must."""

import json

import pytest
from aiohttp import web

from tests.support.faulty_server.server import shaped
from tests.support.servers.scripted_server import ScriptedServer
from tests.support.servers.teacher_replies import completion, error
from tests.support.servers.teacher_requests import asked_each, make_request, make_requests, make_settings
from tests.support.servers.teacher_server import TeacherServer
from tonetune.core.errors import UserError
from tonetune.teacher.endpoint.live import ask
from tonetune.teacher.endpoint.store import Store

pytestmark = pytest.mark.usefixtures("here")


def test_a_limit_that_is_spent_on_thought_stops_after_a_few_and_is_named():
    def thinks(body, count):
        return web.json_response(shaped("open thought", ""))

    with ScriptedServer(thinks) as server, pytest.raises(UserError) as caught:
        asked_each(server, 40, concurrency=1)
    assert 5 <= len(server.bodies) <= 6  # of forty, none of them asked twice; the next may have left by then
    assert "cut off by answers.max_tokens: 220 before a word was written (the model thinks)" in str(caught.value)


def test_thoughts_are_neither_stored_nor_a_reason_to_ask_again():
    def thinks(body, count):
        return web.json_response(shaped("empty thought", f"Answer {count}."))

    with ScriptedServer(thinks) as server:
        texts = ask(make_requests(server.url, 4), make_settings(server.url), check=lambda text: "<" in text or None)
        assert sorted(texts) == [f"Answer {count}." for count in range(1, 5)]
        assert len(server.bodies) == 4


def test_one_moderated_question_is_dropped_and_the_others_go_on():
    def moderates(body, count):
        if "number 3 " in body["messages"][-1]["content"]:
            return error(400, "Output data may contain inappropriate content.", "data_inspection_failed")

    with ScriptedServer(moderates) as server:
        texts = asked_each(server, 8)
        assert [text.startswith("dropped: stopped by the endpoint's content filter") for text in texts] == [
            n == 3 for n in range(8)
        ]
        assert len(server.bodies) == 8


def test_a_rate_limit_in_a_body_of_status_200_makes_everybody_wait():
    def limits(body, count):
        if count <= 10:
            return web.json_response({"error": {"message": "Rate limit, try again in 0.2s", "code": 429}})

    with ScriptedServer(limits) as server:
        assert len(asked_each(server, 10, concurrency=2)) == 10
        assert len(server.bodies) <= 20 + 2


def test_another_error_in_a_body_of_status_200_is_shown_in_the_servers_words():
    def fails(body, count):
        return web.json_response({"error": {"message": "This provider takes no more orders", "code": 418}})

    with ScriptedServer(fails) as server, pytest.raises(UserError, match="This provider takes no more orders"):
        ask(make_requests(server.url, 3), make_settings(server.url))


def test_what_a_model_refuses_is_left_away_once_and_said(capfd):
    def refuses(body, count):
        if body.get("temperature", 1) != 1:
            return error(
                400, "Unsupported value: 'temperature' does not support 0.8 with this model.", "unsupported_value"
            )
        if "seed" in body:
            return error(422, "Extra inputs are not permitted: seed", "extra_forbidden")
        if body["messages"][0]["role"] == "system":
            return error(400, "System role not supported", "BadRequestError")

    with ScriptedServer(refuses) as server:
        requests = [make_request(server.url, f"Why {n}?", extra_body={"seed": n, "top_p": 0.9}) for n in range(6)]
        assert len(ask(requests, make_settings(server.url, concurrency=1))) == 6
        assert len(server.bodies) == 6 + 3
        last = server.bodies[-1]
        assert {"temperature", "seed"}.isdisjoint(last)
        assert last["top_p"] == 0.9
        assert last["messages"] == [{"role": "user", "content": "Be yourself.\n\nWhy 5?"}]
    said = capfd.readouterr().err
    assert said.count("note: teacher.model: test-model: the endpoint refuses temperature, it is left away") == 1
    assert said.count("refuses seed") == 1


def test_of_two_settings_that_go_not_together_one_stays():
    def refuses(body, count):
        if {"temperature", "top_p"} <= {*body}:
            return error(
                400, "`temperature` and `top_p` cannot both be specified for this model.", "invalid_request_error"
            )

    with ScriptedServer(refuses) as server:
        ask([make_request(server.url, "Why?", extra_body={"top_p": 0.9})], make_settings(server.url))
        assert server.bodies[-1]["temperature"] == 0.8
        assert "top_p" not in server.bodies[-1]


def test_what_is_in_flight_when_a_run_ends_by_an_error_is_kept_or_counted_at_its_most():
    def one_is_broken(body, count):
        return error(401, "No.", None) if "number 7 " in body["messages"][-1]["content"] else None

    class Slow(ScriptedServer):
        async def chat(self, request):
            body = await request.json()
            number = int(body["messages"][-1]["content"].split()[3])
            import asyncio

            await asyncio.sleep({7: 0.3, 8: 9}.get(number, 0.6))
            return await super().chat(request)

    with Slow(one_is_broken) as server:
        prices = {"test-model": [0.0, 1000.0]}  # 22 cents at most
        requests = make_requests(server.url, 10)
        with pytest.raises(UserError):
            ask(requests, make_settings(server.url, prices=prices))
        with Store() as store:
            assert [number for number in range(10) if store.get(requests[number].key)] == [0, 1, 2, 3, 4, 5, 6, 9]
            paid = store.database.execute("SELECT sum(completion_tokens) FROM spending").fetchone()[0]
            assert store.spent() == pytest.approx(paid / 1000 + 0.22)
            assert store.set_aside() == 0


def test_a_slow_server_gets_fewer_at_once_and_no_time_out_ends_a_run_that_makes_progress():
    with TeacherServer(latency=0.25, slots=1) as server:
        settings = make_settings(server.url, timeout=2.0, concurrency=24)
        assert len(set(ask(make_requests(server.url, 24), settings))) == 24


def test_a_server_that_counts_no_tokens_is_paid_by_an_estimate():
    def uncounted(body, count):
        reply = completion(body, "Twenty words or so. " * 5, None)
        return web.json_response({key: value for key, value in reply.items() if key != "usage"})

    with ScriptedServer(uncounted) as server:
        ask(make_requests(server.url, 2), make_settings(server.url, prices={"test-model": [10.0, 100.0]}))
        with Store() as store:
            assert store.spent() > 2 * 20 * 100 / 1e6


def test_batches_that_are_submitted_and_not_collected_count_against_the_money():
    with TeacherServer() as server:
        server.batch_seconds = 60
        settings = make_settings(
            server.url, batch=True, batch_wait=False, max_cost=1.0, prices={"test-model": [0.0, 2000.0]}
        )
        requests = make_requests(server.url, 8)
        with pytest.raises(UserError, match="are submitted in 1 batches"):
            ask(requests[:4], settings)  # 22 cents each
        with Store() as store:
            assert store.in_batches() == pytest.approx(0.88)
        alone = settings.model_copy(update={"batch": False, "prices": {"test-model": [0.0, 1000.0]}})
        with pytest.raises(UserError, match=r"teacher\.max_cost: 1\.0 dollars: 0\.12"):
            ask(requests[4:], alone)
        assert server.arrivals == []
        server.batches["batch-0"]["until"] = 0
        assert len(ask(requests[:4], settings)) == 4
        with Store() as store:
            assert store.in_batches() == 0


def test_a_page_or_a_missing_version_in_the_address_is_said_in_one_line():
    def page(body, count):
        return web.Response(text="<!DOCTYPE html><html></html>", content_type="text/html")

    with ScriptedServer(page) as server:
        for url, says in (
            (server.url, r"^teacher\.base_url: .* answers with a web page"),
            (
                server.url.removesuffix("/v1"),
                r"^teacher\.base_url: no chat completions at .*try http://127\.0\.0\.1:\d+/v1$",
            ),
        ):
            with pytest.raises(UserError, match=says):
                ask([make_request(url, "Why?")], make_settings(url))
        assert len(server.bodies) == 1

    def elsewhere(body, count):
        return web.json_response({"error": "Unexpected endpoint or method. (POST /chat/completions)"})

    with (
        ScriptedServer(elsewhere) as server,
        pytest.raises(UserError, match=r"^teacher\.base_url: no chat completions .*Unexpected endpoint"),
    ):
        ask([make_request(server.url, "Why?")], make_settings(server.url))
    assert json.dumps(server.bodies).count("Why?") == 1
