"""What a teacher offers to those who ask it, be it the recordings or a live model."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol, TypeVar

from tonetune.core.errors import UserError
from tonetune.core.rows import Recording
from tonetune.teacher.endpoint.request import Request

Result = TypeVar("Result")
ResponseCheck = Callable[[str], str | None]
"""Says what is wrong with a response's text; None if nothing is."""


class Unusable(Exception):
    """No usable response to one request, for the reason given: the others go on."""


class Teacher(Protocol):
    """Whoever responds to requests: `ReplayTeacher`, `LiveTeacher` and those that only count."""

    async def respond(
        self, *forms: Request, about: str, check: ResponseCheck | None = None, whole: bool = True
    ) -> Recording:
        """The response to a request, or `Unusable`.

        `forms` are ways to put the same request, the preferred one first; a later one serves where an earlier is not
        supported. `about` is for people. A response that `check` finds fault with is asked for again, and so is one
        that ran into `max_tokens`, unless it need not be `whole`.
        """

    def run(self, work: Coroutine[Any, Any, Result], expected: int, title: str) -> Result:
        """Run `work`, which asks about `expected` times, with a progress bar called `title` where it takes time."""


async def together(work: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Run coroutines side by side and return their results in order; the first error stops the rest."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as errors:
        raise first_error(errors) from None
    return [task.result() for task in tasks]


def first_error(errors: BaseExceptionGroup) -> BaseException:
    """The error to show of a group: one that a user can mend, if there is one."""
    mendable = errors.subgroup(UserError)
    error: BaseException = mendable or errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
