"""Databases: migrations, versions, immutability, rights."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from alikassa.errors import ConfigurationError, DatabaseError, DatabaseMissingError, DatabaseVersionError
from alikassa.ledger import migrate
from alikassa.ledger.address import Address
from alikassa.ledger.books import Books
from alikassa.ledger.commands import HoldPlace, PayoutCreate, SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.policy import Policy
from alikassa.ledger.privileges import grant_server
from alikassa.ledger.registry import Registry
from alikassa.ledger.replicas.tables import passing
from alikassa.ledger.schema import GROWING, IMMUTABLE, REVISION, lots, metadata, payouts
from conftest import PAGE_ACCOUNT, Shop, make_shop


def on_postgresql(url: str, *statements: str) -> list[Any]:
    """Run statements over a connection of the driver's own, each committed by itself."""

    async def run() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return [await connection.fetch(statement) for statement in statements]
        finally:
            await connection.close()

    return asyncio.run(run())


def on_sqlite(url: str, *statements: str) -> None:
    """Run statements as a foreign program would: without our connection's settings."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    try:
        for statement in statements:
            with connection:
                connection.execute(statement)
    finally:
        connection.close()


def opened(url: str, **options: bool) -> None:
    async def run() -> None:
        async with await Database.open(url, **options):
            pass

    asyncio.run(run())


def test_migrations_make_the_tables_that_the_program_uses(database_url: str) -> None:
    """Comparing the migrated database with the tables in schema.py finds no difference.

    Triggers stand in for the journal's foreign keys on PostgreSQL; the tests below see them work.
    """

    tables: Any = [metadata, passing] if database_url.startswith("postgresql") else metadata

    async def differences() -> list[Any]:
        async with await Database.open(database_url, create=True) as database, database.read() as connection:
            return await connection.run_sync(
                lambda sync: compare_metadata(MigrationContext.configure(sync, opts={"compare_type": True}), tables)
            )

    found = asyncio.run(differences())
    if database_url.startswith("postgresql"):
        found = [one for one in found if one[0] != "add_fk" or one[1].table.name not in ("journal_entries", "postings")]
    assert found == []


def test_no_entry_without_its_account_and_no_posting_without_its_entry(shop: Shop) -> None:
    """The database itself refuses both, for whatever program tries."""
    nobody = uuid.UUID(int=0)
    entry = (
        f"INSERT INTO journal_entries ({COLUMNS}) SELECT lane, '{nobody}', sequence, '{nobody}', kind, reference,"
        " reason,"
        " content, lines, effective_at, recorded_at, hash FROM journal_entries WHERE sequence = 1"
    )
    posting = (
        "INSERT INTO postings (lane, account_id, sequence, line, bucket, amount)"
        " SELECT lane, account_id, 1000, line, bucket, amount FROM postings WHERE sequence = 1"
    )
    for statement in (entry, posting):
        if shop.database.startswith("sqlite"):
            connection = sqlite3.connect(shop.database.removeprefix("sqlite:///"))
            connection.execute("PRAGMA foreign_keys = ON")
            with pytest.raises(sqlite3.IntegrityError), connection:
                connection.execute(statement)
            connection.close()
        else:
            with pytest.raises((asyncpg.RestrictViolationError, asyncpg.ForeignKeyViolationError)):
                on_postgresql(shop.database, statement)


def test_the_newest_migration_is_the_revision_that_is_asked_for() -> None:
    """schema.REVISION names the newest migration."""
    assert migrate.newest() == REVISION


@pytest.mark.parametrize("table", GROWING, ids=lambda table: table.name)
def test_the_lane_comes_first_in_every_key(table: sa.Table) -> None:
    """Growing tables are keyed by lane, then account: what a sharded engine needs."""
    assert next(iter(table.primary_key.columns)).name == "lane"
    for constraint in table.constraints:
        if isinstance(constraint, sa.UniqueConstraint):
            assert next(iter(constraint.columns)).name == "lane"


def test_two_programs_may_meet_an_empty_database(database_url: str) -> None:
    """Both open it, one makes the tables, neither fails."""

    async def run() -> None:
        both = await asyncio.gather(*(Database.open(database_url, create=True) for _ in range(2)))
        for database in both:
            await database.close()

    asyncio.run(run())
    opened(database_url)


def test_an_empty_database_is_not_filled_unasked(postgresql_url: str) -> None:
    """A command that only reads says that there is nothing, instead of making tables."""
    with pytest.raises(DatabaseMissingError, match="empty"):
        opened(postgresql_url)


def test_a_missing_file_is_not_made_unasked(sqlite_url: str) -> None:
    """A mistyped file name does not become a new database."""
    with pytest.raises(DatabaseMissingError):
        opened(sqlite_url)
    assert not Path(sqlite_url.removeprefix("sqlite:///")).exists()


@pytest.mark.parametrize("revision", ["0000", "9999"])
def test_another_version_is_refused(database_url: str, revision: str) -> None:
    """A schema that this program does not know is left alone."""
    opened(database_url, create=True)
    run = on_sqlite if database_url.startswith("sqlite") else on_postgresql
    run(database_url, f"UPDATE alembic_version SET version_num = '{revision}'")
    with pytest.raises(DatabaseVersionError, match=revision):
        opened(database_url, create=True, migrate=True)


def test_an_older_version_is_refused_with_the_command_to_run(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known but older: the message names `alikassa database migrate`."""
    opened(sqlite_url, create=True)
    monkeypatch.setattr("alikassa.ledger.database.REVISION", "9999")
    with pytest.raises(DatabaseVersionError) as caught:
        opened(sqlite_url, create=True)
    assert "alikassa database migrate" in caught.value.remedy


def test_foreign_tables_are_left_alone(database_url: str) -> None:
    """A database of somebody else's is refused, not added to."""
    run = on_sqlite if database_url.startswith("sqlite") else on_postgresql
    run(database_url, "CREATE TABLE theirs (id integer)")
    with pytest.raises(DatabaseVersionError, match="theirs"):
        opened(database_url, create=True)


def test_other_counts_of_lanes_are_refused(sqlite_url: str) -> None:
    """The lanes are written in the database; a program that counts others would look in the wrong places."""
    opened(sqlite_url, create=True)
    on_sqlite(sqlite_url, "UPDATE settings SET value = '32' WHERE name = 'lanes'")
    with pytest.raises(DatabaseVersionError, match="32 lanes"):
        opened(sqlite_url)


@pytest.mark.parametrize(
    "url",
    [
        *("", "books.db", "mysql://host/db", "sqlite://", "sqlite:///:memory:", "sqlite://host/books.db", "http://x"),
        *("::", "postgresql://host:abc/db", "postgresql://host:99999/db", "postgresql://[::1/db"),
        *("postgresql://me:sec@ret@host/db", "postgresql://me:se@cret/x@host/db", "sqlite:///books.db?timeout=1"),
    ],
)
def test_urls_that_name_no_database_are_refused(url: str) -> None:
    """A URL that is not understood is a configuration error that shows how to write one."""
    with pytest.raises(ConfigurationError) as caught:
        Address.parse(url)
    assert "sqlite:///" in caught.value.remedy


def test_passwords_are_not_shown() -> None:
    """An address prints itself without its password."""
    for url in ("postgresql://me:s3cret@127.0.0.1:1/books", "postgresql://127.0.0.1:1/books?user=me&password=s3cret"):
        assert "s3cret" not in f"{Address.parse(url)} {Address.parse(url)!r}"


def test_a_postgresql_that_is_not_there_is_told(unused_port: int) -> None:
    """Nobody listens: the message says so, without the password."""
    with pytest.raises(DatabaseError, match="cannot be reached") as caught:
        opened(f"postgresql://me:s3cret@127.0.0.1:{unused_port}/books")
    assert "s3cret" not in str(caught.value)


def test_a_postgresql_database_that_is_not_there_is_told(postgresql_url: str) -> None:
    """The server is there, the database is not."""
    with pytest.raises(DatabaseMissingError, match="no database"):
        opened(postgresql_url.replace("/test_", "/missing_"))


async def book_one_of_each(shop: Shop) -> None:
    """So that there are rows in every table of the books."""
    account = uuid.UUID(shop.account)
    async with await Database.open(shop.database) as database:
        books = Books(database)
        await books.book(SetPolicy(account, Policy(), "terms"))
        await books.book(HoldPlace(account, 1, "held", "a test"))
        await books.book(PayoutCreate(account, 1, "out"))


CHANGES = [
    "UPDATE {table} SET lane = lane",
    "UPDATE {table} SET lane = lane WHERE account_id = '" + PAGE_ACCOUNT + "'",
    "DELETE FROM {table}",
]


FIXED = {"lots": "due_at = NULL", "payouts": "fee = fee"}


@pytest.mark.parametrize("table", [*IMMUTABLE, lots, payouts], ids=lambda table: table.name)
@pytest.mark.parametrize("change", CHANGES)
def test_booked_rows_cannot_be_changed(shop: Shop, table: sa.Table, change: str) -> None:
    """Update and delete are refused by the database itself, for whatever program tries, its owner included.

    Of lots and payouts this holds for what was fixed when they were made.
    """
    asyncio.run(book_one_of_each(shop))
    if table.name in FIXED:
        change = change.replace("lane = lane", FIXED[table.name])
    statement = change.format(table=table.name)
    if shop.database.startswith("sqlite"):
        with pytest.raises(sqlite3.IntegrityError, match="immutable"):
            on_sqlite(shop.database, statement)
    else:
        with pytest.raises(asyncpg.RestrictViolationError, match="immutable"):
            on_postgresql(shop.database, statement)


COLUMNS = "lane, account_id, sequence, id, kind, reference, reason, content, lines, effective_at, recorded_at, hash"


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT OR REPLACE INTO postings SELECT lane, account_id, sequence, line, bucket, '1.00000000', NULL, NULL"
        " FROM postings",
        f"REPLACE INTO journal_entries ({COLUMNS})"
        " SELECT lane, account_id, sequence, id, kind, reference, 'forged', content,"
        " lines, effective_at, recorded_at, hash FROM journal_entries",
        f"INSERT OR REPLACE INTO journal_entries ({COLUMNS})"
        " SELECT lane, account_id, sequence + 100, '0' || id, kind, reference,"
        " 'forged', content, lines, effective_at, recorded_at, hash FROM journal_entries",
        f"INSERT OR REPLACE INTO journal_entries ({COLUMNS})"
        " SELECT lane, account_id, sequence + 100, id, kind, reference || 'x',"
        " 'forged', content, lines, effective_at, recorded_at, hash FROM journal_entries",
    ],
)
@pytest.mark.parametrize("recursive", ["ON", "OFF"])
def test_booked_rows_cannot_be_replaced(sqlite_shop: Shop, statement: str, recursive: str) -> None:
    """On SQLite, REPLACE slips past delete triggers unless a connection asks otherwise; not past ours."""
    connection = sqlite3.connect(sqlite_shop.database.removeprefix("sqlite:///"))
    try:
        connection.execute(f"PRAGMA recursive_triggers = {recursive}")
        with pytest.raises(sqlite3.IntegrityError, match="immutable"):
            connection.execute(statement)
    finally:
        connection.close()


@pytest.mark.parametrize("table", IMMUTABLE, ids=lambda table: table.name)
def test_booked_tables_cannot_be_truncated(
    table: sa.Table, postgresql_url: str, archives: Callable[[str], Path]
) -> None:
    """On PostgreSQL, TRUNCATE is refused too."""
    make_shop(postgresql_url, archives("payout"), archives("payment"))
    with pytest.raises(asyncpg.RestrictViolationError, match="immutable"):
        on_postgresql(postgresql_url, f"TRUNCATE {table.name} CASCADE")


def test_the_serving_role_can_serve_and_book_but_not_change(
    postgresql_url: str, archives: Callable[[str], Path]
) -> None:
    """With the rights of `database grant`: everything the program does works; changing the journal is no right."""
    role = f"serving_{postgresql_url.partition('/test_')[2][:8]}"
    as_role = postgresql_url.replace("postgres:@", f"{role}@", 1)

    async def grant() -> None:
        async with await Database.open(postgresql_url, create=True) as database:
            await grant_server(database, role)

    on_postgresql(postgresql_url, f"CREATE ROLE {role} LOGIN")
    asyncio.run(grant())
    shop = make_shop(as_role, archives("payout"), archives("payment"))

    async def revoke() -> None:
        async with await Database.open(as_role) as database:
            await Registry(database).revoke_certificate((await Registry(database).certificates())[0].id)

    asyncio.run(revoke())
    for statement in (
        "UPDATE accounts SET currency = 'USD'",
        "UPDATE accounts SET merchant_id = merchant_id",
        "UPDATE certificates SET public_key = ''",
        "DELETE FROM merchants",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            on_postgresql(as_role, statement)
    for table in IMMUTABLE:
        on_postgresql(postgresql_url, f"ALTER TABLE {table.name} DISABLE TRIGGER USER")
        for change in (*CHANGES, "TRUNCATE {table}"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                on_postgresql(as_role, change.format(table=table.name))
    assert shop.account == PAGE_ACCOUNT


def test_rights_go_to_a_role_that_exists(postgresql_url: str, sqlite_url: str) -> None:
    """An unknown role is told, and so is an engine without roles."""

    async def grant(url: str) -> None:
        async with await Database.open(url, create=True) as database:
            await grant_server(database, "nobody_here; DROP TABLE postings")

    with pytest.raises(ConfigurationError, match="no role"):
        asyncio.run(grant(postgresql_url))
    with pytest.raises(ConfigurationError, match="no roles"):
        asyncio.run(grant(sqlite_url))


def refused(url: str, statement: str) -> None:
    """The database refuses the statement, in the words of a guard of ours or of a check."""
    if url.startswith("sqlite"):
        with pytest.raises(sqlite3.IntegrityError):
            on_sqlite(url, statement)
    else:
        with pytest.raises((asyncpg.RestrictViolationError, asyncpg.CheckViolationError)):
            on_postgresql(url, statement)


@pytest.mark.parametrize("line", [2, 99, -1])
def test_a_booked_entry_takes_no_more_postings(shop: Shop, line: int) -> None:
    """An entry has the postings that it was booked with; adding one to it would change it."""
    amount = "'1.00000000'" if shop.database.startswith("sqlite") else "1"
    refused(
        shop.database,
        "INSERT INTO postings (lane, account_id, sequence, line, bucket, amount)"
        f" SELECT lane, id, 1, {line}, 'balance', {amount} FROM accounts",
    )


def test_the_database_itself_keeps_revoked_certificates_revoked(shop: Shop) -> None:
    """Whatever program tries to bring one back."""
    run = on_sqlite if shop.database.startswith("sqlite") else on_postgresql
    run(shop.database, "UPDATE certificates SET state = 'revoked', revoked_at = created_at")
    refused(shop.database, "UPDATE certificates SET state = 'active', revoked_at = NULL")


@pytest.mark.parametrize("text", ["junk", "1.0", "1", "1.000000000", "1e3", ".00000000", ""])
def test_sqlite_keeps_amounts_in_their_form(sqlite_shop: Shop, text: str) -> None:
    """An amount is text there: digits, a point and eight decimals, and nothing else gets in."""
    refused(sqlite_shop.database, f"UPDATE accounts SET balance = '{text}'")


def test_a_new_sqlite_file_is_for_its_owner(sqlite_url: str) -> None:
    """Nobody else on the machine reads the books."""
    opened(sqlite_url, create=True)
    assert Path(sqlite_url.removeprefix("sqlite:///")).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("bucket", ["hold", "rolling_reserve", "pending_payouts"])
def test_the_database_itself_keeps_buckets_from_falling_below_zero(shop: Shop, bucket: str) -> None:
    """A last line behind the rules: no program writes a negative hold, reserve or pending sum."""
    refused(shop.database, f"UPDATE accounts SET {bucket} = '-0.00000001'")


@pytest.mark.anyio
async def test_a_sqlite_file_that_is_gone_does_not_come_back_empty(tmp_path: Path) -> None:
    """Whoever reads or writes meanwhile is told, leaves its place free, and finds it again there; its folder may have
    any name."""
    file = tmp_path / "a #?% б" / "books.db"
    file.parent.mkdir()
    url = sa.URL.create("sqlite", database=str(file)).render_as_string()
    async with await Database.open(url, create=True) as database:
        away = file.rename(tmp_path / "away.db")
        with pytest.raises(DatabaseMissingError, match="cannot be opened"):
            await database.revision()
        with pytest.raises(DatabaseMissingError, match="cannot be opened"):
            async with database.write():
                pass
        assert not file.exists()
        away.rename(file)
        assert await database.revision() == REVISION
