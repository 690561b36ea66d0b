"""The key is told to nobody, and settings that cannot work get one clear message."""

import gzip
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.machine import free_port
from tests.support.servers.teacher_requests import KEY, make_request, make_settings
from tests.support.servers.teacher_server import TeacherServer
from tests.support.workspace import ROOT
from tonetune.core.errors import UserError
from tonetune.core.params import load_params
from tonetune.teacher.endpoint.address import check_key, is_this_machine, split_name
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
    "http to another machine": ({"base_url": "http://192.0.2.1/v1", "api_key_env": {"192.0.2.1": "OPENAI_API_KEY"}}, ["unencrypted", "192.0.2.1 in teacher.allow_http"]),
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
    def key(url, **changes):
        return check_key(
            make_settings(
                url, api_key_env={"box.local": "OPENAI_API_KEY", "localhost.example.org": "OPENAI_API_KEY"}, **changes
            )
        )

    assert key("http://box.local:8000/v1", allow_http=["box.local"]) == KEY
    assert key("https://box.local/v1") == KEY
    with pytest.raises(UserError):
        key("http://localhost.example.org/v1", allow_http=["box.local"])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost.", "a.localhost", "0.0.0.0", "::1", "::"])
def test_this_machine_has_many_names(host):
    assert is_this_machine(host)
    assert not any(map(is_this_machine, ("10.0.0.1", "localhost.example.org", "box.local")))


def test_a_key_goes_to_its_own_host_only_and_each_host_has_its_own(monkeypatch):
    monkeypatch.setenv("OTHER_KEY", "sk-other")
    params = load_params(ROOT / "params.yaml")
    assert check_key(make_settings(None, api_key_env=params.teacher.api_key_env)) == KEY
    for url in ("https://api.example.org/v1", "http://127.0.0.1:8000/v1", "https://api.openai.com.example.org/v1"):
        assert check_key(make_settings(url, api_key_env=params.teacher.api_key_env)) == ""
    named = {"api.example.org": "OTHER_KEY", "127.0.0.1:8001": "OPENAI_API_KEY"}
    assert check_key(make_settings("https://api.example.org/v1", api_key_env=named)) == "sk-other"
    assert check_key(make_settings("http://127.0.0.1:8001/v1", api_key_env=named)) == KEY
    assert check_key(make_settings("http://127.0.0.1:8002/v1", api_key_env=named)) == ""
    with pytest.raises(UserError, match="NOT_THERE is not set"):
        check_key(make_settings("https://api.example.org/v1", api_key_env={"api.example.org": "NOT_THERE"}))
    with pytest.raises(UserError) as caught:
        check_key(make_settings("https://api.example.org/v1", api_key_env={"api.example.org": KEY}))
    assert KEY not in str(caught.value)


def test_what_is_sent_to_another_host_holds_neither_key_nor_account(monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", KEY)
    seen = []

    class Listening(TeacherServer):
        async def chat(self, request):
            seen.append(dict(request.headers))
            return await super().chat(request)

    with Listening() as server:
        ask([make_request(server.url, "Why?")], make_settings(server.url, api_key_env={}))
    assert KEY not in str(seen)
    assert "org-mine" not in str(seen)


@pytest.mark.parametrize(
    ("name", "model", "url"),
    [
        ("endpoint:gpt-4o", "gpt-4o", None),
        ("endpoint:claude@20250101", "claude@20250101", None),
        ("endpoint:a/b@c@https://host/v1", "a/b@c", "https://host/v1"),
        ("endpoint:@cf/meta/llama@https://host/v1", "@cf/meta/llama", "https://host/v1"),
        ("endpoint:llama3.2:1b@http://127.0.0.1:11434/v1", "llama3.2:1b", "http://127.0.0.1:11434/v1"),
    ],
)
def test_a_models_name_may_hold_what_separates_its_address(name, model, url):
    assert split_name(name, "endpoint:", "evaluate.judge") == (model, url)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gpt-4o", "must be endpoint:<model>"),
        ("endpoint:", "must be endpoint:<model>"),
        ("endpoint:m@localhost:9/v1", r"write endpoint:m@http://localhost:9/v1"),
        ("endpoint:m@api.example.org/v1", r"write endpoint:m@http://api\.example\.org/v1"),
        ("endpoint:m@gpu-box/v1", "write endpoint:m@http://gpu-box/v1"),
        ("endpoint:m@//localhost:1/v1", "write endpoint:m@http://localhost:1/v1"),
        ("endpoint:m@https:/h/v1", "write endpoint:m@https://h/v1"),
        ("endpoint:m @ https://h/v1", "write endpoint:m@https://h/v1"),
        ("endpoint:@https://h/v1", "must be endpoint:<model>"),
        ("endpoint:@cf/meta/llama", "must be endpoint:<model>"),
        ("endpoint:m@http://me:secret@a/v1", "holds no user, password"),
    ],
)
def test_an_address_that_cannot_work_names_the_rival_or_the_judge(name, says):
    with pytest.raises(UserError, match=rf"^evaluate\.judge: .*{says}"):
        split_name(name, "endpoint:", "evaluate.judge")


def test_no_proxy_is_asked_for_this_machine_and_one_that_cannot_be_used_is_named(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", f"http://me:secret@127.0.0.1:{free_port()}")
    with TeacherServer() as server:
        assert ask([make_request(server.url, "Why?")], make_settings(server.url))
    far = make_settings("https://api.example.org/v1", retries=0)
    with pytest.raises(
        UserError, match=r"no connection to https://api\.example\.org/v1 .*through the proxy of ALL_PROXY"
    ) as caught:
        ask([make_request(far.base_url, "Why?")], far)
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("ALL_PROXY", "carrier://127.0.0.1:1")
    with pytest.raises(UserError, match=r"^ALL_PROXY: a proxy of a kind that cannot be used"):
        ask([make_request(far.base_url, "Why?")], far)


@pytest.mark.parametrize(
    "url",
    ["ftp://a/v1", "a.example.org/v1", "http://me:secret@a/v1", "http://a/v1/chat/completions", "http://a:port/v1"],
)
def test_an_address_that_is_none_or_holds_a_password_is_refused(url):
    with pytest.raises(ValueError, match="base_url"):
        make_settings(url)
