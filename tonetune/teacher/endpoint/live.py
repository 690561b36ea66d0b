"""The teacher that asks a model: what is neither recorded nor stored is sent, and every good response is stored."""

import asyncio
import os
import sys
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import Any

from tqdm import tqdm

from tonetune.core.errors import UserError
from tonetune.core.rows import Recording
from tonetune.core.teacher_params import TeacherSettings
from tonetune.teacher.endpoint.address import Knobs, check_key, endpoint_url
from tonetune.teacher.endpoint.batch import Batches, open_batches
from tonetune.teacher.endpoint.client import Endpoint, Unsupported, open_endpoint
from tonetune.teacher.endpoint.cost import Prices
from tonetune.teacher.endpoint.limits import ON_SEND, Limits
from tonetune.teacher.endpoint.protocol import ResponseCheck, Result, Unusable, together
from tonetune.teacher.endpoint.reply import Reply
from tonetune.teacher.endpoint.request import Request
from tonetune.teacher.endpoint.store import Store

POLL = 0.2  # seconds between looks at what another run has in flight or set aside
EXIT = 1.0  # seconds that an interrupted run has to put things in order
GRACE, GRACE_AFTER_ERROR = 0.8, 4.0  # seconds in which a run that ends keeps what still arrives
MAX_RECURRING = 5  # requests in a row that can never be answered end a run: all others would go the same way
MAX_EMPTY = 10  # and so many where a model thinks too long, though some of its answers were good


def ask(
    requests: Sequence[Request],
    settings: TeacherSettings,
    *,
    title: str = "asking",
    check: ResponseCheck | None = None,
    knobs: Knobs | None = None,
) -> list[str]:
    """The texts of the responses to `requests`, in order: from the store, or else from the endpoint of `settings`.

    The one call for whoever needs a model's answers: limits, retries, store, budget and progress bar included. The
    requests are for the endpoint of `settings` (`base_url`). A response that `check` finds fault with is asked for
    again; a `UserError` says so if none is usable.
    """
    teacher = LiveTeacher(settings, knobs=knobs)
    work = together(teacher.respond(request, about=title, check=check) for request in requests)
    return [recording.text for recording in teacher.run(work, len(requests), title)]


class LiveTeacher:
    """Answers from `recordings` (by request key), then from the store, then from the endpoint of `settings`."""

    def __init__(
        self, settings: TeacherSettings, recordings: Mapping[str, Recording] | None = None, knobs: Knobs | None = None
    ):
        self.knobs = knobs or Knobs()
        check_key(settings, self.knobs)
        self.settings = settings
        self.prices = Prices(settings)
        self.url = endpoint_url(settings)
        self.recordings = recordings or {}
        self.structured = True  # until the endpoint says that it knows no JSON schema

    def run(self, work: Coroutine[Any, Any, Result], expected: int, title: str) -> Result:
        """Run `work`; what arrived is kept, whatever ends it."""
        self.tokens, self.dollars = 0, 0.0
        self.good, self.recurring_faults = 0, 0
        self.grace = GRACE
        self.ended: UserError | None = None
        try:
            with (
                Store() as self.store,
                tqdm(total=expected, desc=title, unit="request", smoothing=0, file=sys.stderr) as self.bar,
            ):
                return asyncio.run(self._session(work))
        except Unusable as reason:
            raise UserError(
                f"{self.knobs.model}: {self.settings.model}: {title}: no usable response: {reason}"
            ) from None
        finally:
            work.close()

    async def respond(
        self, *forms: Request, about: str, check: ResponseCheck | None = None, whole: bool = True
    ) -> Recording:
        """The response to the request, in the first of its `forms` that is there or that the endpoint supports."""
        for request in forms:
            if recording := self._known(request, about, check):
                self._advance(known=True)
                return recording
        for request in forms[:-1]:
            if self.structured or not request.json_schema:
                try:
                    return await self._ask(request, about, check, whole)
                except Unsupported:
                    self.structured = False
        try:
            return await self._ask(forms[-1], about, check, whole)
        except Unsupported as reason:
            raise UserError(
                f"questions.json_schema: {self.url} does not support it ({reason}); set auto or never"
            ) from None

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[None]:
        """What asking needs while an event loop runs."""
        self.endpoint: Endpoint | Batches
        self.locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.budget_lock = asyncio.Lock()
        self.in_flight = 0
        self.exhausted = ""
        self.settled = asyncio.Event()
        limits = Limits(self.settings, self.url, self.store)
        self.slots = limits.slots
        async with open_endpoint(self.settings, limits, self.knobs) as endpoint:
            endpoint.lost = self._lost
            self.client = endpoint
            if not self.settings.batch:
                self.endpoint = endpoint
                yield
                return
            async with open_batches(endpoint, self.store) as batches:
                self.endpoint = batches
                yield

    async def _session(self, work: Coroutine[Any, Any, Result]) -> Result:
        try:
            async with self._opened():
                return await work
        except asyncio.CancelledError:  # Ctrl-C
            # A thread that still looks up a host's name would hold up the exit.
            stop = threading.Timer(EXIT, os._exit, [130])
            stop.daemon = True
            stop.start()
            self.bar.close()
            print(
                f"{self.bar.desc}: {self.bar.n} of about {self.bar.total} responses are there and kept; the next run "
                "asks for the rest",
                file=sys.stderr,
                flush=True,
            )
            raise

    def _known(self, request: Request, about: str, check: ResponseCheck | None) -> Recording | None:
        if request.key in self.recordings:
            return self.recordings[request.key]
        reply = self.store.get(request.key)
        # The limits may have become stricter since it was stored.
        if reply and not (check and check(reply.text)):
            return _recording(request, about, reply)
        return None

    async def _ask(self, request: Request, about: str, check: ResponseCheck | None, whole: bool) -> Recording:
        async with self.locks[request.key]:  # the same request twice in one run is sent once
            while not self.store.claim(request.key):
                await asyncio.sleep(POLL)  # another run has it in flight
            try:
                if recording := self._known(request, about, check):
                    self._advance(known=True)
                    return recording
                return await self._asked(request, about, check, whole)
            except UserError as error:
                self.ended, self.grace = error, GRACE_AFTER_ERROR
                raise
            finally:
                self.store.release(request.key)

    async def _asked(self, request: Request, about: str, check: ResponseCheck | None, whole: bool) -> Recording:
        """Ask until the reply is good, as often as `ask_again` says, or once where that would not help."""
        for times in range(1, 2 + self.settings.ask_again):
            reply = await self._send(request, about)
            fault = self._fault(request, reply, check, whole)
            if fault is None:
                self.store.put(request, about, reply)
                self.good, self.recurring_faults = self.good + 1, 0
                self._advance(known=False)
                return _recording(request, about, reply)
            # Moderation and the length of one request say nothing about the others.
            own = reply.moderated or (reply.too_long and self.bar.n > 0)
            if reply.empty_at_limit or (reply.lasting and not own):
                self.recurring_faults += 1
                if self.recurring_faults >= (MAX_EMPTY if self.good and reply.empty_at_limit else MAX_RECURRING):
                    none = f"none of the {'last' if self.good else 'first'} {self.recurring_faults} responses is usable"
                    raise UserError(f"{self.knobs.model}: {self.settings.model}: {none}: {fault}")
            if reply.lasting or (reply.empty_at_limit and (self.good == 0 or times > 1)):
                break
        raise Unusable(fault if times == 1 else f"{fault}, {times} times")

    def _fault(self, request: Request, reply: Reply, check: ResponseCheck | None, whole: bool) -> str | None:
        """Why a reply is not to be used; None if it is good."""
        name = self.knobs.limit if whole or self.knobs != Knobs() else "questions.max_tokens"
        limit = f"{name}: {request.max_tokens}"
        if reply.empty_at_limit:
            return f"cut off by {limit} before a word was written ({reply.fault}); raise it, or switch thinking off"
        if reply.fault:
            return f"{reply.fault}; lower {limit}" if reply.too_long else reply.fault
        if whole and reply.cut_off:
            return f"cut off by {limit}"
        return check(reply.text) if check else None

    async def _send(self, request: Request, about: str) -> Reply:
        """Send the request when there is a slot and money for it, and record what it cost."""
        async with nullcontext() if self.settings.batch else self.slots:
            if self.ended:  # whoever got the slot of the request that ended the run
                raise self.ended
            await self._reserve(request)
            self.in_flight += 1
            most = self.prices.most(request)
            ON_SEND.set(lambda: self.store.mark_in_flight(request.key, self.url, request.model, most))
            task = asyncio.ensure_future(self.endpoint.send(request, about))
            try:
                return self._settle(request, await asyncio.shield(task))
            except asyncio.CancelledError:
                await self._finish_cancelled(task, request, about)
                raise
            except Exception:
                self.store.settle(request.key)
                raise
            finally:
                self.in_flight -= 1
                self.settled.set()

    def _settle(self, request: Request, reply: Reply) -> Reply:
        """Book what a reply cost, in place of what was set aside for its request."""
        dollars = max(reply.dollars, self.prices.dollars(reply.prompt_tokens, reply.completion_tokens))
        self.store.spend(self.url, request.key, reply, dollars)
        self.tokens += reply.prompt_tokens + reply.completion_tokens
        self.dollars += dollars
        return reply

    async def _finish_cancelled(self, task: "asyncio.Task[Reply]", request: Request, about: str) -> None:
        """Deal with a request that is under way (`task`) when the run is cancelled, as the endpoint may bill it.

        A reply within `grace` seconds is booked, and kept if it is good. Without one the request stays noted as in flight
        and counts at its most; one that failed costs nothing. Batches go on at the endpoint.
        """
        self.client.closing = True
        if self.settings.batch:
            task.cancel()
            return
        await asyncio.wait([task], timeout=self.grace)
        if not task.done():
            task.cancel()
        elif not task.cancelled() and task.exception() is None:
            reply = self._settle(request, task.result())
            if not reply.fault and not reply.cut_off:
                self.store.put(request, about, reply)
                self._advance(known=False)
        else:
            self.store.settle(request.key)

    def _lost(self, request: Request) -> None:
        """Book what may have been billed for a response that never came, at its most."""
        dollars = self.prices.most(request)
        self.store.book(self.url, request.model, 0, 0, dollars)
        self.dollars += dollars

    async def _reserve(self, request: Request) -> None:
        """Set the money for a request aside, or wait for what this and other runs may still free; stop if that is too little."""
        if self.settings.max_cost is None:
            return
        most = self.prices.most(request)
        async with self.budget_lock:  # one looks into the store, however many wait
            while not self.exhausted:
                if self.store.reserve(request.key, most, self.settings.max_cost):
                    return
                self.store.release_stale_claims()
                left = (
                    self.settings.max_cost
                    - self.store.spent()
                    - (0 if self.settings.batch else self.store.in_batches())
                )
                if most > left and self.in_flight == 0:
                    self.exhausted = (
                        f"teacher.max_cost: {self.settings.max_cost} dollars: {max(0.0, left):.4f} are left, and the "
                        f"next request may cost {most:.4f}. What was asked so far is kept; raise it to go on."
                    )
                else:
                    self.settled.clear()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self.settled.wait(), POLL)
        raise UserError(self.exhausted)

    def _advance(self, known: bool) -> None:
        """One more response is there; those that were there before count for the bar but not for the time left."""
        bar = self.bar
        if bar.total is not None and bar.n >= bar.total:
            bar.total = bar.n + 1
        if known:
            bar.initial += 1
        money = f", ${self.dollars:.4f}" if self.prices.prices else ""
        bar.set_postfix_str(f"{self.tokens} tokens{money}", refresh=False)
        bar.update()


def _recording(request: Request, about: str, reply: Reply) -> Recording:
    return Recording(request=request.key, about=about, teacher=reply.model, text=reply.text)
