"""An SQLite file that several processes use side by side; what SQLite cannot do with it is said in plain words."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tonetune.core.errors import UserError

DAMAGED = "it is damaged: move it away (what it holds is lost and asked for again)"
WAYS_OUT = {
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: DAMAGED,
    sqlite3.SQLITE_BUSY: "wait until the run that holds it has ended",
}


class Database:
    """The file at `path`, in WAL mode."""

    path: Path
    database: sqlite3.Connection

    def _open(self, schema: str) -> None:
        self.database = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.execute("PRAGMA synchronous = NORMAL")
        self.database.executescript(schema)

    def _scalar(self, query: str, *values: object) -> float:
        return float(self._rows(query, *values)[0][0] or 0)

    def _rows(self, query: str, *values: object) -> list[Any]:
        """Run one statement; all rows that it gives."""
        with self._errors_explained():
            return self.database.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._rows("BEGIN IMMEDIATE")
        try:
            yield
            self._rows("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self.database.rollback()  # does nothing where SQLite has done so itself
            raise

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        """What SQLite cannot do with the file is a `UserError`."""
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):  # what is there already; a mistake in this file
            raise
        except sqlite3.Error as error:
            # Without a code: text that is not UTF-8.
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF  # the rest is its finer kind
            way = WAYS_OUT.get(code, "make room, or make it writable")
            raise UserError(f"{self.path}: cannot be used ({error}); {way}, and run this again") from None
