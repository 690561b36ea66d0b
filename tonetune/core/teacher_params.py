"""The section `teacher` of params.yaml: whom to ask, how, and what it may cost."""

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator

from tonetune.core.gate_params import Count, Limit, Positive, Section
from tonetune.core.validation import Text

OPENAI = "https://api.openai.com/v1"  # what base_url: null stands for


def address_fault(value: str) -> str | None:
    """Why no request can go to this address; None if one can."""
    try:
        url = urlsplit(value)
        _ = url.port
    except ValueError as error:
        return f"is no address ({error})"
    if url.scheme not in ("http", "https") or not url.hostname:
        known = "" if "://" in value else f"; write http://{value.lstrip('/')}"
        return f"is http://<host>/<path> or https://<host>/<path>{known}"
    if "@" in url.netloc or url.query:
        return "holds no user, password or query: what is secret goes into the variable that teacher.api_key_env names"
    if re.search(r"/(chat/)?completions/?$", url.path):
        return "ends before /chat/completions, which is added to it"
    return None


def _without_knobs(value: dict[str, Any]) -> dict[str, Any]:
    known = {"model", "messages", "temperature", "max_tokens", "max_completion_tokens", "response_format"}
    if taken := sorted({*value} & (known | {"n", "stream"})):
        raise ValueError(f"{taken[0]} has its own knob or cannot be changed")
    return value


ExtraBody = Annotated[dict[Text, Any], AfterValidator(_without_knobs)]
"""Further fields of a request."""


class TeacherSettings(Section):
    """The section `teacher`; rivals and the judge are asked with the same limits."""

    mode: Literal["replay", "live"]
    model: Text
    base_url: Text | None
    api_key_env: dict[Text, Text]
    extra_body: ExtraBody
    ask_again: Limit
    concurrency: Annotated[int, Field(ge=1, le=1000)]
    requests_per_minute: Count | None
    tokens_per_minute: Count | None
    timeout: Positive
    retries: Limit
    max_cost: Annotated[float, Field(ge=0)] | None
    prices: dict[Text, Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=2, max_length=2)]]
    allow_http: list[Text]
    batch: bool
    batch_wait: bool
    batch_poll: Positive

    @field_validator("base_url")
    @classmethod
    def _plain_url(cls, value: str | None) -> str | None:
        if value is not None and (fault := address_fault(value)):
            raise ValueError(fault)
        return value
