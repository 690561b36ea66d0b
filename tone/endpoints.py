"""Models behind OpenAI-compatible endpoints, named `endpoint:<model>` (OpenAI) or `endpoint:<model>@<base URL>`."""

from collections.abc import Sequence

from tone.errors import UserError
from tone.params import Params
from tone.rows import Message
from tone.teacher.requests import Request

PREFIX = "endpoint:"


class EndpointModel:
    """A model behind an endpoint, asked with the teacher's limits, budget and store: nothing is paid for twice."""

    def __init__(self, name: str, params: Params, key: str):
        model, _, url = name.removeprefix(PREFIX).partition("@")
        if not name.startswith(PREFIX) or not model:
            raise UserError(f"{key}: {name!r} must be endpoint:<model> or endpoint:<model>@<base URL>")
        self.settings = params.teacher.model_copy(update={"model": model, "base_url": url or None, "batch": False})
        self.is_teacher = (model, url or None) == (params.teacher.model, params.teacher.base_url)

    def respond(
        self,
        chats: Sequence[Sequence[Message]],
        samples: Sequence[int],
        temperature: float,
        max_tokens: int,
        label: str,
    ) -> list[str]:
        """One response to each chat; `samples` tells apart several to the same chat."""
        requests = [
            Request(
                base_url=self.settings.base_url,
                model=self.settings.model,
                messages=tuple(chat),
                temperature=temperature,
                max_tokens=max_tokens,
                sample=sample,
                extra_body=self.settings.extra_body or None,
            )
            for chat, sample in zip(chats, samples, strict=True)
        ]
        from tone.teacher.live import ask  # here, because importing openai takes a second

        return ask(requests, self.settings, title=label)
