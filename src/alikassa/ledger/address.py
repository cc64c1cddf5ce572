"""Where a database is."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from alikassa.errors import ConfigurationError, DatabaseMissingError, DatabaseUnavailableError

if TYPE_CHECKING:
    import asyncpg

__all__ = ["Address", "backend_bound"]

#: How long PostgreSQL may take to let us in, in seconds.
CONNECT_SECONDS = 3.0
# So much longer than whoever asks, PostgreSQL itself goes on with a statement: what is told is the asker's.
_SPARE_SECONDS = 1.0


@dataclass(frozen=True)
class Address:
    """A database URL, read: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://...`.

    For PostgreSQL the URL is handed to the driver as it stands, its parameters (`sslmode`, `host`) included.
    Printed, it shows neither password nor parameters.
    """

    url: URL = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """ConfigurationError for anything else. The text is not repeated there: it may hold a password."""
        try:
            url = make_url(text)
        except (ArgumentError, ValueError):
            url = URL.create("none")
        if url.drivername == "postgres":
            url = url.set(drivername="postgresql")
        sqlite = url.drivername == "sqlite"
        understood = sqlite or url.drivername == "postgresql"
        # An @ past the host is a piece of a password that was not escaped.
        misread = (url.host or url.query) if sqlite else "@" in f"{url.host}{url.database}"
        if not understood or misread or (url.port or 1) > 65535:
            raise ConfigurationError(
                "The database URL is not understood.",
                remedy="Write sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/name."
                " In a password, write @ as %40 and / as %2F.",
            )
        if sqlite and url.database in (None, "", ":memory:"):
            raise ConfigurationError("The database URL names no file.", remedy="Write sqlite:///books.db.")
        return cls(url)

    @property
    def sqlite_file(self) -> Path | None:
        """The SQLite file, None on PostgreSQL."""
        return Path(self.url.database or "") if self.url.drivername == "sqlite" else None

    def find_file(self, *, create: bool) -> None:
        """See that the SQLite file is there. A new one is for its owner only, as the log and index beside it will be.

        Raises DatabaseMissingError when there is none and none is to be made, or when it cannot be opened.
        """
        file = self.sqlite_file
        if file is None:
            return
        if not file.parent.is_dir():
            raise DatabaseMissingError(
                f"There is no database at {self}: the folder {file.parent} does not exist.", remedy="Check the URL."
            )
        if not create and not file.exists():
            raise DatabaseMissingError(
                f"There is no database at {self}.",
                remedy="Check the URL. `alikassa serve` and `alikassa merchant add` make a new one.",
            )
        try:
            os.close(os.open(file, os.O_RDWR | (os.O_CREAT if create else 0), 0o600))
        except OSError as error:
            raise DatabaseMissingError(
                f"The database at {self} cannot be opened: {error.strerror}.", remedy="Check the URL and permissions."
            ) from error

    def identity(self) -> tuple[int, int] | None:
        """Which SQLite file is there: another one may have taken its place, a restored copy, say. None on PostgreSQL.
        FileNotFoundError when there is none."""
        file = self.sqlite_file
        if file is None:
            return None
        found = os.stat(file)
        return found.st_dev, found.st_ino

    def check_place(self, opened: tuple[int, int] | None) -> None:
        """After a commit: it counts only if the file is still the one that was opened. DatabaseUnavailableError when
        another was put in its place before, a copy that does not have what was committed."""
        if self.identity() != opened:
            raise DatabaseUnavailableError(f"Another file was put in the place of the database at {self}.")

    async def connect(self, *, standby: bool = False, **settings: Any) -> asyncpg.Connection:
        """A connection of the PostgreSQL driver's own.

        Only a primary is taken unless a `standby` will do, or the URL itself says otherwise: a standby tells what was
        true a while ago, and would honour a certificate that has been revoked since.
        """
        import asyncpg

        if not standby and "target_session_attrs" not in self.url.query:
            settings["target_session_attrs"] = "primary"
        return await asyncpg.connect(self.dsn, timeout=CONNECT_SECONDS, **settings)

    @property
    def dsn(self) -> str:
        """The URL with its password: never print it."""
        return self.url.render_as_string(hide_password=False)

    def __str__(self) -> str:
        if self.url.drivername == "sqlite":
            return f"sqlite:///{self.url.database}"
        user = f"{self.url.username}@" if self.url.username else ""
        port = f":{self.url.port}" if self.url.port else ""
        return f"postgresql://{user}{self.url.host or ''}{port}/{self.url.database or ''}"


def backend_bound(seconds: float) -> dict[str, str]:
    """PostgreSQL's settings, for `connect`, where whoever asks waits so long for a statement.

    A connection that is given up does not end what its backend does: waiting for a lock, it would go on for ever, and
    the next attempt would leave another one. A commit that waits for a standby is not cut off by it.
    """
    return {"statement_timeout": str(round((seconds + _SPARE_SECONDS) * 1000))}
