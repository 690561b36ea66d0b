"""Models behind OpenAI-compatible endpoints, named `endpoint:<model>` (OpenAI) or `endpoint:<model>@<base URL>`."""

from collections.abc import Mapping, Sequence
from typing import Any

from tonetune.core.errors import UserError
from tonetune.core.params import Params
from tonetune.core.rows import Message
from tonetune.teacher.endpoint.request import Request

PREFIX = "endpoint:"


class EndpointModel:
    """A model behind an endpoint, asked with the teacher's limits, budget and store: nothing is paid for twice."""

    def __init__(self, name: str, params: Params, key: str):
        model, _, url = name.removeprefix(PREFIX).partition("@")
        if not name.startswith(PREFIX) or not model:
            raise UserError(f"{key}: {name!r} must be endpoint:<model> or endpoint:<model>@<base URL>")
        self.settings = params.teacher.model_copy(update={"model": model, "base_url": url or None, "batch": False})
        self.is_teacher = (model, url or None) == (params.teacher.model, params.teacher.base_url)
        self.extra_body = params.teacher.extra_body if self.is_teacher else {}
        """Fields for the teacher's endpoint, which another model's may not know."""

    def respond(
        self,
        chats: Sequence[Sequence[Message]],
        samples: Sequence[int],
        temperature: float,
        max_tokens: int,
        label: str,
        extras: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[str]:
        """One response to each chat; `samples` tells apart several to one, `extras` are its further fields."""
        requests = [
            Request(
                base_url=self.settings.base_url,
                model=self.settings.model,
                messages=tuple(chat),
                temperature=temperature,
                max_tokens=max_tokens,
                sample=sample,
                extra_body={**self.extra_body, **extra} or None,
            )
            for chat, sample, extra in zip(chats, samples, extras or [{}] * len(chats), strict=True)
        ]
        from tonetune.teacher.endpoint.live import ask  # here, because importing openai takes a second

        return ask(requests, self.settings, title=label)
