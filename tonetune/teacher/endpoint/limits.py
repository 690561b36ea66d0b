"""How fast the endpoint may be asked, retries included, and how many requests may be in flight at once."""

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar

from tonetune.core.errors import UserError
from tonetune.core.teacher_params import TeacherSettings
from tonetune.teacher.endpoint.store import Store

TOKENS: ContextVar[int] = ContextVar("TOKENS", default=0)
"""Tokens of the request that the current task is about to send, prompt and response."""
ON_SEND: ContextVar[Callable[[], None]] = ContextVar("ON_SEND", default=lambda: None)
"""Told that the current task's request leaves now."""


class Slots:
    """A semaphore whose limit changes: `async with slots` waits until fewer than `limit` requests are in flight.

    A server of one's own often works on one or two requests at a time, and lets the others wait until they time out. So a
    time-out halves the limit, and replies that come in time raise it again.

    `limit` begins at `most`. A time-out halves it, and after as many replies in time as it counts it grows by one, up to
    `most`.
    """

    def __init__(self, most: int):
        self.most = most
        self.limit = most
        self.taken = 0
        self.epoch = 0
        """How often the limit was halved. Whoever sends a request notes it, and hands it to `timed_out`."""
        self._good = 0  # replies in time since the limit last changed
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> "Slots":
        async with self._changed:
            await self._changed.wait_for(lambda: self.taken < self.limit)
            self.taken += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self.taken -= 1
        async with self._changed:
            self._changed.notify_all()

    def timed_out(self, epoch: int) -> None:
        """Halve the limit, because a request that was sent in `epoch` timed out.

        Requests sent together time out together, and that is one sign of a slow server: once the limit was halved for
        the first of them, the others are of an earlier epoch and change nothing.
        """
        if epoch == self.epoch:
            self.epoch += 1
            self._good = 0
            self.limit = max(1, min(self.limit, self.taken) // 2)

    def replied(self) -> None:
        """A reply came in time."""
        self._good += 1
        if self._good >= self.limit and self.limit < self.most:
            self.limit, self._good = self.limit + 1, 0

    async def again(self) -> None:
        """Give the slot back and wait for another, before a request is sent again: the limit may have fallen meanwhile."""
        await self.__aexit__()
        await self.__aenter__()


class Limits:
    """Makes whoever sends a request wait for their turn.

    The minute's count is in the store and not in one process, so experiments side by side share it.
    """

    def __init__(self, settings: TeacherSettings, endpoint: str, store: Store):
        self.settings = settings
        self.endpoint = endpoint
        self.store = store
        self.slots = Slots(settings.concurrency)
        self.paused_until = 0.0
        self._queue = asyncio.Lock()
        self._limited = settings.requests_per_minute is not None or settings.tokens_per_minute is not None

    async def turn(self) -> None:
        """Wait until one more request may be sent."""
        while (rest := self.paused_until - time.monotonic()) > 0:
            await asyncio.sleep(rest)
        if not self._limited:
            return
        tokens = TOKENS.get()
        most = self.settings.tokens_per_minute
        if most is not None and tokens > most:
            raise UserError(f"teacher.tokens_per_minute: {most}: one request may need {tokens}; lower max_tokens")
        async with self._queue:  # first come, first served
            requests = self.settings.requests_per_minute or float("inf")
            while wait := self.store.take_turn(self.endpoint, tokens, requests, most or float("inf")):
                await asyncio.sleep(wait)

    def pause(self, seconds: float) -> None:
        """Let nobody send for so long: the endpoint has said that it is too much."""
        self.paused_until = max(self.paused_until, time.monotonic() + seconds)
