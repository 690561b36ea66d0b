"""Requests to the teacher, and the settings to send them with."""

from tests.support.servers.teacher_replies import digest
from tests.support.workspace import ROOT
from tonetune.core.params import load_params
from tonetune.core.rows import Message
from tonetune.core.teacher_params import TeacherSettings
from tonetune.teacher.endpoint.live import LiveTeacher
from tonetune.teacher.endpoint.protocol import Unusable, together
from tonetune.teacher.endpoint.request import Request

KEY = "sk-proj-Zq8rT2uVx7WnM4kP9sLd"
DEFAULTS = load_params(ROOT / "params.yaml").teacher.model_dump()


def make_settings(url, **changes):
    mine = {"mode": "live", "base_url": url, "model": "test-model", "timeout": 60, "batch_poll": 0.1}
    mine["api_key_env"] = {"127.0.0.1": "OPENAI_API_KEY", "api.openai.com": "OPENAI_API_KEY"}
    return TeacherSettings.model_validate(DEFAULTS | mine | changes)


def make_request(url, text, **settings):
    messages = (Message(role="system", content="Be yourself."), Message(role="user", content=text))
    mine = {"base_url": url, "model": "test-model", "temperature": 0.8, "max_tokens": 220}
    return Request(messages=messages, **(mine | settings))


def make_requests(url, count):
    return [make_request(url, f"What is number {i} good for?") for i in range(count)]


def asked_each(server, count, **settings):
    """The text of each response, or why there is none."""
    teacher = LiveTeacher(make_settings(server.url, **settings))

    async def one(request):
        try:
            return (await teacher.respond(request, about="one")).text
        except Unusable as reason:
            return f"dropped: {reason}"

    return teacher.run(together(one(request) for request in make_requests(server.url, count)), count, "answers")


def digest_of(request):
    return digest(request.body())
