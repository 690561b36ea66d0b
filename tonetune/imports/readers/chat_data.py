"""Files of training data as JSON or JSONL: `messages`, ShareGPT's `conversations`, Alpaca's instructions, and pairs."""

from collections.abc import Iterator
from typing import Any

from tonetune.imports.messages import ANSWERED, ASKED, ChatExport, ChatMessage, Source, listed
from tonetune.imports.readers.json_files import rows

NAME = "messages"
TITLE = "messages, ShareGPT, Alpaca or question and answer, .json or .jsonl"

ROLES = dict.fromkeys(("user", "human", "prompter"), ASKED) | dict.fromkeys(
    ("assistant", "gpt", "model", "chatgpt", "bing", "bard"), ANSWERED
)
SKIPPED = ("system", "developer", "tool", "function", "observation", "function_call")
QUESTIONS, ANSWERS = (
    ("question", "instruction", "prompt"),
    ("persona_answer", "answer", "output", "response", "completion"),
)
PLAIN = ("plain_answer", "plain")
BESIDE = ("input", "context")
"""What Alpaca and Dolly have beside an instruction: it belongs to the question."""
HEAD = 1_000_000  # bytes: rows may have long texts before the keys that tell what they are


def looks_like(source: Source) -> bool:
    """Whether it begins as JSON with one of the known keys; JSONL is read here whatever its keys, to say which are meant."""
    head = source.head(HEAD).lstrip()
    named = filter(None, (source.columns.question, source.columns.answer))
    keys = ("messages", "conversations", *QUESTIONS, *named)
    is_lines = source.path.suffix.lower() == ".jsonl"
    return head[:1] in ("{", "[") and (is_lines or any(f'"{key}"' in head for key in keys))


def read(source: Source) -> ChatExport:
    """Every row as a talk of its own."""
    export = ChatExport()
    keys: dict[str, None] = {}
    for number, row in _rows(source):
        if not isinstance(row, dict):
            raise source.error(
                f"{str(row)[:40]!r} is no object with messages, or with a question and an answer", number
            )
        keys.update(dict.fromkeys(map(str, row)))
        for author, text, plain in _turns(source, number, row):
            export.messages.append(ChatMessage(author, text, thread=f"row {number}", plain=plain))
    named = source.columns.plain
    if named and keys and named not in keys and not keys.keys() & {"messages", "conversations"}:
        raise source.error(f"no key {named!r} among {listed(keys)}; see --plain")
    return export


def _rows(source: Source) -> Iterator[tuple[int, Any]]:
    """The rows of the file, or of the list `data` that it holds."""
    for number, row in rows(source):
        held = row.get("data") if isinstance(row, dict) else None
        if isinstance(held, list) and number == 1:
            yield from enumerate(held, 1)
        else:
            yield number, row


def _turns(source: Source, number: int, row: dict[str, Any]) -> Iterator[tuple[str, str, str | None]]:
    """(author, text, plain text) of each turn."""
    turns = row.get("messages", row.get("conversations"))
    if turns is None:
        yield from _pair(source, number, row)
        return
    if not isinstance(turns, list):
        raise source.error("its messages are no list", number)
    for turn in turns:
        role = str(turn.get("role", turn.get("from", ""))).lower() if isinstance(turn, dict) else ""
        text = turn.get("content", turn.get("value")) if isinstance(turn, dict) else None
        if role in SKIPPED:
            continue
        if role not in ROLES:
            raise source.error(f"role {role!r} is not among {', '.join([*ROLES, *SKIPPED[:3]])}", number)
        if isinstance(text, list):  # parts, of which pictures have no text
            text = "\n".join(str(part.get("text", "")) for part in text if isinstance(part, dict))
        if text is None and isinstance(turn, dict) and (turn.get("tool_calls") or turn.get("function_call")):
            continue  # it calls a tool and says nothing
        if not isinstance(text, str):
            raise source.error(f"a turn of {role!r} has no text", number)
        if text.strip():
            yield ROLES[role], text.strip(), None


def _pair(source: Source, number: int, row: dict[str, Any]) -> Iterator[tuple[str, str, str | None]]:
    columns = source.columns
    question = next((key for key in (columns.question, *QUESTIONS) if key and key in row), None)
    answer = next((key for key in (columns.answer, *ANSWERS) if key and key in row), None)
    if question is None or answer is None:
        found = {"question": question, "answer": answer}
        missing = [what for what, key in found.items() if key is None]
        options = " ".join(f"--{what} KEY" for what in missing)
        raise source.error(
            f"no messages, and no {' and no '.join(missing)} among its keys {listed(row)}; name what is meant: {options}",
            number,
        )
    asked = "\n".join(
        str(row[key]).strip() for key in dict.fromkeys((question, *BESIDE)) if str(row.get(key) or "").strip()
    )
    said = str(row[answer] or "").strip()
    plain = next((str(row[key]).strip() for key in (columns.plain, *PLAIN) if key and row.get(key)), None)
    if asked and said:
        yield ASKED, asked, None
        yield ANSWERED, said, plain
