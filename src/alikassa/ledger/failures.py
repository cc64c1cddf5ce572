"""The drivers' errors, turned into ours: what happened and what to do."""

from __future__ import annotations

import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from alikassa.errors import DatabaseConflictError, DatabaseError, DatabaseMissingError, DatabaseUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from alikassa.ledger.address import Address

__all__ = ["DRIVER_ERRORS", "translate", "translated", "unwritable"]

#: What the drivers raise. The last is what a connection says that was cut off while it was handed out.
DRIVER_ERRORS = (
    SQLAlchemyError,
    sqlite3.Error,
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


def translate(address: Address, error: Exception) -> DatabaseError:
    """Our error for a driver's. Its text names the database and a remedy; the driver's stays in the chain."""
    cause: BaseException = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    # SQLAlchemy's asyncpg dialect wraps the driver's own error once more. Time that ran out has, as its cause, that
    # whoever waited was cancelled.
    cause = cause if isinstance(cause, TimeoutError) else cause.__cause__ or cause
    text = str(cause).partition("\n")[0]
    if isinstance(cause, TimeoutError):
        return DatabaseUnavailableError(f"The database at {address} does not answer in time.")
    if isinstance(cause, sqlite3.Error):
        return _sqlite(address, cause, text)
    if isinstance(cause, asyncpg.InvalidCatalogNameError):
        return DatabaseMissingError(f"There is no database at {address}.", remedy="Make it with: createdb NAME")
    if isinstance(cause, asyncpg.InvalidAuthorizationSpecificationError):
        return DatabaseError(
            f"The database at {address} does not let us in: {text}.", remedy="Check user and password."
        )
    if isinstance(cause, asyncpg.InsufficientPrivilegeError):
        return DatabaseError(
            f"The database at {address} does not permit this: {text}.",
            remedy="Use the role that owns the tables, or run: alikassa database grant ROLE --database URL",
        )
    # Two processes that kept an answer under one key at once: the second finds it when it tries again.
    if isinstance(cause, (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.UniqueViolationError)):
        return DatabaseConflictError(f"The database at {address} let another transaction go first: {text}.")
    if isinstance(cause, (asyncpg.ReadOnlySQLTransactionError, asyncpg.DiskFullError)):
        return unwritable(address, full=isinstance(cause, asyncpg.DiskFullError))
    if isinstance(cause, asyncpg.QueryCanceledError):
        return DatabaseUnavailableError(f"The database at {address} does not answer in time.")
    if isinstance(cause, _AWAY):
        return DatabaseUnavailableError(
            f"The database at {address} cannot be reached: {text or type(cause).__name__}.",
            remedy="See that it runs and that host and port are right.",
        )
    return DatabaseError(f"The database at {address} failed: {text}.")


def _sqlite(address: Address, cause: sqlite3.Error, text: str) -> DatabaseError:
    if "locked" in text:
        return DatabaseUnavailableError(
            f"The database at {address} is locked by another program.", remedy="Try again when that one is done."
        )
    if "not a database" in text or "malformed" in text:
        return DatabaseMissingError(f"The file at {address} is not a SQLite database.", remedy="Check the URL.")
    if "unable to open" in text:
        return DatabaseMissingError(f"The database at {address} cannot be opened.", remedy="Check its permissions.")
    if "was read-only" in text:
        return DatabaseUnavailableError(
            f"The database at {address} {text}.", remedy="Try again: it is opened anew as soon as that is closed."
        )
    if "readonly" in text or "is full" in text:
        return unwritable(address, full="is full" in text)
    if text == "interrupted":
        return DatabaseUnavailableError(f"The database at {address} does not answer in time.")
    return DatabaseError(f"The database at {address} failed: {text}.")


def unwritable(address: Address, *, full: bool = False) -> DatabaseUnavailableError:
    """It may be read all the same. Nothing was written, and the same can be once that is mended."""
    if full:
        return DatabaseUnavailableError(
            f"The disk of the database at {address} is full.", remedy="Make room there; then it goes on by itself."
        )
    return DatabaseUnavailableError(
        f"The database at {address} cannot be written to.",
        remedy="Check its permissions, and whether it is a standby or was made read-only.",
    )


@asynccontextmanager
async def translated(address: Address) -> AsyncIterator[None]:
    """Turns the drivers' errors into ours."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise translate(address, error) from error


_AWAY = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
