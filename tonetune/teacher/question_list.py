"""Reading a list of questions out of a teacher's response, and writing one."""

import re
from collections.abc import Iterable

from pydantic_core import from_json

_BOLD = r"(?:\*\*)?"
# A star right before a word is emphasis, and digits after the point are a number of the question's own.
_MARKER = re.compile(rf"^\s*{_BOLD}(?:[-\u2022]|\*(?=\s)|\(?\d{{1,3}}{_BOLD}[.):](?!\d)){_BOLD}\s*")
_JSON = re.compile(r"[\[{]")
_ENDS = re.compile(r"[.?!…][\"'”’)*]*$")


def parse_question_list(response: str) -> list[str]:
    """The questions of a JSON object or of a numbered or bulleted list, without numbers, quotes, headings and repeats.

    Where lines are marked, the others are talk around the list. A last line or string that was cut off is left out.
    """
    questions: dict[str, str] = {}
    for text in _from_json(response) or _from_lines(response.splitlines()):
        questions.setdefault(" ".join(text.lower().split()), text)
    return list(questions.values())


def _from_lines(lines: list[str]) -> list[str]:
    marked, unmarked = [], []
    for number, line in enumerate(lines, 1):
        text = _MARKER.sub("", line).strip().strip('"*').strip()
        asks = text.endswith("?")
        whole = number < len(lines) or _ENDS.search(text) is not None
        if _MARKER.match(line):
            if text and (asks or (whole and len(text.split()) > 2)):
                marked.append(text)
        elif asks:  # an introduction ("Here are 50 questions:") does not
            unmarked.append(text)
    return marked or unmarked


def _from_json(response: str) -> list[str]:
    """The strings of the first list in a JSON response, fenced or bare, whole or cut off; none if it is not JSON."""
    start = _JSON.search(response)
    if start is None or response[: start.start()].strip().removesuffix("json").strip("` \n"):
        return []
    try:
        value = from_json(response[start.start() :].strip().strip("`").strip(), allow_partial=True)
    except ValueError:
        return []
    if isinstance(value, dict):
        value = next((member for member in value.values() if isinstance(member, list)), [])
    texts = [item.get("question") if isinstance(item, dict) else item for item in value]
    return [" ".join(text.split()) for text in texts if isinstance(text, str) and text.strip()]


def format_question_list(questions: Iterable[str]) -> str:
    """A numbered list, one question a line."""
    return "\n".join(f"{number}. {text}" for number, text in enumerate(questions, 1))
