"""What a server's body holds: its JSON in whatever wrapping, or an error in whatever shape and under whatever status."""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

MAX_MESSAGE = 300  # characters of what a server says that are shown
MODERATED = re.compile(
    r"content[_ -]?(?:filter|policy|management|moderation)|data_inspection|moderat|flagged|\bunsafe|(?<!case-)(?<!case )sensitive|guardrail"
    r"|responsible ?ai|prohibited_content|inappropriate|invalid_prompt|blocklist|block_?reason|\bsafety\b|censor|content.exists.risk|不安全|敏感"
    # Not "request blocked": so says a firewall that likes nobody's requests.
    r"|(?:prompt|response|content|input|output|text|message)s?(?:_|\W+(?:\w+\W+){0,3})blocked",
    re.I,
)
BILLING = re.compile(
    r"credit balance|insufficient.(?:\w+.)?(?:balance|credit|fund)|balance.{0,20}(?:not enough|insufficient|too low)|out of credit|arrear"
    r"|overdue|payment.required|billing.{0,6}limit|billing_not_active|余额|欠费",
    re.I,
)
BAD_KEY = re.compile(
    r"(?:invalid|incorrect|expired|missing|no|wrong).api.?key|api.?key.{0,20}(?:invalid|not valid|not found|expired|missing|incorrect)"
    r"|invalid.(?:authentication|bearer|access.token|credential)",
    re.I,
)
NO_MODEL = re.compile(
    r"model.not.(?:found|exist)|no (?:allowed )?(?:endpoints|providers)\b.{0,30}(?:found|available)|no models? (?:\w+ ){0,2}loaded"
    r"|not a valid model|(?:unknown|invalid) model\b|model\b.{0,80}(?:does(?: not|n't) exist|not found|not loaded)",
    re.I,
)
# Words in a server's error that stand for a status, where it gives none.
STATUSES = (
    (402, BILLING),
    (429, re.compile(r"rate.?limit|too many requests|quota|throttl|overload|server busy|capacity|limit (?:reached|exceeded)", re.I)),
    (401, re.compile(r"api.?key|unauthori[sz]ed|authentication", re.I)),
    (404, re.compile(r"model\b.*\bnot (?:be )?(?:found|exist)|does not exist|unexpected endpoint|not[_ ]found", re.I)),
    (503, re.compile(r"unavailable|internal (?:server )?error|timed? ?out|upstream|bad gateway", re.I)),
)  # fmt: skip
# Statuses that some servers give to what others call by another.
MEANT = {400: ((402, BILLING), (401, BAD_KEY), (404, NO_MODEL)), 403: ((402, BILLING), (404, NO_MODEL))}
MEANT[422] = MEANT[400]
SAYING = ("message", "msg", "error_msg", "status_msg", "detail", "errors")
CODES = ("code", "type", "status", "error_code", "status_code")
WAIT = re.compile(r"(?:try again|retry) (?:in|after) ([\d.]+) ?(ms|s\b|sec)", re.I)


@dataclass(frozen=True)
class Problem:
    """An error as a server put it."""

    status: int
    code: str
    says: str
    param: str = ""
    wait: float | None = None
    """Seconds that it asks to wait."""
    given: int = 0
    """The status that the server gave, where it means another."""

    @property
    def moderated(self) -> bool:
        """Whether it is the text of this one request that is not liked."""
        if self.status == 451:  # for legal reasons
            return True
        text = f"{self.code} {self.says}"
        page = self.says.startswith("<")  # of a firewall, which likes nobody's requests
        return self.status in (400, 403, 422) and not page and MODERATED.search(text) is not None

    @property
    def shown(self) -> int:
        """The status as the server gave it."""
        return self.given or self.status


def problem_in(raw: str, status: int = 200) -> Problem | None:
    """The error in a response's body, if it is one: with status 200, only where no answer is in it. Never raises."""
    body = body_of(raw)
    choice = choice_of(body)
    error = _error_in(body, choice)
    if status == 200 and not error and choice.get("finish_reason") != "error":
        whole = any(body.get(key) for key in SAYING)
        if body.get("choices") or not whole or ("choices" in body and body.get("code") in (0, 200, "0", "200")):
            return None
    if isinstance(error, str):
        error = {**body, "message": error}
    if not isinstance(error, dict):
        error = body
    said = next((error[key] for key in SAYING if error.get(key)), raw)
    metadata = error.get("metadata")
    if isinstance(metadata, dict) and metadata.get("raw"):  # a router's word for what its provider said
        said = f"{said}: {metadata['raw']}"
    says = " ".join((said if isinstance(said, str) else json.dumps(said)).split())
    codes = [str(error[key]) for key in CODES if isinstance(error.get(key), str | int)]
    if status == 200:
        numbers = [int(code) for code in codes if re.fullmatch("[45][0-9][0-9]", code)]
        about = " ".join([*codes, says])
        known = (number for number, words in STATUSES if words.search(about))
        status = numbers[0] if numbers else 400 if MODERATED.search(about) else next(known, 400)
    given, status = status, _meant(status, " ".join([*codes, says]))
    found = WAIT.search(says)
    wait = None
    if found and (seconds := number_of(found[1])) is not None:
        wait = seconds / 1000 if found[2].lower() == "ms" else seconds
    return Problem(status, " ".join(codes), says, text_of(error.get("param")), wait, given)


def _error_in(body: dict[str, Any], choice: dict[str, Any]) -> Any:
    """What a body holds for an error, also beside an answer; None if that is empty."""
    minimax = body.get("base_resp")
    if isinstance(minimax, dict) and minimax.get("status_code"):
        return minimax
    found = (body.get("error"), choice.get("error"))
    return next((error for error in found if error and (not isinstance(error, dict) or any(error.values()))), None)


def _meant(status: int, says: str) -> int:
    """The status that an error means: some servers say 400 to a bad key, to an empty account and to a wrong model."""
    if MODERATED.search(says):
        return status
    return next((number for number, words in MEANT.get(status, ()) if words.search(says)), status)


def is_billed(raw: str) -> bool:
    """Whether a body counts tokens: with an error in it, it may be paid for all the same."""
    usage = body_of(raw).get("usage")
    return isinstance(usage, dict) and any(count_of(value) for value in usage.values())


def body_of(raw: str) -> dict[str, Any]:
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
            choice = choice_of(event)
            delta = choice.get("delta")
            content += content_of(delta.get("content"))[0] if isinstance(delta, dict) else ""
            finish = choice.get("finish_reason") or finish
    if "error" in body:
        return {"error": body["error"], "usage": body.get("usage")}
    return body | {"choices": [{"message": {"content": content}, "finish_reason": finish}]}


def choice_of(body: dict[str, Any]) -> dict[str, Any]:
    choices = body.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    return {}


def content_of(content: Any) -> tuple[str, str]:
    """The text of a message's content, a string or a list of parts, and what it says in refusing."""
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        return text_of(content), ""
    texts, refusals = [], []
    for part in content:
        if isinstance(part, str):
            texts.append(text_of(part))
        elif isinstance(part, dict) and part.get("type") == "refusal":
            refusals.append(text_of(part.get("refusal")))
        elif isinstance(part, dict) and part.get("type") in (None, "text", "output_text"):
            text = part.get("text")
            texts.append(text_of(text.get("value") if isinstance(text, dict) else text))
    return "".join(texts), "".join(refusals)


def text_of(value: Any) -> str:
    """The value if it is text, without what no file can hold (halves of surrogate pairs)."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def count_of(value: Any) -> int:
    number = number_of(value)
    return min(2**53, max(0, int(number))) if number is not None else 0


def number_of(value: Any) -> float | None:
    """The value as a finite number, if it is one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
