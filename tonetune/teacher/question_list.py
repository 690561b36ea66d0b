"""Reading a list of questions out of a teacher's response, and writing one."""

import ast
import html
import re
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic_core import from_json

from tonetune.core.text import UNSPACED

_BOLD = r"(?:\*\*)?"
# A star right before a word is emphasis, and digits after the point are a number of the question's own.
_MARKER = re.compile(
    rf"^\s*{_BOLD}(?:[-\u2022]|[*+\u2013\u2014](?=\s)|\(?\d{{1,3}}{_BOLD}[.):](?!\d)|\[\d{{1,3}}\]"
    rf"|\(?[a-z]\)|\d{{1,3}}\s[-\u2013\u2014]\s|\(?\d{{1,3}}[\u3001\uff0e\uff09]|[\u2460-\u2473]|\[[ x]?\]|>(?=\s)){_BOLD}\s*"
)
# "Q1:" or "Question 12." before a question, which may stand behind a marker.
_LABEL = re.compile(
    rf"^\s*{_BOLD}(?:q(?:uestion)?\s*#?\s*\d{{1,3}}\s*[.):\u2013\u2014-]|q(?:uestion)?\s*[:])(?!\d){_BOLD}\s*", re.I
)
_HEADING = re.compile(r"^\s*#{1,6}\s|:\W*$|^\s*\|[\s:|-]*\|\s*$")
_ITEM = re.compile(
    r"<(li|question|q|item)\b[^<>]{0,100}>([^<]{1,2000})(?:</\1\s*>|(?=<))", re.I
)  # of a list in HTML or XML
_INLINE = re.compile(r"</?(?:b|strong|i|em|p|span)\b[^<>]{0,100}>", re.I)
_NOTE = re.compile(r"^\W*(?:note|notes|tip|hint|disclaimer|n\.?b\.?|p\.?s\.?)\W*:", re.I)
_JSON = re.compile(r"[\[{]")
_READ = 100_000  # characters of a response; fifty questions take some 5,000
_LONGEST = 2000  # characters of a line that can be a question
_STARTS = 20  # places where JSON may begin that are tried: what is not a list by then is brackets
_ASKS = re.compile(r"[?？؟][\"'”’)*\s]*$")
_ENDS = re.compile(r"[.?!…。！？؟][\"'”’)*]*$")
# As many letters of a script without spaces as a question of three words has.
_WIDE = re.compile(rf"(?:[{UNSPACED}]\W*){{4}}")
# What is left of JSON or of a program where a text that looked like a list was none.
_CODE = re.compile(
    r"""^[\s\[\]{}(),:;"'`*_#|<>\\/=+-]*$|^["']?\w+["']\s*:|[{}\[\]]\s*,?$|["']\s*,$|^\{|^\[\s*["'{\[]|["']\s*:\s*["']"""
)
# Keys of an object that hold its question: the first ones for certain.
_SURE_KEYS = ("question", "question_text", "q")
_KEYS = (*_SURE_KEYS, "text", "prompt", "content", "title", "value")
_STRAIGHT = str.maketrans("“”", '""')
_ELLIPSIS = re.compile(r",\s*(?:\.\.\.|…)\s*(?=[\]}])")
_DEEPEST = 8  # levels of JSON that are looked into


def parse_question_list(response: str) -> list[str]:
    """The questions of JSON or of a numbered or bulleted list, without numbers, labels, quotes, headings and repeats.

    Where lines are marked, the others are talk around the list. A last line or string that was cut off is left out.
    """
    questions: dict[str, str] = {}
    response = response.removeprefix("\ufeff")[:_READ]
    lines = [line for line in response.splitlines() if len(line) <= _LONGEST]
    for text in _from_json(response) or _from_tags(response) or _from_lines(lines):
        if _has_words(text):
            questions.setdefault(" ".join(text.lower().split()), text)
    return list(questions.values())


def _bare(line: str) -> tuple[str, bool]:
    """A line without marker, label, quotes and emphasis, and whether it was marked."""
    text, marked = line, False
    for pattern in (_MARKER, _LABEL, _MARKER):
        if found := pattern.match(text):
            text, marked = text[found.end() :], True
    return text.strip().strip('"*').strip(), marked


def _from_tags(response: str) -> list[str]:
    """The questions of a list in HTML or XML; none if there is none."""
    texts = (html.unescape(found[2]) for found in _ITEM.finditer(_INLINE.sub("", response)))
    bare = (_bare(" ".join(text.split()))[0] for text in texts)
    return [text for text in bare if _has_words(text) and not _NOTE.search(text)]


def _from_lines(lines: list[str]) -> list[str]:
    marked, unmarked = [], []
    for number, line in enumerate(lines, 1):
        if line.count("|") > 1 and line.strip().startswith("|"):  # a row of a table
            line = next((f"- {cell}" for cell in line.split("|") if cell.strip().endswith("?")), "")
        text, is_marked = _bare(line)
        if (
            not _has_words(text)
            or _HEADING.search(text)
            or _NOTE.search(text)
            or line.lstrip().startswith(("```", "#"))
        ):
            continue
        asks = text.endswith(("?", "？", "؟"))
        whole = number < len(lines) or _ENDS.search(text) is not None
        if is_marked:
            if asks or (whole and (len(text.split()) > 2 or _WIDE.search(text)) and not _heads(lines, number)):
                marked.append(text)
        elif asks:  # an introduction ("Here are 50 questions:") does not
            unmarked.append(text)
    return marked or unmarked


def _heads(lines: list[str], number: int) -> bool:
    """Whether the line with this number, which asks nothing, is a heading: the next one is marked, indented and asks."""
    line = lines[number - 1]
    following = next((other for other in lines[number:] if other.strip()), "")
    text, is_marked = _bare(following)
    return is_marked and text.endswith("?") and _indent(following) > _indent(line)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _from_json(response: str) -> list[str]:
    """The questions in a response's JSON, wherever it begins, whole or cut off; none if there is no JSON."""
    tried = 0
    for start in _JSON.finditer(response):
        # An opening bracket in a line of talk begins no list: JSON begins a line, or all before it is a word and a fence.
        line = response.rfind("\n", 0, start.start()) + 1
        if start.start() - line > _LONGEST:
            continue
        before = response[line : start.start()].strip("` \t")
        if before and not before.endswith((":", "json", "=")):
            continue
        tried += 1
        if tried > _STARTS:
            break
        texts = [text for value in _values(response[start.start() :]) for text in _strings(value, 0)]
        if questions := [text for text, _ in (_bare(" ".join(text.split())) for text in texts) if _has_words(text)]:
            return questions
    return []


def _values(text: str) -> Iterator[Any]:
    """The JSON values at the beginning of a text: one, cut off or whole, or one on each line."""
    whole = text.strip().strip("`").strip()
    last = max(whole.rfind("]"), whole.rfind("}")) + 1
    objects = []
    for line in whole.splitlines():
        if line.startswith(("{", "[")):
            try:
                objects.append(from_json(line.strip().rstrip(",")))
            except ValueError:
                continue
    if len(objects) > 1:
        yield from objects
        return
    for candidate in (whole[:last], whole):  # there may be talk after it; or it is cut off
        try:
            yield from_json(candidate, allow_partial=True)
            return
        except ValueError:
            continue
    try:  # JSON by hand, or a list of Python's
        yield ast.literal_eval(_ELLIPSIS.sub("", whole[:last].translate(_STRAIGHT)))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return


def _strings(value: Any, depth: int) -> Iterator[str]:
    """The texts of a JSON value: of each object the one that is its question."""
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        if value.lstrip().startswith(("[", "{")):  # JSON within JSON
            yield from _from_json(value)
        else:
            yield value
    elif isinstance(value, list):
        for member in value:
            yield from _strings(member, depth + 1)
    elif isinstance(value, dict):
        known = {str(key).lower(): member for key, member in value.items() if isinstance(member, str)}
        if known and all(key.isdigit() for key in known):  # {"1": ..., "2": ...}
            yield from known.values()
            return
        key = next((key for key in _KEYS if key in known), "")
        own = known.get(key, "")
        nested = [
            text for member in value.values() if isinstance(member, list | dict) for text in _strings(member, depth + 1)
        ]
        # Beside a question lies what is about it, such as tags or a follow-up; beside the title of a list, the list.
        asks = key in _SURE_KEYS or (key != "title" and _ASKS.search(own))
        if own and (asks or not any(_ENDS.search(text) for text in nested)):
            yield own
        else:
            within = [text for member in known.values() for text in _strings(member, depth + 1)]
            yield from nested or [text for text in within if _ASKS.search(text)]


def _has_words(text: str) -> bool:
    """Whether a text can be a question: not what is left of JSON, and not marks alone."""
    return not _CODE.search(text) and any(character.isalpha() for character in text)


def format_question_list(questions: Iterable[str]) -> str:
    """A numbered list, one question a line."""
    return "\n".join(f"{number}. {text}" for number, text in enumerate(questions, 1))
