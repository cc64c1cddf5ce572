"""The drivers' errors in our words."""

from __future__ import annotations

import asyncio
import sqlite3

import asyncpg
import pytest
from sqlalchemy.exc import OperationalError

from alikassa.errors import DatabaseConflictError, DatabaseError, DatabaseMissingError, DatabaseUnavailableError
from alikassa.ledger.address import Address
from alikassa.ledger.failures import translate

ADDRESS = Address.parse("postgresql://me:s3cret@127.0.0.1:5432/books")


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (TimeoutError(), DatabaseUnavailableError, "in time"),
        (ConnectionRefusedError("refused"), DatabaseUnavailableError, "cannot be reached"),
        (asyncpg.InterfaceError("connection is closed"), DatabaseUnavailableError, "cannot be reached"),
        (asyncpg.InternalClientError("another operation"), DatabaseUnavailableError, "cannot be reached"),
        (asyncpg.AdminShutdownError("terminating"), DatabaseUnavailableError, "cannot be reached"),
        (asyncpg.CannotConnectNowError("starting up"), DatabaseUnavailableError, "cannot be reached"),
        (asyncpg.InvalidCatalogNameError("no db"), DatabaseMissingError, "no database"),
        (asyncpg.InvalidPasswordError("wrong"), DatabaseError, "let us in"),
        (asyncpg.InsufficientPrivilegeError("denied"), DatabaseError, "not permit"),
        (asyncpg.DivisionByZeroError("what\nDETAIL: more"), DatabaseError, "failed: what."),
        (asyncpg.SerializationError("could not serialize"), DatabaseConflictError, "go first"),
        (asyncpg.DeadlockDetectedError("deadlock detected"), DatabaseConflictError, "go first"),
        (asyncpg.UniqueViolationError("duplicate key"), DatabaseConflictError, "go first"),
        (sqlite3.OperationalError("database is locked"), DatabaseUnavailableError, "locked"),
        (sqlite3.DatabaseError("file is not a database"), DatabaseMissingError, "not a SQLite"),
        (sqlite3.OperationalError("unable to open database file"), DatabaseMissingError, "opened"),
        (sqlite3.OperationalError("attempt to write a readonly database"), DatabaseUnavailableError, "written"),
        (sqlite3.OperationalError("database or disk is full"), DatabaseUnavailableError, "full"),
        (sqlite3.OperationalError("interrupted"), DatabaseUnavailableError, "in time"),
        (asyncpg.ReadOnlySQLTransactionError("cannot execute"), DatabaseUnavailableError, "written"),
        (asyncpg.DiskFullError("could not extend file"), DatabaseUnavailableError, "full"),
        (asyncpg.QueryCanceledError("statement timeout"), DatabaseUnavailableError, "in time"),
        (sqlite3.OperationalError("disk I/O error"), DatabaseError, "disk I/O error"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_failure_has_its_words(error: Exception, kind: type[DatabaseError], says: str) -> None:
    """What happened is told with the database's address, never with its password, wrapped or not."""
    for each in (error, OperationalError("SELECT 1", {}, error)):
        found = translate(ADDRESS, each)
        assert type(found) is kind
        assert says in str(found)
        assert "s3cret" not in f"{found} {found.remedy}"
        assert found.retryable == issubclass(kind, DatabaseUnavailableError)


@pytest.mark.anyio
async def test_time_that_ran_out_here_is_no_other_failure() -> None:
    """As `asyncio.timeout` raises it: with the cancelling as its cause."""
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0):
            await asyncio.sleep(1)
    found = translate(ADDRESS, caught.value)
    assert (type(found), str(found)) == (
        DatabaseUnavailableError,
        f"The database at {ADDRESS} does not answer in time.",
    )
