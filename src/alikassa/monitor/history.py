"""What was seen, in a local SQLite file, with the state of alerts beside it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from alikassa.clock import moment_text
from alikassa.errors import ConfigurationError
from alikassa.monitor.snapshots import Failure, FailureKind, Figures, Snapshot, amount_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

__all__ = ["History", "HistoryError", "default_history"]

_VERSION = 2
_SCHEMA = """
CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY,
    profile TEXT NOT NULL,
    account TEXT NOT NULL,
    at TEXT NOT NULL,
    seconds REAL NOT NULL,
    currency TEXT,
    balance TEXT,
    hold TEXT,
    rolling_reserve TEXT,
    pending_payouts TEXT,
    raw BLOB,
    failure TEXT,
    failure_text TEXT,
    CHECK ((currency IS NULL) <> (failure IS NULL))
) STRICT;
CREATE INDEX snapshots_by_profile ON snapshots (profile, at);
CREATE INDEX snapshots_by_time ON snapshots (at);
CREATE TABLE rule_states (
    rule TEXT NOT NULL,
    profile TEXT NOT NULL,
    since TEXT NOT NULL,
    PRIMARY KEY (rule, profile)
) STRICT;
CREATE TABLE alerts (
    id TEXT NOT NULL,
    channel TEXT NOT NULL,
    at TEXT NOT NULL,
    content BLOB NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    delivered TEXT,
    PRIMARY KEY (id, channel)
) STRICT;
"""
#: From each version to the next.
_STEPS = {
    1: """
ALTER TABLE alerts ADD COLUMN not_before TEXT NOT NULL DEFAULT '';
CREATE INDEX alerts_to_tell ON alerts (channel) WHERE delivered IS NULL;
CREATE INDEX alerts_by_time ON alerts (at);
"""
}
_COLUMNS = (
    "profile, account, at, seconds, currency, balance, hold, rolling_reserve, pending_payouts, raw,"
    " failure, failure_text"
)
# Without the answers' bytes, of which a month is a lot.
_LIGHT = _COLUMNS.replace(" raw", " NULL")
_FORGOTTEN_AT_ONCE = 1000
# Who waits for another process's lock draws nothing and answers nobody.
_LOCK_SECONDS = 3.0


class HistoryError(ConfigurationError):
    """The history cannot be read or written: locked, damaged, or the disk is full."""


def default_history() -> Path:
    """`history.db` in the user's data folder; ALIKASSA_HISTORY names another file."""
    named = os.environ.get("ALIKASSA_HISTORY")
    if named:
        return Path(named)
    import platformdirs

    return platformdirs.user_data_path("alikassa") / "history.db"


class History:
    """Snapshots, and which alerts are on. Open it with `with`; ConfigurationError when the file is of no use.

    A snapshot is on disk when `add` returns: what is killed afterwards loses nothing.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self.path = path
        if not create and not path.exists():
            raise ConfigurationError(f"There is no history in {path}.", remedy="Begin one with: alikassa watch")
        with self._translated():
            if create:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                # SQLite gives its two companions the mode that the file has.
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = sqlite3.connect(path, timeout=_LOCK_SECONDS, isolation_level=None)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        with self.transaction():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if not 0 <= version <= _VERSION or (
                not version and self._db.execute("SELECT 1 FROM sqlite_schema").fetchone()
            ):
                raise ConfigurationError(
                    f"{self.path} is no history that this program knows (version {version}).",
                    remedy="Name another file, or use the program that made it.",
                )
            for step in range(version, _VERSION):
                for statement in _STEPS.get(step, _SCHEMA).split(";"):
                    self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {_VERSION}")
        # Only now: it is written into the file, which may have been another program's.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise HistoryError(
                f"The history {self.path} cannot be used: {error}.",
                remedy="See that the disk has room and that the file is whole, and no other program holds it.",
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is written inside is written together, or not at all."""
        with self._translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                # On a full disk SQLite may have rolled back by itself; or the commit has failed, and it has not.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """One statement and its rows."""
        with self._translated():
            return self._db.execute(statement, values).fetchall()

    def keep(self, snapshot: Snapshot, span: timedelta) -> None:
        """Keep a snapshot, and drop some of what is older than `span`: at once on disk."""
        with self.transaction():
            self.add(snapshot)
            self._forget(moment_text(snapshot.at - span))

    def add(self, snapshot: Snapshot) -> None:
        """Keep a snapshot."""
        figures, failure = snapshot.figures, snapshot.failure
        told: tuple[Any, ...] = (None,) * 6
        if figures is not None:
            told = (
                figures.currency,
                *(amount_text(figures_of) for figures_of in _amounts(figures)),
                figures.raw,
            )
        failed = (None, None) if failure is None else (str(failure.kind), failure.text)
        self.execute(
            f"INSERT INTO snapshots ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - our columns
            (snapshot.profile, snapshot.account, moment_text(snapshot.at), snapshot.seconds, *told, *failed),
        )

    def _forget(self, before: str) -> None:
        # A bounded number a look: a shorter --keep must not hold up a look, nor a clock that is wrong for a moment
        # cost a year.
        for table in ("snapshots", "alerts"):
            self._db.execute(
                f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE at < ? ORDER BY at LIMIT ?)",  # noqa: S608
                (before, _FORGOTTEN_AT_ONCE),
            )

    def recent(self, profile: str, since: datetime, now: datetime) -> list[Snapshot]:
        """A profile's snapshots from `since` to `now`, and before them the last one and the last answer, the oldest
        first. They come without `raw`.

        What lies after `now` was seen before the clock was set back, and is left out.
        """
        first, last = moment_text(since), moment_text(now)
        before = f"SELECT {_LIGHT} FROM snapshots WHERE profile = ? AND at < ?"  # noqa: S608 - our columns
        order = "ORDER BY at DESC, id DESC LIMIT 1"
        answered = self.execute(f"{before} AND currency IS NOT NULL {order}", (profile, first))
        any_ = self.execute(f"{before} {order}", (profile, first))
        rows = self.execute(
            f"SELECT {_LIGHT} FROM snapshots WHERE profile = ? AND at BETWEEN ? AND ? ORDER BY at, id",  # noqa: S608
            (profile, first, last),
        )
        return [self._snapshot(row) for row in (*answered, *(any_ if any_ != answered else ()), *rows)]

    def last(self, profile: str, account: str, count: int) -> list[Snapshot]:
        """The last `count` snapshots of a profile's account and, where none of them is an answer, the last answer
        before them, the oldest first."""
        # By id: the last that was written is the last, also after the clock was set back. The plus keeps SQLite from
        # sorting a year by it.
        query = f"SELECT {_COLUMNS} FROM snapshots WHERE +profile = ? AND account = ?"  # noqa: S608 - our columns
        rows = self.execute(f"{query} ORDER BY id DESC LIMIT ?", (profile, account, count))
        if not any(row[4] for row in rows):
            rows += self.execute(f"{query} AND currency IS NOT NULL ORDER BY id DESC LIMIT 1", (profile, account))
        return [self._snapshot(row) for row in reversed(rows)]

    def alerts_on(self) -> list[tuple[str, str, datetime]]:
        """Rule, profile and since when, the oldest first, of each alert that is on."""
        rows = self.execute("SELECT rule, profile, since FROM rule_states ORDER BY since")
        return [(rule, profile, datetime.fromisoformat(since)) for rule, profile, since in rows]

    def between(
        self,
        profile: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        newest: int | None = None,
    ) -> Iterator[Snapshot]:
        """Snapshots in time's order: from `since` on, before `until`; of one profile, or of all; the `newest` so many
        of them. They come without `raw`."""
        conditions, values = ["1"], []
        for condition, value in (
            ("profile = ?", profile),
            ("at >= ?", None if since is None else moment_text(since)),
            ("at < ?", None if until is None else moment_text(until)),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        query = f"SELECT id, {_LIGHT} FROM snapshots WHERE {' AND '.join(conditions)}"  # noqa: S608 - our columns
        if newest is not None:
            query = f"SELECT * FROM ({query} ORDER BY at DESC, id DESC LIMIT {newest:d})"  # noqa: S608 - a number
        with self._translated():
            for row in self._db.execute(f"{query} ORDER BY at, id", values):
                yield self._snapshot(row[1:])

    def _snapshot(self, row: tuple[Any, ...]) -> Snapshot:
        try:
            return _read(row)
        except (ValueError, TypeError, ArithmeticError) as error:
            raise HistoryError(f"The history {self.path} holds what no look found: it is damaged.") from error

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _amounts(figures: Figures) -> tuple[Decimal | None, ...]:
    return figures.balance, figures.hold, figures.rolling_reserve, figures.pending_payouts


def _read(row: tuple[Any, ...]) -> Snapshot:
    profile, account, at, seconds, currency, balance, hold, reserve, pending, raw, kind, text = row
    figures = failure = None
    if currency is not None:
        figures = Figures(
            currency,
            Decimal(balance),
            Decimal(hold),
            Decimal(reserve),
            None if pending is None else Decimal(pending),
            raw or b"",
        )
    else:
        failure = Failure(FailureKind(kind), text)
    return Snapshot(profile, account, datetime.fromisoformat(at).astimezone(UTC), seconds, figures, failure)
