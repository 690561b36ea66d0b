"""The teacher: what is asked of it, and how a request finds its response."""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tone.errors import UserError
from tone.params import Params
from tone.persona import Persona
from tone.recordings import SHARED, Recording, read_recordings, recordings_path
from tone.rows import Message, Question


class Request(BaseModel):
    """One chat request. Two requests share a `key` only if everything that decides the response is equal."""

    model_config = ConfigDict(frozen=True)

    base_url: str | None
    model: str
    messages: tuple[Message, ...]
    temperature: float
    max_tokens: int
    sample: int = 0

    @cached_property
    def key(self) -> str:
        canonical = json.dumps(self.model_dump(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:24]


class Asking:
    """Builds the requests of one run's params; replay, live and import all build theirs here."""

    def __init__(self, params: Params, persona: Persona):
        self.params = params
        self.persona = persona
        self.prompts = persona.prompts or params.questions.prompts

    def questions(self, category: str, rounds: Sequence[str]) -> Request:
        """The request for a category's next list of questions, after the responses of earlier `rounds`."""
        settings = self.params.questions
        messages = [Message(role="user", content=self.prompts[category])]
        for response in rounds:
            messages.append(Message(role="assistant", content=response))
            messages.append(Message(role="user", content=settings.more))
        return self._request(messages, settings.temperature, settings.max_tokens)

    def persona_answer(self, question: Question, history: Sequence[Message]) -> Request:
        """The request for the persona's answer; `history` is the talk that a follow-up follows."""
        messages = [Message(role="system", content=self.persona.system), *history]
        messages.append(Message(role="user", content=question.text))
        return self._request(messages, self.params.answers.temperature, self.params.answers.max_tokens)

    def plain_answer(self, question: Question, persona_answer: str) -> Request:
        """The request for the same content without the tone."""
        settings = self.params.answers
        text = settings.plain_user.replace("{question}", question.text).replace("{answer}", persona_answer)
        messages = [Message(role="system", content=settings.plain_system), Message(role="user", content=text)]
        return self._request(messages, settings.temperature, settings.max_tokens)

    def _request(self, messages: Sequence[Message], temperature: float, max_tokens: int) -> Request:
        teacher = self.params.teacher
        return Request(
            base_url=teacher.base_url,
            model=teacher.model,
            messages=tuple(messages),
            temperature=temperature,
            max_tokens=max_tokens,
        )


class ReplayTeacher:
    """Answers from the recordings in git; never touches the network."""

    def __init__(self, paths: Sequence[Path]):
        self.paths = paths
        self.recordings = {recording.request: recording for path in paths for recording in read_recordings(path)}

    def respond(self, requests: Sequence[Request]) -> list[Recording]:
        """The recorded responses, in the order of `requests`; a `UserError` counts those that are missing."""
        missing = sum(request.key not in self.recordings for request in requests)
        if missing:
            raise UserError(
                f"{' and '.join(map(str, self.paths))}: {missing} of {len(requests)} responses are not recorded (the "
                "persona, a prompt or a setting changed).\nteacher.mode: live, with OPENAI_API_KEY or a "
                "teacher.base_url, fetches them."
            )
        return [self.recordings[request.key] for request in requests]


def make_teacher(params: Params) -> ReplayTeacher:
    """The teacher that `teacher.mode` names."""
    if params.teacher.mode == "live":
        raise UserError("teacher.mode: live is not available yet; use replay")
    return ReplayTeacher([SHARED, recordings_path(params.persona)])
