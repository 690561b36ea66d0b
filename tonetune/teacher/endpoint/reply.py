"""The one place that reads what a server sends back: a chat completion, or an error, in any shape that servers give them."""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from tonetune.core.text import excerpt
from tonetune.teacher.endpoint.cost import prompt_tokens
from tonetune.teacher.endpoint.request import Request
from tonetune.teacher.endpoint.thoughts import without_thoughts

MAX_MESSAGE = 300  # characters of what a server says that are shown

MODERATED = re.compile(
    r"content[_ -]?(?:filter|policy|management|moderation)|data_inspection|moderat|flagged|\bunsafe|(?<!case-)(?<!case )sensitive|guardrail"
    r"|responsible ?ai|prohibited_content|inappropriate|invalid_prompt|blocklist|block_?reason|\bsafety\b",
    re.I,
)
# A word in a server's error that stands for a status, where it gives none.
STATUSES = (
    (429, re.compile(r"rate.?limit|too many requests|quota|throttl|overload|server busy|at capacity", re.I)),
    (401, re.compile(r"api.?key|unauthori[sz]ed|authentication", re.I)),
    (404, re.compile(r"model\b.*\bnot (?:be )?(?:found|exist)|does not exist|unexpected endpoint|not[_ ]found", re.I)),
    (503, re.compile(r"unavailable|internal (?:server )?error|timed? ?out|upstream|bad gateway", re.I)),
)
WAIT = re.compile(r"(?:try again|retry) (?:in|after) ([\d.]+) ?(ms|s\b|sec)", re.I)
FILTERED = "stopped by the endpoint's content filter"
LENGTH = ("length", "max_tokens", "max_length", "model_length", "max_output_tokens")


@dataclass(frozen=True)
class Reply:
    """What an endpoint answered to one request."""

    text: str
    model: str
    fingerprint: str | None
    prompt_tokens: int
    completion_tokens: int
    raw: str
    """The body of the response as it came."""
    fault: str | None = None
    """Why it cannot be used."""
    cut_off: bool = False
    """It ran into `max_tokens`."""
    empty_at_limit: bool = False
    """It ran into `max_tokens` before the answer had begun."""
    lasting: bool = False
    """Asking again would bring the same fault."""
    dollars: float = 0.0
    """What the server itself says that it cost; 0 where it says nothing."""

    @property
    def moderated(self) -> bool:
        """Whether the endpoint does not let this text through."""
        return self.fault is not None and self.fault.startswith(FILTERED)


@dataclass(frozen=True)
class Problem:
    """An error as a server put it."""

    status: int
    code: str
    says: str
    param: str = ""
    wait: float | None = None
    """Seconds that it asks to wait."""

    @property
    def moderated(self) -> bool:
        """Whether it is the text of this one request that is not liked."""
        text = f"{self.code} {self.says}"
        return self.status in (400, 403, 422, 451) and MODERATED.search(text) is not None


def read_reply(raw: str, request: Request) -> Reply:
    """What the body of a chat completion says; a broken one is a reply with a fault. Never raises."""
    body = _body(raw)
    choice = _choice(body)
    message = choice.get("message")
    if not isinstance(message, dict):
        if (blocked := _blocked(body)) is not None:
            return failed(request, f"{FILTERED} ({blocked})", raw, lasting=True)
        if isinstance(choice.get("text"), str):  # of the older interface
            message = {"content": choice["text"]}
        else:
            prompt, completion = prompt_tokens(request), request.max_tokens  # what it cost cannot be read: the most
            broken = f"not a chat completion ({excerpt(raw, 80)!r})"
            return Reply("", request.model, None, prompt, completion, raw, broken)
    content, refused = _content(message.get("content"))
    text, thought, closed = without_thoughts(content)
    refused = refused or _string(message.get("refusal"))
    reasoning = _string(message.get("reasoning_content")) or _string(message.get("reasoning"))
    finish = _string(choice.get("finish_reason")).lower()
    prompt, completion, reasoned, dollars = _usage(body, request, content + reasoning)
    thinks = thought or bool(reasoning) or reasoned > 0
    cut_off = finish in LENGTH or not closed
    fault: str | None = None
    lasting = False
    if refused:
        fault = f"refused ({excerpt(refused, 80)})"
    elif finish == "sensitive" or MODERATED.search(finish):
        fault, lasting = FILTERED, True
    elif not text and cut_off:
        fault = "the model thinks" if thinks or not closed else "a reasoning model?"
    elif not text and (message.get("tool_calls") or message.get("function_call")):
        fault = "calls a tool instead of answering"
    elif not text:
        fault = "thinks, and then says nothing" if thinks else "empty"
    return Reply(
        text=text,
        model=_string(body.get("model")) or request.model,
        fingerprint=_string(body.get("system_fingerprint")) or None,
        prompt_tokens=prompt,
        completion_tokens=completion,
        raw=raw,
        fault=fault,
        cut_off=cut_off,
        empty_at_limit=cut_off and not text,
        lasting=lasting,
        dollars=dollars,
    )


def failed(request: Request, fault: str, raw: str = "", lasting: bool = False) -> Reply:
    """A reply that holds no text and cost nothing."""
    return Reply("", request.model, None, 0, 0, raw, fault, lasting=lasting)


def problem_in(raw: str, status: int = 200) -> Problem | None:
    """The error in a response's body, if it is one: with status 200, only where no answer is in it. Never raises."""
    body = _body(raw)
    choice = _choice(body)
    error = body.get("error") or choice.get("error")
    if status == 200:
        if (
            isinstance(choice.get("message"), dict)
            and not choice.get("error")
            and choice.get("finish_reason") != "error"
        ):
            return None
        whole = {"message", "detail", "errors", "msg", "error_msg"} & {*body}
        if not error and choice.get("finish_reason") != "error" and ("choices" in body or not whole):
            return None
    if isinstance(error, str):
        error = {**body, "message": error}
    if not isinstance(error, dict):
        error = body
    said = next((error[key] for key in ("message", "msg", "error_msg", "detail", "errors") if error.get(key)), raw)
    metadata = error.get("metadata")
    if isinstance(metadata, dict) and metadata.get("raw"):  # a router's word for what its provider said
        said = f"{said}: {metadata['raw']}"
    says = " ".join((said if isinstance(said, str) else json.dumps(said)).split())
    codes = [str(error[key]) for key in ("code", "type", "status") if isinstance(error.get(key), str | int)]
    if status == 200:
        numbers = [int(code) for code in codes if code.isascii() and code.isdigit() and 400 <= int(code[:9]) <= 599]
        about = " ".join([*codes, says])
        known = (number for number, words in STATUSES if words.search(about))
        status = numbers[0] if numbers else 400 if MODERATED.search(about) else next(known, 400)
    found = WAIT.search(says)
    wait = None
    if found and (seconds := _number(found[1])) is not None:
        wait = seconds / 1000 if found[2].lower() == "ms" else seconds
    return Problem(status, " ".join(codes), says, _string(error.get("param")), wait)


def _body(raw: str) -> dict[str, Any]:
    """The JSON object of a response; an empty one if there is none."""
    try:
        body = _joined(raw) if raw.lstrip().startswith("data:") else json.loads(raw)
        if isinstance(body, str):
            body = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if isinstance(body, list) and body:
        body = body[0]
    return body if isinstance(body, dict) else {}


def _joined(raw: str) -> dict[str, Any]:
    """The completion that a stream of events adds up to: some servers send one though none was asked for."""
    body: dict[str, Any] = {}
    content, finish = "", None
    for line in raw.splitlines():
        if not line.startswith("data:") or line[5:].strip() in ("", "[DONE]"):
            continue
        event = json.loads(line[5:])
        if isinstance(event, dict):
            body |= {key: value for key, value in event.items() if value is not None}
            choice = _choice(event)
            delta = choice.get("delta")
            content += _content(delta.get("content"))[0] if isinstance(delta, dict) else ""
            finish = choice.get("finish_reason") or finish
    if "error" in body:
        return {"error": body["error"]}
    return body | {"choices": [{"message": {"content": content}, "finish_reason": finish}]}


def _choice(body: dict[str, Any]) -> dict[str, Any]:
    choices = body.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    return {}


def _content(content: Any) -> tuple[str, str]:
    """The text of a message's content, a string or a list of parts, and what it says in refusing."""
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        return _string(content), ""
    texts, refusals = [], []
    for part in content:
        if isinstance(part, str):
            texts.append(_string(part))
        elif isinstance(part, dict) and part.get("type") == "refusal":
            refusals.append(_string(part.get("refusal")))
        elif isinstance(part, dict) and part.get("type") in (None, "text", "output_text"):
            text = part.get("text")
            texts.append(_string(text.get("value") if isinstance(text, dict) else text))
    return "".join(texts), "".join(refusals)


def _string(value: Any) -> str:
    """The value if it is text, without what no file can hold (halves of surrogate pairs)."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _blocked(body: dict[str, Any]) -> str | None:
    """Why a prompt was not answered at all, where a server says that beside an empty list of choices."""
    feedback = body.get("promptFeedback") or body.get("prompt_feedback")
    reason = (feedback.get("blockReason") or feedback.get("block_reason")) if isinstance(feedback, dict) else None
    return None if reason is None else str(reason)[:80]


def _usage(body: dict[str, Any], request: Request, written: str) -> tuple[int, int, int, float]:
    """Tokens of prompt, response and the thought in it, and dollars; tokens are guessed where the server counts none."""
    found = body.get("usage")
    usage: dict[str, Any] = found if isinstance(found, dict) else {}
    details = usage.get("completion_tokens_details")
    reasoned = _count(details.get("reasoning_tokens")) if isinstance(details, dict) else 0
    prompt = _count(usage.get("prompt_tokens")) or _count(usage.get("input_tokens"))
    completion = _count(usage.get("completion_tokens")) or _count(usage.get("output_tokens"))
    # Some leave the thought out of the response's tokens, but not out of the bill.
    completion = max(completion, _count(usage.get("total_tokens")) - prompt)
    prompt = prompt or prompt_tokens(request)
    completion = completion or min(request.max_tokens, len(written.encode()) // 3 + 1)
    cost = _number(usage.get("cost"))
    return prompt, completion, reasoned, max(0.0, cost or 0.0)


def _count(value: Any) -> int:
    number = _number(value)
    return min(2**53, max(0, int(number))) if number is not None else 0


def _number(value: Any) -> float | None:
    """The value as a finite number, if it is one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
