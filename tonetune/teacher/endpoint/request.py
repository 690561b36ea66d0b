"""One chat request to an OpenAI-compatible endpoint, and the key by which it finds its stored response."""

import hashlib
import json
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict

from tonetune.core.rows import Message

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
