"""The key is told to nobody, and settings that cannot work get one clear message."""

import gzip
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.machine import free_port
from tests.support.teacher_requests import KEY, make_request, make_settings
from tests.support.teacher_server import TeacherServer
from tonetune.core.errors import UserError
from tonetune.teacher.endpoint.live import ask

pytestmark = pytest.mark.usefixtures("here")


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
