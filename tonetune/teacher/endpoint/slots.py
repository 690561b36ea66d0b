"""How many requests may be in flight at once.

A server of one's own often works on one or two requests at a time, and lets the others wait until they time out. So a
time-out halves the limit, and replies that come in time raise it again.
"""

import asyncio


class Slots:
    """A semaphore whose limit changes: `async with slots` waits until fewer than `limit` requests are in flight.

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
