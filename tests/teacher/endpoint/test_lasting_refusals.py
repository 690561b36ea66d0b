"""What a server refuses for good ends the run and names its knob; what it refuses for a while ends none that makes progress."""

import asyncio

import pytest
from aiohttp import web

from tests.support.faulty_server.server import shaped
from tests.support.servers.scripted_server import ScriptedServer
from tests.support.servers.teacher_replies import completion, error
from tests.support.servers.teacher_requests import asked_each, make_request, make_requests, make_settings
from tonetune.core.errors import UserError
from tonetune.teacher.endpoint.live import LiveTeacher, ask
from tonetune.teacher.endpoint.store import Store

pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.parametrize(
    ("status", "code", "message", "says"),
    [
        (400, "", "Your credit balance is too low to access the API.", r"^OPENAI_API_KEY: its quota at .*\(400: Your credit"),
        (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", r"^OPENAI_API_KEY: .*set another key"),
        (403, "model_not_found", "Project has no access to test-model", r"^teacher\.model: 'test-model' is not at"),
        (404, "", "No endpoints found for qwen/qwen3.", r"^teacher\.model: 'test-model' is not at"),
        (404, "", "No models loaded. Please load a model.", r"^teacher\.model: 'test-model' is not at"),
        (403, "unsupported_country_region_territory", "Country not supported", r"^teacher\.base_url: .* serves nobody from here"),
        (400, "", "This model's maximum context length is 2048 tokens.", r"; lower answers\.max_tokens: 220$"),
        (400, "", "Out of order.", r"none of the last 5 responses is usable: refused \(400: Out of order\.\)$"),
    ],
)  # fmt: skip
def test_a_refusal_that_lasts_ends_the_run_also_after_good_replies_and_names_its_knob(status, code, message, says):
    def refuses(body, count):
        return error(status, message, code) if count > after else None

    after = 0 if "context" in message else 3
    with ScriptedServer(refuses) as server:
        with pytest.raises(UserError, match=says):
            asked_each(server, 40, concurrency=1)
        assert len(server.bodies) <= after + 6


def test_requests_that_are_too_long_are_dropped_where_others_are_answered():
    def refuses(body, count):
        return error(413, "Request too large", None) if count > 2 else None

    with ScriptedServer(refuses) as server:
        texts = asked_each(server, 12, concurrency=1)
        assert len(server.bodies) == 12
    assert [text.startswith("dropped: refused (413: Request too large); lower answers") for text in texts].count(
        True
    ) == 10


def test_a_model_that_thinks_too_long_now_and_then_is_paid_twice_and_not_four_times():
    def thinks(body, count):
        return web.json_response(shaped("open thought", "")) if "number 3 " in body["messages"][-1]["content"] else None

    with ScriptedServer(thinks) as server:
        texts = asked_each(server, 8, concurrency=1)
        assert [text.startswith("dropped") for text in texts] == [n == 3 for n in range(8)]
        assert len(server.bodies) == 7 + 2


def test_a_model_that_thinks_too_long_from_some_answer_on_ends_the_run():
    def thinks(body, count):
        return web.json_response(shaped("open thought", "")) if count > 3 else None

    with ScriptedServer(thinks) as server:
        with pytest.raises(UserError, match=r"none of the last 10 responses is usable: cut off by answers\.max_tokens"):
            asked_each(server, 40, concurrency=1)
        assert len(server.bodies) <= 3 + 11


def test_a_limit_of_the_endpoint_ends_no_run_that_makes_progress():
    """One request gets more 429s than there are retries, while others are answered."""
    refused = []

    def limits(body, count):
        if "number 0 " in body["messages"][-1]["content"] and count < 50:
            refused.append(count)
            return error(429, "Slow down. Try again in 10ms.", None)

    with ScriptedServer(limits) as server:
        assert len(asked_each(server, 60, concurrency=3, retries=4)) == 60
        assert len(refused) > 5


def test_fewer_are_asked_at_once_after_a_429_that_names_no_pause():
    class Narrow(ScriptedServer):
        async def chat(self, request):
            self.inside = getattr(self, "inside", 0) + 1
            try:
                await asyncio.sleep(0.05)
                return error(429, "Too many at once", None) if self.inside > 2 else await super().chat(request)
            finally:
                self.inside -= 1

    with Narrow(lambda body, count: None) as server:
        assert len(asked_each(server, 16, concurrency=16, retries=3)) == 16


def test_a_long_wait_that_is_asked_for_is_said():
    def waits(body, count):
        return error(429, "Come tomorrow", None, {"Retry-After": "3600"})

    with ScriptedServer(waits) as server:
        with pytest.raises(UserError, match=r"asks to wait 3600 seconds, .* run this again then: .*429: Come tomorrow"):
            asked_each(server, 3, concurrency=1)
        assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (400, "Conversation roles must alternate user/assistant/user/assistant/..."),
        (500, "Jinja Exception: System role not supported"),
    ],
)
def test_a_template_without_a_system_role_is_learnt_under_any_status(status, says):
    def refuses(body, count):
        return error(status, says, None) if body["messages"][0]["role"] == "system" else None

    with ScriptedServer(refuses) as server:
        assert len(asked_each(server, 3, concurrency=1)) == 3
        assert len(server.bodies) == 4


def test_a_list_that_is_too_long_for_the_model_is_not_taken_for_a_schema_that_it_does_not_know():
    def refuses(body, count):
        return error(400, f"max_tokens is too large: {body['max_tokens']}", "invalid_request_error")

    with ScriptedServer(refuses) as server:
        request = make_request(server.url, "Why?", json_schema={"type": "object"})
        teacher = LiveTeacher(make_settings(server.url))
        with pytest.raises(UserError, match=r"too large: 220\); lower questions\.max_tokens: 220$"):
            teacher.run(teacher.respond(request, about="one", whole=False), 1, "one")
        assert len(server.bodies) == 1


def test_a_schema_that_is_refused_with_a_500_is_left_away():
    def refuses(body, count):
        return error(500, "Failed to parse grammar of json_schema", None) if "response_format" in body else None

    with ScriptedServer(refuses) as server:
        forms = [make_request(server.url, "Why?", json_schema=schema) for schema in ({"type": "object"}, None)]
        teacher = LiveTeacher(make_settings(server.url))
        assert teacher.run(teacher.respond(*forms, about="one"), 1, "one").text
        assert len(server.bodies) == 2


def test_an_error_beside_an_answer_is_tried_again_and_what_it_cost_is_counted():
    def breaks(body, count):
        half = completion(body, "Half of it", None) | {"error": {"message": "Upstream idle timeout", "code": 504}}
        return web.json_response(half) if count == 1 else None

    with ScriptedServer(breaks) as server:
        prices = {"test-model": [0.0, 1000.0]}  # 22 cents at most
        assert ask(make_requests(server.url, 1), make_settings(server.url, prices=prices))[0] != "Half of it"
        with Store() as store:
            assert store.spent() > 0.22


def test_a_prompt_that_a_filter_stops_without_a_message_is_asked_once():
    def filters(body, count):
        if "number 3 " in body["messages"][-1]["content"]:
            return web.json_response({"choices": [{"index": 0, "message": None, "finish_reason": "content_filter"}]})

    with ScriptedServer(filters) as server:
        texts = asked_each(server, 8)
        assert [text.startswith("dropped: stopped by the endpoint's content") for text in texts] == [
            n == 3 for n in range(8)
        ]
        assert len(server.bodies) == 8
