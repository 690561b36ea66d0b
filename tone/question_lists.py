"""Reading a list of questions out of a teacher's response, and writing one."""

import re
from collections.abc import Iterable

_MARKER = re.compile(r"^\s*(?:[-*\u2022]|\(?\d{1,3}[.):])\s*")


def parse_question_list(response: str) -> list[str]:
    """The questions of a numbered or bulleted list, without numbers, quotes, headings and repeats."""
    questions: dict[str, str] = {}
    for line in response.splitlines():
        text = _MARKER.sub("", line).strip().strip('"*').strip()
        marked = _MARKER.match(line) is not None
        # An introduction ("Here are 50 questions:") carries no marker and no question mark.
        if text and (text.endswith("?") or (marked and len(text.split()) > 2)):
            questions.setdefault(" ".join(text.lower().split()), text)
    return list(questions.values())


def format_question_list(questions: Iterable[str]) -> str:
    """A numbered list, one question a line."""
    return "\n".join(f"{number}. {text}" for number, text in enumerate(questions, 1))
