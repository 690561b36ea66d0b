"""The endpoint: one request sent through the `openai` package, tried again where that may help, errors in plain words."""

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import Any

import openai
from httpx2 import ConnectError, ConnectTimeout, PoolTimeout, ProxyError, Response
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from tonetune.core.errors import UserError
from tonetune.core.teacher_params import TeacherSettings
from tonetune.teacher.endpoint.address import (
    Knobs,
    check_key,
    endpoint_url,
    host_of,
    is_this_machine,
    key_name,
    proxy_of,
    with_version,
)
from tonetune.teacher.endpoint.cost import prompt_tokens
from tonetune.teacher.endpoint.dialect import Dialect
from tonetune.teacher.endpoint.limits import ON_SEND, TOKENS, Limits
from tonetune.teacher.endpoint.problem import MAX_MESSAGE, NO_MODEL, Problem, is_billed, problem_in
from tonetune.teacher.endpoint.reply import FILTERED, TOO_LONG, Reply, failed, read_reply
from tonetune.teacher.endpoint.request import Request

MAX_PAUSE = 120  # seconds; where the endpoint asks for more, the client gives up
MAX_BACKOFF = 8.0  # seconds between tries where the endpoint names no pause
COUNTRY = re.compile(r"country|region.{0,20}not (?:supported|available)|unsupported.region|your location", re.I)
# In an error of whatever status.
SCHEMA = re.compile(r"schema|grammar|response.?format|guided.?(?:json|decoding)", re.I)
NOT_SENT = (ConnectError, ConnectTimeout, PoolTimeout, ProxyError)


class Unsupported(Exception):
    """The endpoint does not know a part of the request."""


class Endpoint:
    """Sends requests; use `open_endpoint`."""

    def __init__(
        self, settings: TeacherSettings, client: AsyncOpenAI, limits: Limits, redact: Callable[[str], str], knobs: Knobs
    ):
        self.settings = settings
        self.client = client
        self.once = client.with_options(max_retries=0)
        self.limits = limits
        self.slots = limits.slots
        self.redact = redact
        self.knobs = knobs
        self.url = endpoint_url(settings)
        self.dialect = Dialect(f"{knobs.model}: {settings.model}")
        self.answered = 0
        self.lost: Callable[[Request], None] = lambda request: None  # told of what was sent, without an answer to it
        self.closing = False

    async def send(self, request: Request, about: str) -> Reply:
        """The endpoint's answer, usable or not; a `UserError` if it gives none, after the retries.

        A time-out or a 429 is no try as long as other requests are answered: then the server is slow and not dead.
        """
        tries, answered = 0, self.answered
        while True:
            TOKENS.set(prompt_tokens(request) + request.max_tokens)
            body = self.dialect.body(request)
            epoch = self.slots.epoch
            wait = None
            try:
                # The body as the key says it, and the response as it came: so not through the client's typed methods.
                response = await self.once.post("/chat/completions", body=body, cast_to=Response)
                raw = self.redact(response.text)
                if (problem := problem_in(raw)) is None:
                    self._check_address(raw)
                    self.answered += 1
                    self.slots.replied()
                    return read_reply(raw, request)
                error: Exception | None = None
                if is_billed(raw):
                    self.lost(request)
            except openai.APITimeoutError as timeout:
                error, problem = timeout, None
                if not isinstance(timeout.__cause__, NOT_SENT):
                    self.lost(request)
                    self.slots.timed_out(epoch)
                tries, answered = self._tries(tries, answered)
            except openai.APIConnectionError as broken:
                error, problem = broken, None
                if not isinstance(broken.__cause__, NOT_SENT):
                    self.lost(request)
            except openai.APIStatusError as refused:
                error, problem = refused, self.problem(refused)
                wait = _retry_after(refused.response.headers)
            except openai.OpenAIError as other:
                raise self.explained(other, request) from None
            if problem is not None:
                if problem.moderated:
                    return failed(request, f"{FILTERED} ({self.short(problem)})", lasting=True)
                if self.dialect.learn(problem, body):
                    continue
                wait = problem.wait if wait is None else wait
                if _passes(problem) and (wait or 0) > MAX_PAUSE:
                    raise UserError(
                        f"{self.url}: asks to wait {wait:.0f} seconds, and here none waits for more than {MAX_PAUSE}; run "
                        f"this again then: what was asked so far is kept ({problem.shown}: {self.short(problem)})"
                    )
                if not _passes(problem) or (request.json_schema and SCHEMA.search(problem.says)):
                    return self._refused(problem, request)
                if problem.status == 429:
                    if wait is None:  # else all wait, which is enough
                        self.slots.timed_out(epoch)
                    tries, answered = self._tries(tries, answered)
            tries += 1
            if tries > self.settings.retries or self.closing:
                raise self._explained(problem, request) if problem else self.explained(error or Exception(), request)
            limited = problem is not None and problem.status == 429
            growth, longest = (2.5, MAX_PAUSE) if limited else (2, MAX_BACKOFF)  # a limit may be a minute's
            pause = wait or min(longest, 0.5 * growth ** (tries - 1)) * random.uniform(0.75, 1)
            if limited:
                self.limits.pause(pause)
            await asyncio.sleep(pause)
            await self.slots.again()

    def _tries(self, tries: int, answered: int) -> tuple[int, int]:
        """The tries that count and how many were answered by then: none do where others were answered since."""
        return (0, self.answered) if self.answered > answered else (tries, answered)

    def _refused(self, problem: Problem, request: Request) -> Reply:
        """A reply without text where the fault is this request's own; else raises."""
        error = self._explained(problem, request)
        if problem.status in (400, 413, 422) and not isinstance(error, Unsupported):
            return failed(request, f"refused ({problem.shown}: {self.short(problem)})", lasting=True)
        raise error

    def _check_address(self, raw: str) -> None:
        """Refuse a web page: whoever answers so has no chat completions at this address."""
        if raw.lstrip()[:1] == "<" and re.match(r"\s*<(?:!doctype|html|head|body|\?xml)", raw, re.I):
            raise UserError(f"{self.knobs.address}: {self.url} answers with a web page{self._try_version()}")

    def _try_version(self) -> str:
        better = with_version(self.url)
        return (
            f"; most servers' address ends in /v1: try {better}" if better else "; is it the address of the interface?"
        )

    def problem(self, error: openai.APIStatusError) -> Problem:
        """What an error status says, without the key."""
        problem = problem_in(self.redact(error.response.text), error.status_code)
        return problem or Problem(error.status_code, "", self.says(error))

    def short(self, problem: Problem) -> str:
        """A server's words, on one line and not too long."""
        return problem.says[:MAX_MESSAGE]

    def says(self, error: Exception) -> str:
        """The error's message, in short and without the key."""
        return self.redact(" ".join(str(getattr(error, "message", error)).split()))[:MAX_MESSAGE]

    def explained(self, error: Exception, request: Request | None = None) -> Exception:
        """The error to raise instead: what happened, without the key, and the way out."""
        knob = self.knobs.address
        if isinstance(error, openai.APIStatusError):
            return self._explained(self.problem(error), request)
        if isinstance(error, openai.APITimeoutError):
            return UserError(
                f"{knob}: {self.url} does not answer within teacher.timeout: {self.settings.timeout:g} seconds; for a "
                "slow server raise it, and set teacher.concurrency to what it works on at once (often 1)"
            )
        if isinstance(error, openai.APIConnectionError):
            cause = self.redact(str(error.__cause__ or error))
            through = proxy_of(self.settings)
            way = (
                f"through the proxy of {through}; unset it or list the host in NO_PROXY"
                if through
                else "is it running?"
            )
            return UserError(f"{knob}: no connection to {self.url} ({cause}); {way}")
        return UserError(f"{knob}: {self.url}: {type(error).__name__}: {self.says(error)}")

    def _explained(self, problem: Problem, request: Request | None) -> Exception:
        status, says, knobs = problem.status, self.short(problem), self.knobs
        said = f"{problem.shown}: {says}"
        name = key_name(self.settings)
        if status in (401, 403) and COUNTRY.search(f"{problem.code} {says}"):
            return UserError(f"{knobs.address}: {self.url} serves nobody from here, with whatever key ({said})")
        if status in (401, 403) and not problem.moderated:
            return UserError(f"{name}: {self.url} refuses it ({said}); set another key")
        if status in (404, 405):
            text = f"{problem.code} {says}"
            named = "model" in text.lower() and self.settings.model.lower() in says.lower()
            if named or NO_MODEL.search(text):
                return UserError(f"{knobs.model}: {self.settings.model!r} is not at {self.url} ({said})")
            way = self._try_version()
            return UserError(f"{knobs.address}: no chat completions at {self.url} ({said}){way}")
        if "quota" in problem.code or status == 402:
            return UserError(f"{name}: its quota at {self.url} is used up ({said})")
        if status == 429:
            return UserError(
                f"{self.url}: too many requests, still after teacher.retries: {self.settings.retries}; lower "
                f"teacher.concurrency or set teacher.requests_per_minute ({says})"
            )
        if request is not None and refuses_schema(problem, request):
            return Unsupported(says)
        if status >= 500:
            return UserError(
                f"{self.url}: fails with {status}, still after teacher.retries: {self.settings.retries} ({says})"
            )
        return UserError(f"{self.url}: refuses the request ({said})")


def refuses_schema(problem: Problem, request: Request) -> bool:
    """Whether it may be the JSON schema that is not taken; it is not where the length of the request is."""
    about_schema = SCHEMA.search(problem.says) is not None or TOO_LONG.search(problem.says) is None
    return bool(request.json_schema) and problem.status in (400, 415, 422, 500, 501) and about_schema


def _passes(problem: Problem) -> bool:
    """Whether the same request may work in a moment."""
    if "quota" in problem.code:
        return False
    return problem.status in (408, 409, 425, 429) or (problem.status >= 500 and problem.status != 501)


def _retry_after(headers: Any) -> float | None:
    """Seconds that a response's headers ask to wait; None if they do not say."""
    milliseconds, seconds = headers.get("retry-after-ms", ""), headers.get("retry-after", "")
    try:
        if milliseconds:
            return max(0.0, float(milliseconds) / 1000)
        return max(0.0, float(seconds)) if seconds else None
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(seconds).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


@asynccontextmanager
async def open_endpoint(settings: TeacherSettings, limits: Limits, knobs: Knobs) -> AsyncIterator[Endpoint]:
    """The endpoint of `settings`, every request of which, retries included, waits for its turn in `limits`."""
    key = check_key(settings, knobs)

    async def before(_: Any) -> None:
        await limits.turn()
        ON_SEND.get()()

    async def after(response: Any) -> None:
        if response.status_code == 429:
            # The client waits before it tries this one again; here all others do.
            seconds = _retry_after(response.headers)
            if seconds is not None and seconds <= MAX_PAUSE:
                limits.pause(seconds)
            if b"insufficient_quota" in await response.aread():
                response.headers["x-should-retry"] = "false"

    hooks: dict[str, list[Callable[..., Any]]] = {"request": [before], "response": [after]}
    host = host_of(settings)
    try:
        # No proxy is asked for this machine's own addresses.
        http = DefaultAsyncHttpxClient(event_hooks=hooks, timeout=settings.timeout, trust_env=not is_this_machine(host))
    except (ValueError, ImportError) as error:
        reason = str(error).splitlines()[0].partition("://")[0]
        raise UserError(
            f"{proxy_of(settings) or 'ALL_PROXY'}: a proxy of a kind that cannot be used here ({reason}); unset it, or name an "
            "http:// proxy"
        ) from None
    # OpenAI's own headers of account and project go to nobody else.
    other = {} if settings.base_url is None else {"OpenAI-Organization": openai.Omit(), "OpenAI-Project": openai.Omit()}
    async with AsyncOpenAI(
        api_key=key or "none",
        admin_api_key="",
        base_url=endpoint_url(settings),
        timeout=settings.timeout,
        max_retries=settings.retries,
        http_client=http,
        default_headers=other,  # type: ignore[arg-type]  # Omit is what the client itself takes for "without"
    ) as client:
        yield Endpoint(settings, client, limits, lambda text: text.replace(key, "***") if key else text, knobs)
