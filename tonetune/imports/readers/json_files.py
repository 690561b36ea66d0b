"""Reading JSON that other programs wrote, with one line of what is wrong with it."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from tonetune.imports.messages import Source


def load(source: Source) -> Any:
    """The parsed JSON; a `UserError` names the line where it breaks, as in an export that was cut short."""
    text = source.text()
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        cut = "; it ends in the middle: was it copied whole?" if error.pos >= len(text.rstrip()) - 1 else ""
        raise source.error(f"not JSON ({error.msg}){cut}", error.lineno) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; brackets in brackets in brackets
        raise source.error(f"not an export: {oddity(error)}") from None


def rows(source: Source) -> Iterator[tuple[int, Any]]:
    """(number, value) of each line of a JSONL file, or of each item of a JSON array."""
    text = source.text().strip()
    if text.startswith("[") or "\n" not in text:
        value = load(source)
        yield from enumerate(value if isinstance(value, list) else [value], 1)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                if number == 1 and text.startswith("{"):  # one object over many lines
                    yield 1, load(source)
                    return
                raise source.error(f"not JSON ({error.msg})", number) from None
            except (ValueError, RecursionError) as error:
                raise source.error(f"not an export: {oddity(error)}", number) from None


def oddity(error: Exception) -> str:
    """What JSON that is in order has in it and Python does not read."""
    return "nested too deeply" if isinstance(error, RecursionError) else "a number of too many digits"


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is an object, else an empty one: what an export has beside the texts may be missing or odd."""
    return value if isinstance(value, dict) else {}


def time_of(source: Source, value: object) -> datetime:
    """A time as ISO 8601, without its zone: all of one export are compared with each other alone."""
    try:
        return datetime.fromisoformat(str(value)).replace(tzinfo=None)
    except ValueError:
        raise source.error(f"{str(value)[:40]!r} is no date and time") from None
