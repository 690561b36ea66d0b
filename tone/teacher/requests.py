"""What the teacher is asked, and the key by which a request finds its response."""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict

from tone.params import Params
from tone.persona import Persona
from tone.rows import Message, Question

QUESTIONS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"questions": {"type": "array", "items": {"type": "string"}}},
    "required": ["questions"],
    "additionalProperties": False,
}
LATER = ("json_schema", "extra_body")  # not in the key where they are not sent: older keys stay valid


class Request(BaseModel):
    """One chat request. Two requests share a `key` only if everything that decides the response is equal."""

    model_config = ConfigDict(frozen=True)

    base_url: str | None
    model: str
    messages: tuple[Message, ...]
    temperature: float
    max_tokens: int
    sample: int = 0
    json_schema: dict[str, Any] | None = None
    """The response is to be JSON of this schema."""
    extra_body: dict[str, Any] | None = None
    """Further fields of the request, as the endpoint names them."""

    @cached_property
    def key(self) -> str:
        absent = {name for name in LATER if not getattr(self, name)}
        canonical = json.dumps(self.model_dump(exclude=absent), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:24]

    def body(self) -> dict[str, Any]:
        """What is sent to `/chat/completions`."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [message.model_dump() for message in self.messages],
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }
        if self.json_schema:
            schema = {"name": "response", "strict": True, "schema": self.json_schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body | (self.extra_body or {})


class Asking:
    """Builds the requests of one run's params; replay, live and import all build theirs here."""

    def __init__(self, params: Params, persona: Persona):
        self.params = params
        self.persona = persona
        self.prompts = persona.prompts or params.questions.prompts
        self.questions_wanted = min(
            params.questions.per_prompt, persona.questions_per_prompt or params.questions.per_prompt
        )

    def questions(self, category: str, rounds: Sequence[str], sample: int = 0) -> Request:
        """The request for a category's next list of questions, after the responses of earlier `rounds`."""
        settings = self.params.questions
        messages = [Message(role="user", content=self.prompts[category])]
        for response in rounds:
            messages.append(Message(role="assistant", content=response))
            messages.append(Message(role="user", content=settings.more))
        return self._request(messages, settings.temperature, settings.max_tokens, sample)

    def question_forms(self, category: str, rounds: Sequence[str], sample: int = 0) -> list[Request]:
        """The same request in the forms that `questions.json_schema` allows, the preferred one first."""
        plain = self.questions(category, rounds, sample)
        structured = plain.model_copy(update={"json_schema": QUESTIONS_SCHEMA})
        return {"auto": [structured, plain], "always": [structured], "never": [plain]}[
            self.params.questions.json_schema
        ]

    def persona_answer(self, question: Question, history: Sequence[Message], sample: int = 0) -> Request:
        """The request for the persona's answer; `history` is the talk that a follow-up follows."""
        messages = [Message(role="system", content=self.persona.system), *history]
        messages.append(Message(role="user", content=question.text))
        return self._request(messages, self.params.answers.temperature, self.params.answers.max_tokens, sample)

    def plain_answer(self, question: Question, persona_answer: str, sample: int = 0) -> Request:
        """The request for the same content without the tone."""
        settings = self.params.answers
        text = settings.plain_user.replace("{question}", question.text).replace("{answer}", persona_answer)
        messages = [Message(role="system", content=settings.plain_system), Message(role="user", content=text)]
        return self._request(messages, settings.temperature, settings.max_tokens, sample)

    def _request(self, messages: Sequence[Message], temperature: float, max_tokens: int, sample: int) -> Request:
        teacher = self.params.teacher
        return Request(
            base_url=teacher.base_url,
            model=teacher.model,
            messages=tuple(messages),
            temperature=temperature,
            max_tokens=max_tokens,
            sample=sample,
            extra_body=teacher.extra_body or None,
        )
