"""How many requests are in flight at once: fewer after a time-out, as a slow server of one's own works on one or two."""

import asyncio


class Slots:
    """At most `most` hold a slot at once; half as many after a time-out, then one more after every full round of replies."""

    def __init__(self, most: int):
        self.most = most
        self.limit = most
        self.taken = 0
        self._good = 0
        self._era = 0  # counts the time-outs that were acted on
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

    def era(self) -> int:
        """What `timed_out` wants to know of the moment in which a request was sent."""
        return self._era

    def timed_out(self, era: int) -> None:
        """A request timed out; those that were sent together with it do not count again."""
        if era == self._era:
            self._era += 1
            self._good = 0
            self.limit = max(1, min(self.limit, self.taken) // 2)

    def replied(self) -> None:
        """A reply came in time."""
        self._good += 1
        if self._good >= self.limit and self.limit < self.most:
            self.limit, self._good = self.limit + 1, 0

    async def again(self) -> None:
        """Give the slot back and wait for one: fewer may be left."""
        await self.__aexit__()
        await self.__aenter__()
