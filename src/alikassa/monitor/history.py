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

__all__ = ["History", "default_history"]

_VERSION = 1
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
_COLUMNS = (
    "profile, account, at, seconds, currency, balance, hold, rolling_reserve, pending_payouts, raw,"
    " failure, failure_text"
)


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
            self._db = sqlite3.connect(path, timeout=10, isolation_level=None)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        with self.transaction():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version == _VERSION:
                return
            if version or self._db.execute("SELECT 1 FROM sqlite_schema").fetchone():
                raise ConfigurationError(
                    f"{self.path} is no history that this program knows (version {version}).",
                    remedy="Name another file, or use the program that made it.",
                )
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {_VERSION}")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(f"The history {self.path} cannot be used: {error}.") from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is written inside is written together, or not at all."""
        with self._translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """One statement and its rows."""
        with self._translated():
            return self._db.execute(statement, values).fetchall()

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

    def forget(self, keep: timedelta, now: datetime) -> None:
        """Drop what is older than `keep`, alerts that were told included."""
        before = moment_text(now - keep)
        with self.transaction():
            self._db.execute("DELETE FROM snapshots WHERE at < ?", (before,))
            self._db.execute("DELETE FROM alerts WHERE at < ?", (before,))

    def recent(self, profile: str, since: datetime) -> list[Snapshot]:
        """A profile's snapshots from `since` on, and the last one before it, the oldest first."""
        rows = self.execute(
            f"SELECT {_COLUMNS} FROM snapshots WHERE profile = ? AND at >= coalesce("  # noqa: S608 - our columns
            "(SELECT max(at) FROM snapshots WHERE profile = ? AND at < ?), '') ORDER BY at, id",
            (profile, profile, moment_text(since)),
        )
        return [_snapshot(row) for row in rows]

    def last(self, profile: str, account: str, count: int) -> list[Snapshot]:
        """The last `count` snapshots of a profile's account, the oldest first."""
        rows = self.execute(
            f"SELECT {_COLUMNS} FROM snapshots WHERE profile = ? AND account = ? ORDER BY at DESC, id DESC LIMIT ?",  # noqa: S608
            (profile, account, count),
        )
        return [_snapshot(row) for row in reversed(rows)]

    def between(
        self, profile: str | None = None, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[Snapshot]:
        """Snapshots in time's order: from `since` on, before `until`; of one profile, or of all."""
        conditions, values = ["1"], []
        for condition, value in (
            ("profile = ?", profile),
            ("at >= ?", None if since is None else moment_text(since)),
            ("at < ?", None if until is None else moment_text(until)),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        with self._translated():
            rows = self._db.execute(
                f"SELECT {_COLUMNS} FROM snapshots WHERE {' AND '.join(conditions)} ORDER BY at, id",  # noqa: S608
                values,
            )
            for row in rows:
                yield _snapshot(row)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _amounts(figures: Figures) -> tuple[Decimal | None, ...]:
    return figures.balance, figures.hold, figures.rolling_reserve, figures.pending_payouts


def _snapshot(row: tuple[Any, ...]) -> Snapshot:
    profile, account, at, seconds, currency, balance, hold, reserve, pending, raw, kind, text = row
    figures = failure = None
    if currency is not None:
        figures = Figures(
            currency,
            Decimal(balance),
            Decimal(hold),
            Decimal(reserve),
            None if pending is None else Decimal(pending),
            raw,
        )
    else:
        failure = Failure(FailureKind(kind), text)
    return Snapshot(profile, account, datetime.fromisoformat(at).astimezone(UTC), seconds, figures, failure)
