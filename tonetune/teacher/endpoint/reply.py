"""The one place that reads what a server sends back: a chat completion, or an error, in any shape that servers give them."""

import re
from dataclasses import dataclass
from typing import Any

from tonetune.core.text import excerpt
from tonetune.teacher.endpoint.cost import most_prompt_tokens, prompt_tokens
from tonetune.teacher.endpoint.problem import MODERATED, body_of, choice_of, content_of, count_of, number_of, text_of
from tonetune.teacher.endpoint.request import Request
from tonetune.teacher.endpoint.thoughts import without_thoughts

FILTERED = "stopped by the endpoint's content filter"
# What servers say of an answer that is whole ("" where they say nothing), and of one that ran into a limit.
WHOLE = (
    "",
    "stop",
    "eos",
    "eos_token",
    "stop_sequence",
    "end_turn",
    "complete",
    "tool_calls",
    "function_call",
    "null",
    "none",
)
LENGTH = re.compile(r"length|context|max.*tokens|token.?limit")
THOUGHTS_BESIDE = ("reasoning_content", "reasoning", "thinking")  # a message's fields

TOO_LONG = re.compile(
    r"context.{0,20}(?:length|window|size)|max\w*[_ ]\w*tokens|too (?:long|large)|too many (?:\w+ )?tokens|token limit|refused \(413",
    re.I,
)


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

    @property
    def too_long(self) -> bool:
        """Whether the endpoint refuses this request for its length, or for that of the answer that it allows."""
        return self.lasting and not self.moderated and TOO_LONG.search(self.fault or "") is not None


def read_reply(raw: str, request: Request) -> Reply:
    """What the body of a chat completion says; a broken one is a reply with a fault. Never raises."""
    body = body_of(raw)
    choice = choice_of(body)
    message = choice.get("message")
    if not isinstance(message, dict):
        if (blocked := _blocked(body)) is not None:
            return failed(request, f"{FILTERED} ({blocked})", raw, lasting=True)
        if isinstance(choice.get("text"), str) or choice.get(
            "finish_reason"
        ):  # of the older interface; nothing was said
            message = {"content": choice.get("text")}
        else:
            prompt, completion = (
                most_prompt_tokens(request),
                request.max_tokens,
            )  # what it cost cannot be read: the most
            broken = f"not a chat completion ({excerpt(raw, 80)!r})"
            return Reply("", request.model, None, prompt, completion, raw, broken)
    content, refused = content_of(message.get("content"))
    text, thought, closed = without_thoughts(content)
    refused = refused or text_of(message.get("refusal"))
    reasoning = "".join({text_of(message.get(name)): None for name in THOUGHTS_BESIDE})  # some give one under two names
    finish = text_of(choice.get("finish_reason")).lower()
    cut_off = LENGTH.search(finish) is not None or not closed
    # Of what is cut off or says nothing, what is missing may be a thought that was paid for.
    prompt, completion, reasoned, dollars = _usage(body, request, None if cut_off or not text else content + reasoning)
    thinks = thought or bool(reasoning) or reasoned > 0
    fault: str | None = None
    lasting = False
    if refused or finish == "refusal":
        fault = f"refused ({excerpt(refused or content, 80)})"
    elif finish == "sensitive" or MODERATED.search(finish):
        fault, lasting = FILTERED, True
    elif not text and cut_off:
        fault = "the model thinks" if thinks or not closed else "a reasoning model?"
    elif not text and (message.get("tool_calls") or message.get("function_call")):
        fault = "calls a tool instead of answering"
    elif not text:
        fault = "thinks, and then says nothing" if thinks else "empty"
    elif not cut_off and finish not in WHOLE:
        fault = f"broken off ({finish[:80]})"
    return Reply(
        text=text,
        model=text_of(body.get("model")) or request.model,
        fingerprint=text_of(body.get("system_fingerprint")) or None,
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


def _blocked(body: dict[str, Any]) -> str | None:
    """Why a prompt was not answered at all, where a server says that beside an empty list of choices."""
    feedback = body.get("promptFeedback") or body.get("prompt_feedback")
    reason = (feedback.get("blockReason") or feedback.get("block_reason")) if isinstance(feedback, dict) else None
    return None if reason is None else str(reason)[:80]


def _usage(body: dict[str, Any], request: Request, written: str | None) -> tuple[int, int, int, float]:
    """Tokens of prompt, response and the thought in it, and dollars; tokens are guessed where the server counts none.

    They are `written`, or the most that may be where that is None.
    """
    found = body.get("usage")
    usage: dict[str, Any] = found if isinstance(found, dict) else {}
    details = usage.get("completion_tokens_details")
    reasoned = count_of(details.get("reasoning_tokens")) if isinstance(details, dict) else 0
    prompt = count_of(usage.get("prompt_tokens")) or count_of(usage.get("input_tokens"))
    completion = count_of(usage.get("completion_tokens")) or count_of(usage.get("output_tokens"))
    # Some leave the thought out of the response's tokens, but not out of the bill.
    completion = max(completion, count_of(usage.get("total_tokens")) - prompt)
    prompt = prompt or prompt_tokens(request)
    if reasoned > completion:  # then it cannot be a part of it
        completion += reasoned
    most = request.max_tokens
    completion = completion or (most if written is None else min(most, len(written.encode()) // 3 + 1))
    cost = number_of(usage.get("cost"))
    return prompt, completion, reasoned, max(0.0, cost or 0.0)
