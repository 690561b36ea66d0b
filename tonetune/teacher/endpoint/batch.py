"""The Batch API: requests gathered into files that the endpoint works off within a day, at half the price."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import openai

from tonetune.core.errors import UserError
from tonetune.teacher.endpoint.client import MAX_PAUSE, Endpoint, Unsupported, refuses_schema
from tonetune.teacher.endpoint.cost import Prices
from tonetune.teacher.endpoint.problem import MAX_MESSAGE, Problem, problem_in
from tonetune.teacher.endpoint.protocol import first_error
from tonetune.teacher.endpoint.reply import FILTERED, Reply, failed, read_reply
from tonetune.teacher.endpoint.request import Request
from tonetune.teacher.endpoint.store import Store

GATHER = 0.3  # seconds without a new request before those that wait are submitted
MAX_LINES = 50_000  # the API's limits
MAX_BYTES = 190_000_000
MARK = "tonetune"  # the key of our token in a batch's metadata
FINAL = ("completed", "expired", "failed", "cancelled")


class OtherDialect(Exception):
    """The line was refused for a setting that can be put otherwise or left away; so it may work."""


class Batches:
    """Sends requests as lines of batches; use `open_batches`.

    A batch is noted in the store before it is submitted and forgotten when its results are in, so a run that is killed
    is followed by one that waits for the same batch.
    """

    def __init__(self, endpoint: Endpoint, store: Store):
        self.endpoint = endpoint
        self.store = store
        self.settings = endpoint.settings
        self.prices = Prices(self.settings)
        self.waiting: dict[str, asyncio.Future[Reply | None]] = {}
        self.fresh: dict[str, tuple[Request, str]] = {}
        self.lines: dict[str, dict[str, tuple[Request, str]]] = {}
        self.sent_without: dict[str, frozenset[str]] = {}  # what each line lacked that the endpoint refuses
        self.arrived = asyncio.Event()

    async def send(self, request: Request, about: str) -> Reply:
        """The reply in a batch's results; a line that the batch left without one goes into the next."""
        for _ in range(1 + self.settings.retries):
            future = self.waiting[request.key] = asyncio.get_running_loop().create_future()
            if not any(request.key in lines for lines in self.lines.values()):
                self.fresh[request.key] = request, about
                self.arrived.set()
            if (reply := await future) is not None:
                return reply
        raise UserError(f"{self.endpoint.url}: batches give no result to a line, even after teacher.retries")

    async def work(self) -> None:
        """Submit what gathers and fetch what is ready, as long as the run lasts."""
        try:
            while True:
                await self._gather()
                await self._resume()
                await self._submit()
                finished = [await self._collect(token) for token in list(self.lines)]
                if not any(finished) and not self.fresh:
                    await self._rest()
        except openai.OpenAIError as error:
            if (status := getattr(error, "status_code", None)) in (404, 405):
                raise UserError(
                    f"teacher.batch: true: {self.endpoint.url} offers no batches ({status}: "
                    f"{self.endpoint.says(error)}); set it to false"
                ) from None
            raise self.endpoint.explained(error) from None

    async def _rest(self) -> None:
        """Nothing to do until a batch is ready or a request comes."""
        if self.lines and not self.settings.batch_wait:
            count = sum(map(len, self.lines.values()))
            raise UserError(
                f"teacher.batch: {count} requests are submitted in {len(self.lines)} batches that are not ready; run "
                "again later to go on"
            )
        self.arrived.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.arrived.wait(), self.settings.batch_poll)

    async def _resume(self) -> None:
        """Take up the batches that runs which are no more have left, also one killed before it knew its batch's id."""
        left = {
            token: identifier
            for token, identifier in self.store.open_batches(self.endpoint.url)
            if token not in self.lines and self.store.claim(token)
        }
        for token, identifier in left.items():
            if identifier is None and await self._find(token) is None:
                self.store.close_batch(token)  # never submitted
            else:
                self.lines[token] = self.store.batch_lines(token)
                for key in self.lines[token]:
                    self.fresh.pop(key, None)

    async def _find(self, token: str) -> str | None:
        """The id of the batch with our token, if the endpoint has it; noted in the store."""
        async for batch in self.endpoint.client.batches.list(limit=100):
            if (batch.metadata or {}).get(MARK) == token:
                self.store.name_batch(token, batch.id)
                return batch.id
        return None

    async def _gather(self) -> None:
        """Wait until no request has come for a moment: one answer's successor is the next batch's."""
        count = -1
        while len(self.fresh) != count:
            count = len(self.fresh)
            await asyncio.sleep(GATHER)

    async def _submit(self) -> None:
        while self.fresh:
            lines: list[tuple[Request, str]] = []
            content = b""
            while self.fresh and len(lines) < MAX_LINES and len(content) < MAX_BYTES:
                key = next(iter(self.fresh))
                request, about = self.fresh.pop(key)
                line = {"custom_id": key, "method": "POST", "url": "/v1/chat/completions"}
                content += json.dumps(line | {"body": self.endpoint.dialect.body(request)}).encode() + b"\n"
                self.sent_without[key] = self.endpoint.dialect.refused
                lines.append((request, about))
            token = uuid.uuid4().hex
            self.store.claim(token)
            self.store.open_batch(token, self.endpoint.url, lines, self.prices.most)
            file = await self.endpoint.client.files.create(file=("requests.jsonl", content), purpose="batch")
            await self._create(token, file.id)
            self.lines[token] = {request.key: (request, about) for request, about in lines}

    async def _create(self, token: str, file: str) -> None:
        """Create the batch once, even where the answer to the first attempt is lost."""
        client = self.endpoint.client.with_options(max_retries=0)
        for attempt in range(1 + self.settings.retries):
            try:
                batch = await client.batches.create(
                    input_file_id=file,
                    endpoint="/v1/chat/completions",
                    completion_window="24h",
                    metadata={MARK: token},
                )
            except (openai.APIConnectionError, openai.InternalServerError, openai.RateLimitError) as error:
                if attempt == self.settings.retries or getattr(error, "code", None) == "insufficient_quota":
                    raise
                await asyncio.sleep(min(2**attempt, MAX_PAUSE))
                if await self._find(token):
                    return
            else:
                self.store.name_batch(token, batch.id)
                return

    async def _collect(self, token: str) -> bool:
        """Fetch a batch's results if it is done; whether it is."""
        try:
            text = await self._results(token)
        except openai.NotFoundError:
            text = (
                ""  # the endpoint has forgotten the batch or its results, but not the bill: its lines go into the next
            )
            for request, _ in self.lines[token].values():
                self.endpoint.lost(request)
        if text is None:
            return False
        replies = self._read(text, self.lines[token])
        for key, (request, about) in self.lines.pop(token).items():
            reply = replies.get(key)
            if isinstance(reply, OtherDialect):
                if key in self.waiting:
                    self.fresh[key] = request, about  # still the same try
                continue
            future = self.waiting.pop(key, None)
            if future and not future.done():
                if isinstance(reply, Exception):
                    future.set_exception(reply)
                else:
                    future.set_result(reply)
            elif isinstance(reply, Reply) and self.store.get(key) is None:
                # Nobody waits for it in this run, but it is paid for.
                dollars = self.prices.dollars(reply.prompt_tokens, reply.completion_tokens)
                self.store.spend(self.endpoint.url, key, reply, dollars)
                if not reply.fault and not reply.cut_off:
                    self.store.put(request, about, reply)
        # Whoever waits now runs up to storing what is good; only then may the batch be forgotten.
        await asyncio.sleep(0)
        self.store.close_batch(token)
        return True

    async def _results(self, token: str) -> str | None:
        """The lines of a batch's results; None if it is not done."""
        identifier = dict(self.store.open_batches(self.endpoint.url))[token]
        client = self.endpoint.client
        batch = await client.batches.retrieve(str(identifier))
        if batch.status not in FINAL:
            return None
        if batch.status == "failed":
            self.store.close_batch(token)
            reasons = "; ".join(error.message or "" for error in (batch.errors and batch.errors.data) or [])
            says = self.endpoint.redact(" ".join(reasons.split()))[:MAX_MESSAGE]
            raise UserError(f"teacher.batch: {self.endpoint.url} refuses the batch ({says})")
        texts = []
        for name in filter(None, (batch.output_file_id, batch.error_file_id)):
            try:
                texts.append(self.endpoint.redact((await client.files.content(name)).text))
            except openai.NotFoundError:
                if name == batch.output_file_id:  # of errors only, nothing that was paid is lost
                    raise
        return "\n".join(texts)

    def _read(self, text: str, lines: dict[str, tuple[Request, str]]) -> dict[str, Reply | Exception]:
        """The reply, or what else is to be said, of each line of the results that will not do better next time."""
        replies: dict[str, Reply | Exception] = {}
        for line in filter(None, text.split("\n")):  # not splitlines: a text may hold other separators as they are
            try:
                result: dict[str, Any] = json.loads(line)
                request, _ = lines[result["custom_id"]]
                response = result.get("response") or {}
                status, body = int(response.get("status_code") or 500), response.get("body") or {}
            except (ValueError, KeyError, AttributeError, TypeError, RecursionError, OverflowError):
                continue
            if isinstance(earlier := replies.get(request.key), Reply) and not earlier.fault:
                continue  # a good answer stays, whatever else is said of its line
            raw = json.dumps(body)
            if status == 200 and (problem := problem_in(raw)) is None:
                replies[request.key] = read_reply(raw, request)
                continue
            problem = problem_in(raw, status) or Problem(status, "", raw)
            if 400 <= problem.status < 500 and problem.status not in (408, 409, 425, 429):
                replies[request.key] = self._line_refused(problem, request)
        return replies

    def _line_refused(self, problem: Problem, request: Request) -> Reply | Exception:
        says = problem.says[:MAX_MESSAGE]
        if problem.moderated:
            return failed(request, f"{FILTERED} ({says})", lasting=True)
        dialect = self.endpoint.dialect
        lacked = self.sent_without.get(request.key, frozenset())
        if dialect.learn(problem, dialect.body_without(request, lacked)) and dialect.refused - lacked:
            return OtherDialect()
        if refuses_schema(problem, request):
            return Unsupported(says)
        if problem.status in (400, 413, 422):
            return failed(request, f"refused ({problem.shown}: {says})", lasting=True)
        return UserError(f"{self.endpoint.url}: refuses a line of a batch ({problem.shown}: {says})")


@asynccontextmanager
async def open_batches(endpoint: Endpoint, store: Store) -> AsyncIterator[Batches]:
    """Batches on the endpoint, worked off beside whoever sends requests."""
    batches = Batches(endpoint, store)
    try:
        async with asyncio.TaskGroup() as group:
            worker = group.create_task(batches.work())
            yield batches
            worker.cancel()
    except BaseExceptionGroup as errors:
        raise first_error(errors) from None
