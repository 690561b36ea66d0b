"""The teacher that answers from the recordings in git."""

import asyncio
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from tonetune.core.errors import UserError
from tonetune.core.rows import Recording
from tonetune.teacher.endpoint.protocol import ResponseCheck, Result, Unusable
from tonetune.teacher.endpoint.request import Request
from tonetune.teacher.recordings import read_recordings

MEND = "teacher.mode: live, with OPENAI_API_KEY or a teacher.base_url, fetches them."


class ReplayTeacher:
    """Answers from the recordings; never touches the network."""

    def __init__(self, paths: Sequence[Path], mend: str = MEND):
        self.paths = paths
        self.mend = mend
        self.recordings = {recording.request: recording for path in paths for recording in read_recordings(path)}
        self.asked = 0
        self.missing = 0

    async def respond(
        self, *forms: Request, about: str, check: ResponseCheck | None = None, whole: bool = True
    ) -> Recording:
        """The recorded response; whether it is any good was settled when it was recorded."""
        self.asked += 1
        for request in forms:
            if recording := self.recordings.get(request.key):
                if recording.dropped:
                    raise Unusable(recording.text)
                return recording
        self.missing += 1
        raise Unusable("not recorded")

    def run(self, work: Coroutine[Any, Any, Result], expected: int, title: str) -> Result:
        """Run `work`; a `UserError` counts the requests without a recording."""
        try:
            result = asyncio.run(work)
        except Unusable:
            if not self.missing:
                raise
        if self.missing:
            raise UserError(
                f"{' and '.join(map(str, self.paths))}: {self.missing} of {self.asked} responses are not recorded (the "
                "persona, a prompt or a setting changed).\n" + self.mend
            )
        return result
