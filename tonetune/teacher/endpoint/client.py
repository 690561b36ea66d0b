"""The endpoint: one request sent through the `openai` package, and what comes back, errors included, in plain words."""

import ipaddress
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import openai
from httpx2 import Response
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from tonetune.core.errors import UserError
from tonetune.core.params import Teacher
from tonetune.teacher.endpoint.cost import prompt_tokens
from tonetune.teacher.endpoint.limits import TOKENS, Limits
from tonetune.teacher.endpoint.request import Request
from tonetune.teacher.endpoint.store import Reply

OPENAI = "https://api.openai.com/v1"
KEY = "OPENAI_API_KEY"
OLDER, NEWER = "max_tokens", "max_completion_tokens"  # names of the limit: each model knows one of them
LONGEST_MESSAGE = 300  # characters
LONGEST_PAUSE = 120  # seconds; where the endpoint asks for more, the client gives up


class Unsupported(Exception):
    """The endpoint does not know a part of the request."""


def endpoint_url(settings: Teacher) -> str:
    """Where requests go."""
    return settings.base_url or OPENAI


def check_key(settings: Teacher) -> str:
    """The API key from the environment; a `UserError` if there is none, or none that may be sent to this address."""
    key = os.environ.get(KEY, "").strip()
    if not key and settings.base_url is None:
        raise UserError(f"{KEY} is not set; teacher.mode: live needs it, or a teacher.base_url that wants no key")
    url = urlsplit(endpoint_url(settings))
    host = url.hostname or ""
    if key and url.scheme == "http" and not _is_this_machine(host) and host not in settings.allow_http:
        raise UserError(
            f"teacher.base_url: {settings.base_url} would get {KEY} unencrypted; use https, unset the key, or list "
            f"{host} in teacher.allow_http"
        )
    if not key.isascii() or not key.isprintable():
        raise UserError(f"{KEY} holds characters that no key has; set it again")
    return key


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Endpoint:
    """Sends requests; use `open_endpoint`."""

    def __init__(self, settings: Teacher, client: AsyncOpenAI, redact: Callable[[str], str]):
        self.settings = settings
        self.client = client
        self.redact = redact
        self.url = endpoint_url(settings)
        self.limit_name = OLDER

    async def send(self, request: Request, about: str) -> Reply:
        """The endpoint's answer, usable or not; a `UserError` if it gives none, after the retries."""
        TOKENS.set(prompt_tokens(request) + request.max_tokens)
        while True:
            body = self.body(request)
            try:
                # The body as the key says it, and the response as it came: so not through the client's typed methods.
                response = await self.client.post("/chat/completions", body=body, cast_to=Response)
                return read_reply(self.redact(response.text), request)
            except openai.OpenAIError as error:
                if self.adapt(error, body):
                    continue
                if getattr(error, "code", None) == "content_filter":
                    return Reply("", request.model, None, 0, 0, "", fault="stopped by the endpoint's content filter")
                raise self.explained(error, request) from None

    def body(self, request: Request) -> dict[str, Any]:
        """The request's body in the endpoint's dialect."""
        body = request.body()
        body[self.limit_name] = body.pop(OLDER)
        return body

    def adapt(self, error: Exception, body: dict[str, Any]) -> bool:
        """Whether the same request may work in another dialect."""
        return getattr(error, "status_code", None) == 400 and OLDER in body and self.learn(str(error))

    def learn(self, says: str) -> bool:
        """Whether a refusal is of the limit's older name; from then on requests have the newer."""
        if NEWER not in says:
            return False
        self.limit_name = NEWER
        return True

    def says(self, error: Exception) -> str:
        """The error's message, in short and without the key."""
        return self.redact(" ".join(str(getattr(error, "message", error)).split()))[:LONGEST_MESSAGE]

    def explained(self, error: Exception, request: Request | None = None) -> Exception:
        """The error to raise instead: what happened, without the key, and the way out."""
        says = self.says(error)
        status = getattr(error, "status_code", None)
        code = getattr(error, "code", None) or ""
        if isinstance(error, openai.APITimeoutError):
            return UserError(
                f"teacher.base_url: {self.url} does not answer within teacher.timeout: {self.settings.timeout} seconds"
            )
        if isinstance(error, openai.APIConnectionError):
            cause = self.redact(str(error.__cause__ or error))
            return UserError(f"teacher.base_url: no connection to {self.url} ({cause}); is it running?")
        if status in (401, 403):
            return UserError(f"{KEY}: {self.url} refuses it ({status}: {says}); set another key")
        if status == 404:
            return UserError(f"teacher.model: {self.settings.model!r} is not at {self.url} (404: {says})")
        if "quota" in code:
            return UserError(f"{KEY}: its quota at {self.url} is used up ({status}: {says})")
        if status == 429:
            return UserError(
                f"{self.url}: too many requests, still after teacher.retries: {self.settings.retries}; lower teacher.concurrency or set teacher.requests_per_minute ({says})"
            )
        if request is not None and request.json_schema and status in (400, 415, 422, 501):
            return Unsupported(says)
        if status is not None and status >= 500:
            return UserError(
                f"{self.url}: fails with {status}, still after teacher.retries: {self.settings.retries} ({says})"
            )
        return UserError(f"{self.url}: refuses the request ({status or type(error).__name__}: {says})")


@asynccontextmanager
async def open_endpoint(settings: Teacher, limits: Limits) -> AsyncIterator[Endpoint]:
    """The endpoint of `settings`, every request of which, retries included, waits for its turn in `limits`."""
    key = check_key(settings)

    async def before(_: Any) -> None:
        await limits.turn()

    async def after(response: Any) -> None:
        if response.status_code == 429:
            # The client waits before it tries this one again; here all others do.
            seconds = response.headers.get("retry-after", "")
            if seconds.replace(".", "", 1).isdigit() and float(seconds) <= LONGEST_PAUSE:
                limits.pause(float(seconds))
            if b"insufficient_quota" in await response.aread():
                response.headers["x-should-retry"] = "false"

    hooks: dict[str, list[Callable[..., Any]]] = {"request": [before], "response": [after]}
    async with AsyncOpenAI(
        api_key=key or "none",
        base_url=endpoint_url(settings),
        timeout=settings.timeout,
        max_retries=settings.retries,
        http_client=DefaultAsyncHttpxClient(event_hooks=hooks, timeout=settings.timeout),
    ) as client:
        yield Endpoint(settings, client, lambda text: text.replace(key, "***") if key else text)


def read_reply(raw: str, request: Request) -> Reply:
    """What the body of a chat completion says; a broken one is a reply with a fault."""
    try:
        body = json.loads(raw)
        choice = body["choices"][0]
        message = choice["message"]
        usage = body.get("usage") or {}
        model, fingerprint = body.get("model") or request.model, body.get("system_fingerprint")
        prompt, completion = (int(usage.get(f"{name}_tokens") or 0) for name in ("prompt", "completion"))
        text = (message.get("content") or "").strip()
        finish = choice.get("finish_reason")
        refused = message.get("refusal")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return Reply("", request.model, None, 0, 0, raw, fault="not a chat completion")
    if refused:
        fault = "refused"
    elif finish == "content_filter":
        fault = "stopped by the endpoint's content filter"
    elif not text:
        fault = "empty"
    else:
        fault = None
    return Reply(text, model, fingerprint, prompt, completion, raw, fault, cut_off=finish == "length")
