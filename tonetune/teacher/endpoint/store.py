"""Every response paid for, kept in SQLite under `$DVC_ROOT/.cache/teacher/`, shared by all runs of the repository.

In WAL mode each response is a transaction of its own, so a kill loses what is in flight and no more, and two experiments
read and write side by side. What is in flight is claimed: the other experiment waits for it and does not ask as well.
What limits asking (a minute's requests and tokens, the money) is counted here too, so that it holds for all of them.
"""

import json
import sqlite3
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from tonetune.core.errors import UserError
from tonetune.core.files import cache_dir
from tonetune.teacher.endpoint.database import Database
from tonetune.teacher.endpoint.reply import Reply
from tonetune.teacher.endpoint.request import Request
from tonetune.teacher.endpoint.thoughts import without_thoughts

SCHEMA = """
CREATE TABLE IF NOT EXISTS responses (
    key TEXT PRIMARY KEY, about TEXT NOT NULL, text TEXT NOT NULL, model TEXT NOT NULL, fingerprint TEXT,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    request TEXT NOT NULL, response TEXT NOT NULL, at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims (key TEXT PRIMARY KEY, owner TEXT NOT NULL, dollars REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS flights (
    key TEXT NOT NULL, owner TEXT NOT NULL, endpoint TEXT NOT NULL, model TEXT NOT NULL, dollars REAL NOT NULL,
    PRIMARY KEY (key, owner)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spending (
    endpoint TEXT NOT NULL, model TEXT NOT NULL, requests INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, dollars REAL NOT NULL,
    PRIMARY KEY (endpoint, model)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sent (endpoint TEXT NOT NULL, at REAL NOT NULL, tokens INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS sent_at ON sent (endpoint, at);
CREATE TABLE IF NOT EXISTS batches (token TEXT PRIMARY KEY, endpoint TEXT NOT NULL, id TEXT, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS batch_lines (
    token TEXT NOT NULL, key TEXT NOT NULL, about TEXT NOT NULL, request TEXT NOT NULL, PRIMARY KEY (token, key)
);
"""
MINUTE = 60.5  # seconds; a little more, as a request may reach the endpoint faster than the one before it


class Store(Database):
    """One process's hold on the store; close it, or use it as a context manager."""

    def __init__(self, folder: Path | None = None):
        self.folder = folder or cache_dir("teacher")
        self.path = self.folder / "responses.sqlite"
        # Two runs that make the store at the same moment would meet a locked database.
        with self._errors_explained(), FileLock(self.folder / "making.lock"):
            self._open(SCHEMA)
        # The owner of claims is alive as long as its lock is held, and the system lets go of it even on kill -9.
        self.owner = uuid.uuid4().hex
        self._alive = FileLock(self._lock_path(self.owner))
        self._alive.acquire()
        self.release_stale_claims()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back what is claimed; what is still in flight counts as if it had cost the most that it can."""
        with suppress(UserError, sqlite3.Error):  # where the file cannot be used, the claims end with the lock
            self._release_claims(self.owner)
        with suppress(sqlite3.Error):
            self.database.close()
        self._alive.release()
        self._lock_path(self.owner).unlink(missing_ok=True)

    def get(self, key: str) -> Reply | None:
        """The response to the request with this key."""
        rows = self._rows(
            "SELECT text, model, fingerprint, prompt_tokens, completion_tokens, response FROM responses WHERE key = ?",
            key,
        )
        if not rows:
            return None
        text, *rest = rows[0]  # older stores hold the thought too
        return Reply(without_thoughts(text)[0], *rest)

    def put(self, request: Request, about: str, reply: Reply) -> None:
        """Keep a good response; it is safe from a kill when this returns."""
        self._rows(
            "INSERT OR REPLACE INTO responses VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            request.key,
            about,
            reply.text,
            reply.model,
            reply.fingerprint,
            reply.prompt_tokens,
            reply.completion_tokens,
            request.model_dump_json(exclude_none=True),
            reply.raw,
            time.time(),
        )

    def count(self) -> int:
        """How many responses are kept."""
        return int(self._scalar("SELECT count(*) FROM responses"))

    # What is in flight

    def claim(self, key: str) -> bool:
        """Take a request on; False while another living run has it in flight."""
        for _ in range(2):
            try:
                self._rows("INSERT INTO claims VALUES (?, ?, 0)", key, self.owner)
                return True
            except sqlite3.IntegrityError:
                owners = self._rows("SELECT owner FROM claims WHERE key = ?", key)
                if owners and self._is_alive(owners[0][0]):
                    return False
        return False

    def release(self, key: str) -> None:
        """Give a claimed request back."""
        self._rows("DELETE FROM claims WHERE key = ? AND owner = ?", key, self.owner)

    def _is_alive(self, owner: str) -> bool:
        """Whether the owner's process runs; if not, its claims are dropped."""
        path = self._lock_path(owner)
        lock = FileLock(path)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return True
        self._release_claims(owner)
        path.unlink(missing_ok=True)
        lock.release()
        return False

    def _release_claims(self, owner: str) -> None:
        """Drop what a run has claimed, and book what it had in flight at its most: the endpoint may have billed it."""
        with self._transaction():
            self._rows("DELETE FROM claims WHERE owner = ?", owner)
            for endpoint, model, dollars in self._rows(
                "SELECT endpoint, model, dollars FROM flights WHERE owner = ?", owner
            ):
                self.book(endpoint, model, 0, 0, dollars)
            self._rows("DELETE FROM flights WHERE owner = ?", owner)

    def release_stale_claims(self) -> None:
        """Drop the claims of runs that have ended without doing so (`kill -9`), and with them the money they had set aside.

        What these had in flight is booked. Open batches outlive their run, so theirs stay.
        """
        batches = {token for (token,) in self._rows("SELECT token FROM batches")}
        for (owner,) in self._rows("SELECT owner FROM claims UNION SELECT owner FROM flights"):
            if owner != self.owner and owner not in batches:
                self._is_alive(owner)

    def _lock_path(self, owner: str) -> Path:
        return self.folder / f"{owner}.lock"

    # Money and minutes

    def reserve(self, key: str, dollars: float, limit: float) -> bool:
        """Set `dollars` aside for a claimed request; False if less than that is neither spent nor set aside."""
        with self._transaction():
            if dollars > limit - self.spent() - self.set_aside(key):
                return False
            self._rows("UPDATE claims SET dollars = ? WHERE key = ?", dollars, key)
        return True

    def set_aside(self, but_for: str = "") -> float:
        """Dollars that requests which are claimed, in flight or in an open batch may still cost, each at its most."""
        return self._scalar(
            "SELECT sum(most) FROM (SELECT key, max(dollars) AS most FROM (SELECT key, dollars FROM claims UNION ALL "
            "SELECT key, dollars FROM flights) WHERE key != ? GROUP BY key)",
            but_for,
        )

    def in_batches(self) -> float:
        """Dollars that the lines of open batches may still cost."""
        return self._scalar("SELECT sum(dollars) FROM flights WHERE owner IN (SELECT token FROM batches)")

    def mark_in_flight(self, key: str, endpoint: str, model: str, dollars: float, owner: str = "") -> None:
        """Note that a request leaves: from now on it may be billed, whatever becomes of this run."""
        self._rows(
            "INSERT OR REPLACE INTO flights VALUES (?, ?, ?, ?, ?)", key, owner or self.owner, endpoint, model, dollars
        )

    def settle(self, key: str) -> None:
        """Note that nothing more comes of this run's request."""
        self._rows("DELETE FROM flights WHERE key = ? AND owner = ?", key, self.owner)

    def spent(self) -> float:
        """Dollars that all asking has cost, as far as prices were known."""
        return self._scalar("SELECT sum(dollars) FROM spending")

    def spend(self, endpoint: str, key: str, reply: Reply, dollars: float) -> None:
        """Record what the response to a request cost, usable or not, in place of what was set aside for it."""
        with self._transaction():
            self._rows("UPDATE claims SET dollars = 0 WHERE key = ?", key)
            self._rows("DELETE FROM flights WHERE key = ?", key)
            self.book(endpoint, reply.model, reply.prompt_tokens, reply.completion_tokens, dollars)

    def book(self, endpoint: str, model: str, prompt: int, completion: int, dollars: float) -> None:
        """Add a request to what was spent."""
        self._rows(
            "INSERT INTO spending VALUES (?, ?, 1, ?, ?, ?) ON CONFLICT DO UPDATE SET requests = requests + 1, "
            "prompt_tokens = prompt_tokens + excluded.prompt_tokens, dollars = dollars + excluded.dollars, "
            "completion_tokens = completion_tokens + excluded.completion_tokens",
            endpoint,
            model,
            prompt,
            completion,
            dollars,
        )

    def take_turn(self, endpoint: str, tokens: int, requests_limit: float, tokens_limit: float) -> float:
        """Count a request of `tokens` that is sent now; or else the seconds until one might be.

        In no span of a minute are the limits passed.
        """
        with self._transaction():
            now = time.time()
            self._rows("DELETE FROM sent WHERE endpoint = ? AND at <= ?", endpoint, now - MINUTE)
            ((count, total),) = self._rows(
                "SELECT count(*), coalesce(sum(tokens), 0) FROM sent WHERE endpoint = ?", endpoint
            )
            if count + 1 <= requests_limit and total + tokens <= tokens_limit:
                self._rows("INSERT INTO sent VALUES (?, ?, ?)", endpoint, now, tokens)
                return 0.0
            for at, earlier in self._rows("SELECT at, tokens FROM sent WHERE endpoint = ? ORDER BY at", endpoint):
                count, total = count - 1, total - earlier
                if count + 1 <= requests_limit and total + tokens <= tokens_limit:
                    return max(0.001, float(at) + MINUTE - now)
        return MINUTE

    # Batches

    def open_batch(
        self, token: str, endpoint: str, lines: list[tuple[Request, str]], most: Callable[[Request], float]
    ) -> None:
        """Note a batch before it is submitted, so that a kill between the two does not submit it twice.

        Each line counts as in flight at its `most`, in dollars, until the batch is closed.
        """
        with self._transaction():
            self._rows("INSERT INTO batches VALUES (?, ?, NULL, ?)", token, endpoint, time.time())
            for request, about in lines:
                written = request.model_dump_json(exclude_none=True)
                self._rows("INSERT INTO batch_lines VALUES (?, ?, ?, ?)", token, request.key, about, written)
                self.mark_in_flight(request.key, endpoint, request.model, most(request), token)

    def name_batch(self, token: str, identifier: str) -> None:
        """Note the id that the endpoint gave the batch."""
        self._rows("UPDATE batches SET id = ? WHERE token = ?", identifier, token)

    def close_batch(self, token: str) -> None:
        """Forget a batch whose results are in."""
        with self._transaction():
            self._rows("DELETE FROM batches WHERE token = ?", token)
            self._rows("DELETE FROM batch_lines WHERE token = ?", token)
            self._rows("DELETE FROM flights WHERE owner = ?", token)

    def open_batches(self, endpoint: str) -> list[tuple[str, str | None]]:
        """(token, id) of the batches whose results are not in; the id is None if submitting it may not have worked."""
        return self._rows("SELECT token, id FROM batches WHERE endpoint = ? ORDER BY at", endpoint)

    def batch_lines(self, token: str) -> dict[str, tuple[Request, str]]:
        """(request, about) of the batch's lines by key."""
        rows = self._rows("SELECT key, request, about FROM batch_lines WHERE token = ?", token)
        return {key: (Request.model_validate(json.loads(request)), about) for key, request, about in rows}
