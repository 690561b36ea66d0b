"""Tables of questions and answers: with any delimiter, and columns of any name."""

import csv
import io
import re
from collections.abc import Sequence

from tonetune.core.errors import UserError
from tonetune.imports.messages import ANSWERED, ASKED, ChatExport, ChatMessage, Source, listed
from tonetune.imports.readers.chat_data import ANSWERS, PLAIN, QUESTIONS

NAME = "table"
TITLE = "a table of questions and answers, .csv or .tsv"

DELIMITERS = ",;\t|"
SEPARATOR = re.compile(r"\Asep=(.)\n")  # Excel's first line, which is no row
SUFFIXES = (".csv", ".tsv", ".tab")


def looks_like(source: Source) -> bool:
    """Whether its name says so, or its first line is a header with a column for the question."""
    if source.path.suffix.lower() in SUFFIXES:
        return True
    lines = SEPARATOR.sub("", source.head().replace("\r\n", "\n")).splitlines()
    header = [cell.strip().lower() for cell in _cells(lines[0])] if lines else []
    return len(header) > 1 and any(
        name in header for name in (*QUESTIONS, (source.columns.question or "").lower()) if name
    )


def _cells(line: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter_of(line)), [])


def delimiter_of(header: str) -> str:
    """What separates the cells: of the usual marks the one that the header has most of."""
    return max(DELIMITERS, key=header.count)


def read(source: Source) -> ChatExport:
    """A row is a talk of one question and its answer; rows with nothing in them are passed over."""
    text = SEPARATOR.sub("", source.text().lstrip("\n"))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(source, text), strict=True)
    export = ChatExport()
    line = 0
    try:
        header = [cell.strip() for cell in next(reader, [])]
        question, answer = _question_and_answer(source, header)
        plain = _column(source, header, source.columns.plain, PLAIN)
        if plain is None and source.columns.plain:
            raise source.error(f"no column {source.columns.plain!r} among {listed(header)}; see --plain")
        for row in reader:
            line = reader.line_num
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if len(cells) <= max(question, answer) or not cells[question] or not cells[answer]:
                export.leave_out("rows without a question or an answer")
                continue
            thread = f"line {line}"
            twin = cells[plain] if plain is not None and plain < len(cells) and cells[plain] else None
            export.messages.append(ChatMessage(ASKED, cells[question], thread=thread))
            export.messages.append(ChatMessage(ANSWERED, cells[answer], thread=thread, plain=twin))
    except csv.Error as error:
        raise source.error(f"not CSV after line {line} ({error}); is a quotation mark left open there?") from None
    return export


def _delimiter(source: Source, text: str) -> str:
    """What separates the cells: the mark by which the header has the columns, however seldom it stands there."""
    line = text.partition("\n")[0]
    marks = {mark for mark in line if not mark.isalnum() and mark not in " \"'_"}
    for mark in sorted(marks, key=lambda mark: (mark not in DELIMITERS, -line.count(mark), mark)):
        header = [cell.strip() for cell in next(csv.reader(io.StringIO(text, newline=""), delimiter=mark), [])]
        try:
            _question_and_answer(source, header)
        except UserError:
            continue
        return mark
    return delimiter_of(line)


def _question_and_answer(source: Source, header: Sequence[str]) -> tuple[int, int]:
    """The places of the two columns; the error names the option of each that is missing, so that one more try will do."""
    columns = source.columns
    wanted = {"question": (columns.question, QUESTIONS), "answer": (columns.answer, ANSWERS)}
    found = {what: _column(source, header, *names) for what, names in wanted.items()}
    if (question := found["question"]) is not None and (answer := found["answer"]) is not None:
        return question, answer
    missing = {what: wanted[what] for what, place in found.items() if place is None}
    called = [repr(named) if named else f"called {' or '.join(usual[:3])}" for named, usual in missing.values()]
    options = " ".join(f"--{what} COLUMN" for what in missing)
    raise source.error(f"no column {', and none '.join(called)} among {listed(header)}; name what is meant: {options}")


def _column(source: Source, header: Sequence[str], named: str | None, usual: Sequence[str]) -> int | None:
    """The place of the column that is `named`, or else has a usual name."""
    lower = [cell.lower() for cell in header]
    for name in [named] if named else usual:
        if lower.count(name.lower()) > 1:
            raise source.error(f"two columns are called {name!r}; rename the one that is not meant")
        if name.lower() in lower:
            return lower.index(name.lower())
    return None
