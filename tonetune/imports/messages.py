"""What every reader of an export gives: messages, whoever wrote them and wherever."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from tonetune.core.errors import UserError

Kind = Literal["chat", "mail", "post", "text"]

MOST_NAMES, LONGEST_NAME = 10, 40

ASKED, ANSWERED = "user", "assistant"
"""Who speaks in files of question and answer, which name nobody."""
OWNER = ""
"""The writer of what holds one person's texts only, such as an archive of posts."""


@dataclass(frozen=True)
class ChatMessage:
    """One message as it was sent, without what the program put around it."""

    author: str
    text: str
    kind: Kind = "chat"
    time: datetime | None = None
    thread: str = ""
    """Which talk it belongs to: messages of different threads never answer each other."""
    id: str = ""
    reply_to: str = ""
    """The id of the message that it answers, where the export says so."""
    other_names: str = ""
    """More names that it may be claimed by: a mail address, a nickname."""
    written_to: str = ""
    """The names of those it is sent to, one a line."""
    plain: str | None = None
    """The same answer in plain words, where the file has one."""

    def is_by(self, name: str) -> bool:
        """Whether `name` (any of the author's names, in any case) wrote it."""
        names = {self.author.casefold(), *self.other_names.casefold().split("\n")}
        return self.author == OWNER or name.strip().casefold() in names


@dataclass
class ChatExport:
    """The messages of a file, and how many it holds that are nobody's words, by what they are."""

    messages: list[ChatMessage] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What the reader had to guess, for people to check."""

    def leave_out(self, why: str) -> None:
        self.left_out[why] = self.left_out.get(why, 0) + 1


@dataclass(frozen=True)
class Columns:
    """The names of a table's columns, where they are not the usual ones."""

    question: str | None = None
    answer: str | None = None
    plain: str | None = None


def listed(names: Iterable[object]) -> str:
    """The names that a file has, for an error that asks for one of them: a file without a header has texts there."""
    every = [str(name) for name in names]
    shown = ", ".join(name[:LONGEST_NAME] for name in every[:MOST_NAMES])
    return f"{shown!r}{f' and {len(every) - MOST_NAMES} more' if len(every) > MOST_NAMES else ''}"


@dataclass(frozen=True)
class Source:
    """A file to read: its own bytes, or those of the member of an archive that holds the messages."""

    path: Path
    name: str
    data: bytes
    columns: Columns = Columns()

    def text(self) -> str:
        """The text; a `UserError` if it is in no Unicode encoding."""
        encoding = "utf-16" if self.data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        try:
            return self.data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError as error:
            byte = error.object[error.start] if error.start < len(error.object) else 0
            raise self.error(
                f"not {encoding[:6].upper().rstrip('-')} text (byte 0x{byte:02x}); save it as UTF-8"
            ) from None

    def head(self, size: int = 20_000) -> str:
        """Its beginning, whatever the encoding: to see what it is."""
        encoding = "utf-16" if self.data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        return self.data[:size].decode(encoding, errors="replace")

    def error(self, problem: str, line: int | None = None) -> UserError:
        """A `UserError` about this file."""
        inside = "" if self.name == self.path.name else f" ({self.name})"
        return UserError(f"{self.path}{inside}{f', line {line}' if line else ''}: {problem}")


def authors(messages: Sequence[ChatMessage]) -> dict[str, int]:
    """How many messages each author wrote, the busiest first."""
    counts: dict[str, int] = {}
    for message in messages:
        counts[message.author] = counts.get(message.author, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
