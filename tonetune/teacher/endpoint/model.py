"""Models behind OpenAI-compatible endpoints, named `endpoint:<model>` (OpenAI) or `endpoint:<model>@<base URL>`."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tonetune.core.errors import UserError
from tonetune.core.params import Evaluate, Params
from tonetune.core.rows import Answer, Message
from tonetune.teacher.endpoint.address import Knobs, split_name
from tonetune.teacher.endpoint.protocol import Unusable, together
from tonetune.teacher.endpoint.request import Request

PREFIX = "endpoint:"
JUDGE = "evaluate.judge"
CHECKED_WITH = (Message(role="user", content="Reply with one letter: A."),)
CHECK = "is it there?"


class EndpointModel:
    """A model behind an endpoint, asked with the teacher's limits, budget and store: nothing is paid for twice."""

    def __init__(self, name: str, params: Params, key: str):
        model, url = split_name(name, PREFIX, key)
        limit = "evaluate.judge_max_tokens" if key == JUDGE else "evaluate.max_new_tokens"
        self.knobs = Knobs(address=key, model=key, limit=limit)
        self.settings = params.teacher.model_copy(update={"model": model, "base_url": url, "batch": False})
        self.is_teacher = (model, url) == (params.teacher.model, params.teacher.base_url)
        # OpenAI applies no template of ours; another server that knows no such field refuses it once (dialect.py).
        templated = url is not None and params.chat_template_kwargs
        self.extra_body: dict[str, Any] = {
            **({"chat_template_kwargs": dict(params.chat_template_kwargs)} if templated else {}),
            **(params.teacher.extra_body if self.is_teacher else {}),
            **params.evaluate.extra_body.get(model, {}),
        }
        """Further fields of every request: the template's variables, for the teacher its own, and those of params.yaml."""

    def respond(
        self,
        chats: Sequence[Sequence[Message]],
        samples: Sequence[int],
        temperature: float,
        max_tokens: int,
        label: str,
        extras: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[str]:
        """One response to each chat, as a local model would give it: one that is cut off stays as it is.

        `samples` tells apart several to one, `extras` are its further fields. What is refused or empty is "", and that is
        counted and said; only if all of them are, it is a `UserError`.
        """
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
        from tonetune.teacher.endpoint.live import LiveTeacher  # here, because importing openai takes a second

        teacher = LiveTeacher(self.settings, knobs=self.knobs)

        async def one(request: Request) -> str | Unusable:
            try:
                return (await teacher.respond(request, about=label, whole=False)).text
            except Unusable as reason:
                return reason

        replies = teacher.run(together(one(request) for request in requests), len(requests), label)
        faults = Counter(str(reply) for reply in replies if not isinstance(reply, str))
        if faults:
            fault, _ = faults.most_common(1)[0]
            if faults.total() == len(replies):
                raise UserError(f"{self.knobs.model}: {self.settings.model}: {label}: no usable response: {fault}")
            print(
                f"warning: {self.knobs.model}: {self.settings.model}: {label}: {faults.total()} of {len(replies)} responses "
                f"are missing, and count as empty: {fault}",
                file=sys.stderr,
            )
        return [reply if isinstance(reply, str) else "" for reply in replies]

    def answer(
        self, chats: Sequence[Sequence[Message]], seeds: Sequence[int], settings: Evaluate, label: str
    ) -> list[str]:
        """One answer to each chat, sampled by its seed as `settings` say; `UserError`s are those of `respond`."""
        # Many servers keep a seed in 32 bits with a sign.
        extras = [{"top_p": settings.top_p, "seed": seed % 2**31} for seed in seeds]
        return self.respond(chats, seeds, settings.temperature, settings.max_new_tokens, label, extras)


def judge_model(params: Params, answers: Sequence[Answer]) -> EndpointModel:
    """The model that `evaluate.judge` names. `answers` are the teacher's: whoever wrote them cannot judge."""
    model = EndpointModel(str(params.evaluate.judge), params, JUDGE)
    if model.settings.model in {params.teacher.model, *(answer.teacher for answer in answers)}:
        raise UserError(f"{JUDGE}: {model.settings.model!r} wrote the data; choose another model")
    return model


def check_judge(params: Params, answers: Sequence[Answer]) -> None:
    """Ask the judge one small thing, as it will be asked; a `UserError` if it wrote the data or cannot be asked."""
    if params.evaluate.judge is not None:
        settings = params.evaluate
        model = judge_model(params, answers)
        model.respond([CHECKED_WITH], [0], settings.judge_temperature, settings.judge_max_tokens, f"judge: {CHECK}")


def check_rival(name: str, params: Params, knob: str) -> None:
    """Ask the rival `endpoint:...` of the parameter `knob` one small thing, as it will be asked; a `UserError` if it cannot be."""
    EndpointModel(name, params, knob).answer([CHECKED_WITH], [0], params.evaluate, f"{name}: {CHECK}")
