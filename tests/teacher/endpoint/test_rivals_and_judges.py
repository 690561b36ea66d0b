"""Rivals and judges behind an endpoint: asked as params say, and what they refuse or cannot do is said by their own knobs."""

import pytest
from aiohttp import web

from tests.support.faulty_server.server import shaped
from tests.support.servers.scripted_server import ScriptedServer
from tests.support.servers.teacher_replies import error
from tests.support.servers.teacher_requests import make_settings
from tests.support.workspace import ROOT
from tonetune.core.errors import UserError
from tonetune.core.params import load_params
from tonetune.core.rows import Answer, Message
from tonetune.teacher.endpoint.model import EndpointModel, check_judge

pytestmark = pytest.mark.usefixtures("here")


def params_for(server, **changes):
    params = load_params(ROOT / "params.yaml")
    settings = make_settings("http://127.0.0.1:1/v1", model="the-teacher")
    evaluate = params.evaluate.model_copy(update=changes)
    return params.model_copy(update={"teacher": settings, "evaluate": evaluate})


def test_a_rivals_bad_answers_count_as_they_are_and_lose_no_other(capfd):
    def sometimes(body, count):
        said = body["messages"][-1]["content"]
        if said == "Why 1?":
            return web.json_response(shaped("refusal", ""))
        if said == "Why 2?":
            return web.json_response(shaped("cut off", "Half of what it would have said."))
        return None

    with ScriptedServer(sometimes) as server:
        model = EndpointModel(f"endpoint:test-model@{server.url}", params_for(server), "evaluate.rivals")
        chats = [[Message(role="user", content=f"Why {n}?")] for n in range(4)]
        texts = model.respond(chats, [0] * 4, 0.7, 100, "rival")
    assert [bool(text) for text in texts] == [True, False, True, True]
    assert texts[2] == "Half of what it"
    assert (
        "evaluate.rivals: test-model: rival: 1 of 4 responses are missing, and count as empty: refused"
        in capfd.readouterr().err
    )


@pytest.mark.parametrize(
    "refusal",
    [
        "Unexpected fields in the request: {'chat_template_kwargs'}",
        "Extra inputs are not permitted",
        "chat_template is not supported for Mistral tokenizers.",
        None,
    ],
)
def test_a_rivals_server_gets_the_templates_variables_where_it_takes_them(refusal, capfd):
    def refuses(body, count):
        if refusal and "chat_template_kwargs" in body:
            return error(422, refusal, "invalid_request_error")

    chats = [[Message(role="user", content=f"Why {n}?")] for n in range(3)]
    with ScriptedServer(refuses) as server:
        own = {"test-model": {"reasoning_effort": "low"}, "another": {"top_k": 1}}
        params = params_for(server, extra_body=own)
        params = params.model_copy(
            update={
                "teacher": make_settings("http://127.0.0.1:1/v1", model="the-teacher", concurrency=1),
                "chat_template_kwargs": {"enable_thinking": False},
            }
        )
        model = EndpointModel(f"endpoint:test-model@{server.url}", params, "evaluate.rivals")
        assert all(model.respond(chats, [0] * 3, 0.7, 100, "rival"))
        assert len(server.bodies) == 3 + bool(refusal)
        assert server.bodies[0]["chat_template_kwargs"] == {"enable_thinking": False}
        last = server.bodies[-1]
        assert last.get("chat_template_kwargs") == (None if refusal else {"enable_thinking": False})
        assert last["reasoning_effort"] == "low"
        assert "top_k" not in last
    assert capfd.readouterr().err.count("the endpoint refuses chat_template_kwargs") == bool(refusal)
    of_openai = EndpointModel("endpoint:gpt-4o", params, "evaluate.rivals")
    assert of_openai.extra_body == {}


def test_a_judge_is_asked_as_params_say_and_its_limit_is_named():
    def thinks(body, count):
        return web.json_response(shaped("open thought", ""))

    with ScriptedServer(thinks) as server:
        name = f"endpoint:test-model@{server.url}"
        params = params_for(server, judge=name, judge_max_tokens=300, judge_temperature=0.5)
        with pytest.raises(UserError, match=r"evaluate\.judge_max_tokens: 300 before a word was written"):
            check_judge(params, [])
        assert (server.bodies[0]["max_tokens"], server.bodies[0]["temperature"]) == (300, 0.5)


def test_a_judge_that_cannot_be_asked_is_found_out_by_one_request():
    def refuses(body, count):
        return error(404, "The model `test-model` does not exist", "model_not_found")

    answer = Answer(question_id="a", style="plain", text="Yes.", teacher="another", request="0" * 24)
    with ScriptedServer(refuses) as server:
        params = params_for(server, judge=f"endpoint:test-model@{server.url}")
        with pytest.raises(UserError, match=r"^evaluate\.judge: 'test-model' is not at"):
            check_judge(params, [answer])
        assert len(server.bodies) == 1
        with pytest.raises(UserError, match=r"^evaluate\.judge: 'test-model' wrote the data"):
            check_judge(params, [answer.model_copy(update={"teacher": "test-model"})])
