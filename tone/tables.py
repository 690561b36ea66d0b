"""Small tables of figures as CSV, for `dvc plots`: what would crowd the columns of `dvc exp show` as metrics."""

import csv
from collections.abc import Mapping
from pathlib import Path

from tone.errors import UserError
from tone.files import replacing

COLUMNS = ("system", "measure", "value")


def write_measures(path: str | Path, measures: Mapping[str, Mapping[str, float]]) -> None:
    """Write one row for each system and measure, in their order."""
    with replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([system, name, value] for system, row in measures.items() for name, value in row.items())


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
