"""The rows of a file of pairs as people bring it: JSON in any of its forms, CSV as spreadsheets write it."""

import csv
import io
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from tonetune.core.errors import UserError
from tonetune.imports.messages import listed
from tonetune.imports.readers.tables import DELIMITERS, delimiter_of

SUFFIXES = (".csv", ".tsv")
NEEDED = ("question", "persona_answer")  # where no row has one of them, its keys are named otherwise
NUMBERINGS = ("id", "index", "nr", "no", "unnamed: 0")  # columns that number the rows


def rows_of(path: Path, columns: Sequence[str], bad: list[str]) -> Iterator[tuple[int, Any]]:
    """(line number, values) of each row; lines that are not JSON go to `bad`.

    What spreadsheets add is passed over: rows and columns of nothing, an `id`, empty cells of the category.
    """
    text = _text(path)
    start = text.lstrip()
    header = start.partition("\n")[0].lower()
    is_csv = path.suffix.lower() in SUFFIXES or (start[:1] not in ("{", "[") and "question" in header)
    file = io.StringIO(text, newline="")
    for number, values in _csv_rows(file, path, columns) if is_csv else _known_rows(text, path, columns, bad):
        yield number, _without_what_spreadsheets_add(values, columns) if isinstance(values, dict) else values


def _text(path: Path) -> str:
    data = path.read_bytes()
    as_csv = 'as "CSV UTF-8" (in Excel: Save As, CSV UTF-8)'
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise UserError(f"{path}: a workbook or an archive, which is not read here; save the sheet {as_csv}")
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        byte = error.object[error.start] if error.start < len(error.object) else 0
        form = as_csv if path.suffix.lower() in SUFFIXES else "with the encoding UTF-8"
        raise UserError(f"{path}: not {encoding[:6].upper().rstrip('-')} (byte 0x{byte:02x}); save it {form}") from None


def _without_what_spreadsheets_add(values: dict[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    kept = {}
    for key, value in values.items():
        name = key.strip()
        if name and name.lower() not in NUMBERINGS:
            kept[name.lower() if name.lower() in columns else name] = value
    if not str(kept.get("category") or "").strip():
        kept.pop("category", None)
    return kept


def _csv_rows(file: IO[str], path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Any]]:
    skipped = 0
    while (header := file.readline()) and not header.strip(f"{DELIMITERS} \r\n"):
        skipped += 1
    delimiter = delimiter_of(header)
    if header.lower().startswith("sep="):  # a line by which Excel is told the delimiter
        delimiter = header[4:5] if header[4:5] in DELIMITERS else delimiter
        header, skipped = file.readline(), skipped + 1
    reader = csv.DictReader(itertools.chain([header], file), delimiter=delimiter)
    read = 0
    try:
        known = [*columns, *NUMBERINGS, ""]
        if unknown := [name for name in reader.fieldnames or [] if name.strip().lower() not in known]:
            raise _named_otherwise(path, "column", unknown, columns)
        names = [name.strip().lower() for name in reader.fieldnames or [] if name.strip()]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UserError(f"{path}: the column {twice[0]!r} is there twice; remove one of them")
        for values in reader:
            read = reader.line_num + skipped
            # csv keeps surplus cells under the key None as a list, and leaves missing ones None
            surplus = [cell for cell in values.pop(None, []) if cell.strip()]  # type: ignore[call-overload]
            cells = {key: value for key, value in values.items() if value is not None}
            if surplus:
                cells["surplus cells"] = ", ".join(surplus)
            if any(value.strip() for value in cells.values()):
                yield read, cells
    except csv.Error as error:
        raise UserError(
            f"{path}: not CSV after line {read} ({error}); is a quotation mark left open there? "
            'Close it and save the file as "CSV UTF-8"'
        ) from None


def _known_rows(text: str, path: Path, columns: Sequence[str], bad: list[str]) -> Iterator[tuple[int, Any]]:
    """The rows of JSON; one error, and not one a row, where all have their texts under other keys."""
    rows = list(_json_rows(text, bad))
    keys = dict.fromkeys(key.strip() for _, values in rows if isinstance(values, dict) for key in values)
    unknown = [key for key in keys if key.lower() not in (*columns, *NUMBERINGS, "")]
    if unknown and not {*NEEDED} <= {key.lower() for key in keys}:
        raise _named_otherwise(path, "key", unknown, columns)
    yield from rows


def _named_otherwise(path: Path, what: str, unknown: Sequence[str], columns: Sequence[str]) -> UserError:
    form = "table" if what == "column" else "messages"
    return UserError(
        f"{path}: {what}s {listed(unknown)} are not among {', '.join(columns)}; rename or remove them, or name them: "
        f"--from {form} --question {what.upper()} --answer {what.upper()}"
    )


def _json_rows(text: str, bad: list[str]) -> Iterator[tuple[int, Any]]:
    """The rows of one array, numbered as they come; those of an object on each line; of objects over many lines."""
    rows: list[tuple[int, Any]] = []
    if text.lstrip().startswith("["):
        if value := _parsed(text, 1, bad):
            yield from enumerate(value, 1)
        return
    if pretty := _over_lines(text):
        rows = pretty
    else:
        for number, line in enumerate(io.StringIO(text, newline=""), 1):
            if line.strip():
                count = len(bad)
                value = _parsed(line, number, bad)
                rows += [(number, value)] if len(bad) == count else []
    if len(rows) == 1 and isinstance(rows[0][1], dict):
        lists = [member for member in rows[0][1].values() if isinstance(member, list)]
        if len(lists) == len(rows[0][1]) == 1:  # {"pairs": [...]}
            rows = list(enumerate(lists[0], 1))
    yield from rows


def _parsed(text: str, line: int, bad: list[str]) -> Any:
    """The JSON of a text that begins at this line; what is wrong with it goes to `bad`."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        bad.append(f"line {line + error.lineno - 1}: not JSON ({error.msg})")
    except RecursionError:
        bad.append(f"line {line}: not JSON (nested too deeply)")
    except ValueError:
        bad.append(f"line {line}: not JSON (a number of too many digits)")
    return None


def _over_lines(text: str) -> list[tuple[int, Any]]:
    """The objects of a text and the line each begins at, if the first is written over several lines; else none."""
    decoder, rows, place = json.JSONDecoder(), [], len(text) - len(text.lstrip())
    if text[place:].partition("\n")[0].strip() != "{":
        return []
    try:
        while place < len(text):
            value, end = decoder.raw_decode(text, place)
            rows.append((text.count("\n", 0, place) + 1, value))
            place = len(text) - len(text[end:].lstrip(", \r\n\t"))
    except (ValueError, RecursionError):
        return []
    return rows
