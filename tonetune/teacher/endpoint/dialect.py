"""What a model takes of a request: a setting that its endpoint refuses by name is left away from then on, and that is said."""

import re
import sys
from typing import Any

from tonetune.teacher.endpoint.problem import Problem
from tonetune.teacher.endpoint.request import Request

OLDER, NEWER = "max_tokens", "max_completion_tokens"  # names of the limit: each model knows one of them
SYSTEM = "system"
# In this order: who refuses two at once ("temperature and top_p cannot both be specified") can do with the first.
OPTIONAL = ("chat_template_kwargs", "seed", "top_p", "temperature")
# Who refuses a field without its name means the one that only servers with templates of their own know.
UNKNOWN = re.compile(
    r"chat.?template|(?:extra|additional|unknown|unexpected|unrecogni[sz]ed|unsupported) (?:\w+ )?(?:input|field|propert|param|arg|key)",
    re.I,
)
REFUSES = re.compile(
    r"support|unknown|unrecogni[sz]ed|unexpected|not (?:allowed|permitted|valid)|invalid|cannot|can't|only|must|extra"
    r"|deprecated|incompatible|less than|greater than|range|forbidden|no longer",
    re.I,
)
NO_SYSTEM = re.compile(
    r"system.{0,20}role|role.{0,40}system|roles? must alternate|system (?:message|prompt|instruction)|developer instruction",
    re.I,
)
STATUSES = (400, 422)


class Dialect:
    """The parts of a request that one model does not take."""

    def __init__(self, about: str):
        self.about = about  # the knob and the model, for people
        self.refused: frozenset[str] = frozenset()

    def body(self, request: Request) -> dict[str, Any]:
        """The request's body as the model takes it."""
        return self.body_without(request, self.refused)

    def body_without(self, request: Request, refused: frozenset[str]) -> dict[str, Any]:
        """The request's body without the parts in `refused`, or with another word for them."""
        body = {name: value for name, value in request.body().items() if name not in refused - {OLDER}}
        if OLDER in refused and OLDER in body:
            body[NEWER] = body.pop(OLDER)
        if SYSTEM in refused:
            body["messages"] = _without_system(body["messages"])
        return body

    def learn(self, problem: Problem, body: dict[str, Any]) -> bool:
        """Whether the error refuses a part of `body` that can be put otherwise, so that sending it again may work."""
        part = self._refused_part(problem, body)
        if part is None:
            return False
        if part not in self.refused:
            self.refused |= {part}
            if part in OPTIONAL:
                print(
                    f"note: {self.about}: the endpoint refuses {part}, it is left away ({problem.says[:120]})",
                    file=sys.stderr,
                )
        return True

    def _refused_part(self, problem: Problem, body: dict[str, Any]) -> str | None:
        says = f"{problem.param} {problem.says}"
        system = body["messages"][0]["role"] == "system" and NO_SYSTEM.search(says) and REFUSES.search(says)
        if problem.status == 500 and system:  # older llama.cpp, of whatever its template raises
            return SYSTEM
        if problem.status not in STATUSES:
            return None
        if OLDER in body and NEWER in says:
            return OLDER
        if not REFUSES.search(f"{problem.code} {problem.says}"):
            return None
        if problem.param in OPTIONAL and problem.param in body:
            both = [name for name in OPTIONAL if name in body and _names(problem.says, name)]
            return both[0] if len(both) > 1 else problem.param
        for name in OPTIONAL:
            if name in body and _names(says, name):
                return name
        if system:
            return SYSTEM
        return OPTIONAL[0] if OPTIONAL[0] in body and UNKNOWN.search(says) else None


def _names(says: str, name: str) -> bool:
    return re.search(rf"\b{name}\b", says, re.I) is not None


def _without_system(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The system text as the beginning of the user's first turn, for templates without that role."""
    if not messages or messages[0]["role"] != "system":
        return messages
    system, first, *rest = messages
    return [first | {"content": f"{system['content']}\n\n{first['content']}"}, *rest]
