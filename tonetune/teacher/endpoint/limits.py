"""How fast the endpoint may be asked, retries included."""

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar

from tonetune.core.errors import UserError
from tonetune.core.teacher_params import TeacherSettings
from tonetune.teacher.endpoint.slots import Slots
from tonetune.teacher.endpoint.store import Store

TOKENS: ContextVar[int] = ContextVar("TOKENS", default=0)
"""Tokens of the request that the current task is about to send, prompt and response."""
ON_SEND: ContextVar[Callable[[], None]] = ContextVar("ON_SEND", default=lambda: None)
"""Told that the current task's request leaves now."""


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
