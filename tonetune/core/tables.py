"""Small tables as CSV, for `dvc plots`: what would crowd the columns of `dvc exp show` as metrics."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from tonetune.core.errors import UserError
from tonetune.core.files import replacing

COLUMNS = ("system", "measure", "value")


def write_table(path: str | Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file with a header, all of it or nothing, with the same line ends everywhere."""
    with replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def write_measures(path: str | Path, measures: Mapping[str, Mapping[str, float]]) -> None:
    """Write one row for each system and measure, in their order."""
    write_table(path, COLUMNS, ([system, *cell] for system, row in measures.items() for cell in row.items()))


def read_measures(path: str | Path) -> dict[str, dict[str, float]]:
    """Read what `write_measures` wrote."""
    measures: dict[str, dict[str, float]] = {}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                measures.setdefault(row["system"], {})[row["measure"]] = float(row["value"])
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; `dvc repro` makes it") from None
    except (KeyError, ValueError, TypeError):
        raise UserError(f"{path}: not a table of {', '.join(COLUMNS)}; `dvc repro` makes it anew") from None
    return measures


def write_rows_of(path: str | Path, kind: type, rows: Sequence[Any]) -> None:
    """Write rows of the dataclass `kind` as CSV; with no rows, the header alone."""
    write_table(path, [field.name for field in fields(kind)], map(astuple, rows))
