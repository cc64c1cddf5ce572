"""Backups of books in use: one state of them, restored whole, on either engine, or refused."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import stat
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import msgspec
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy.ext.asyncio import AsyncConnection

from alikassa.errors import AlikassaError, DatabaseError, PayoutStateError
from alikassa.ledger.backup import BackupError, backup, restore
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Chargeback, Payment, PayoutCreate, PayoutFail, PayoutPaid
from alikassa.ledger.database import Database
from alikassa.ledger.model import Purpose
from alikassa.ledger.periods import close_period
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import (
    attempts,
    certificate_uses,
    metadata,
    nonces,
    operator_tokens,
    requests,
    sessions,
    users,
    verifications,
)
from alikassa.ledger.snapshots import EVERY
from alikassa.ledger.verify import parse_heads, read_heads, verify
from alikassa.protocol.certificates import PublicKey, load_public_key
from command_line import CONFIGURATION, REFUSED, call, complaint, printed
from copied_databases import new_postgresql_database
from crash_checks import check_books, open_accounts
from crash_writer import LONG_AGO, line_of, work

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(sqlite_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    async with await Database.open(sqlite_url, create=True) as opened:
        await fill(opened)
        yield opened


async def fill(database: Database) -> None:
    """Something in every table, and texts and bytes that a careless form would lose."""
    registry, books = Registry(database), Books(database)
    odd = await registry.add_merchant("A\\B\\n \"C\", 'D' № 1 ☂ \\N")
    certificate = await registry.add_certificate(odd.id, Purpose.PAYOUT, _key())
    await registry.revoke_certificate(certificate.id)
    await registry.add_certificate(odd.id, Purpose.PAYMENT, _key())
    first, second = await open_accounts(database, 2)
    await books.book(Payment(first, 10_000, "\\x41", metadata={"text": "\\t\\\\ ☂"}))
    await books.book(Payment(first, 99 * 10**24, "as large as it gets", effective_at=LONG_AGO))
    await books.book(Chargeback(first, "\\x41", 10_000, "lost"))
    await books.book(Payment(second, 333, "small"))
    # As many as it takes to have a snapshot of the balance.
    await asyncio.gather(*(books.book(Payment(second, 10, f"drop {number}")) for number in range(EVERY)))
    await books.book(PayoutCreate(second, 20, "out"))
    await books.book(PayoutPaid(second, "out"))
    with pytest.raises(PayoutStateError):
        await books.book(PayoutFail(second, "out"))
    await close_period(database, until=datetime(2020, 2, 1, tzinfo=UTC), reference="old")
    moment = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC)
    async with database.write() as connection:
        await connection.execute(
            attempts.insert().values(
                lane=3,
                token_id=uuid.uuid4(),
                key="a\\b\tc\nd\re",
                request=bytes(range(256)),
                status=201,
                body=b"",
                made_at=moment,
            )
        )
        await connection.execute(
            operator_tokens.insert().values(
                id=uuid.uuid4(), name="till", scope="write", hash=b"\\", created_at=moment, last_used_at=None
            )
        )
        await connection.execute(
            nonces.insert().values(lane=5, certificate_id=certificate.id, nonce="-" * 22, at=moment)
        )
        await _fill_the_cabinet(connection, odd.id, certificate.id, moment)
    everything = await contents(database)
    assert all(everything.values()), "something is in every table"


async def _fill_the_cabinet(
    connection: AsyncConnection, merchant: uuid.UUID, certificate: uuid.UUID, moment: datetime
) -> None:
    user = uuid.uuid4()
    await connection.execute(
        users.insert().values(
            id=user,
            merchant_id=merchant,
            login="olga\\",
            role="owner",
            password="$argon2id$",
            totp_secret=b"\\x\n",
            totp_step=2**40,
            language="ru",
            created_at=moment,
        )
    )
    seen = {"address": "127.0.0.1", "user_agent": "☂ \\N"}
    await connection.execute(
        sessions.insert().values(hash=b"\t", user_id=user, created_at=moment, seen_at=moment, **seen)
    )
    await connection.execute(
        requests.insert().values(
            lane=0,
            account_id=uuid.UUID(int=0),
            verified=False,
            id=uuid.uuid4(),
            at=moment,
            endpoint="/v1/account/balance",
            status=400,
            outcome="refused",
            reason="unknown_account",
            certificate_id=None,
            digest="",
            micros=1,
            others=3,
            **seen,
        )
    )
    await connection.execute(
        certificate_uses.insert().values(certificate_id=certificate, digest="SHA-1", last_used_at=moment)
    )
    await connection.execute(
        verifications.insert().values(
            id=uuid.uuid4(), started_at=moment, finished_at=moment, accounts=1, entries=2**40, wrong=0
        )
    )


def _key() -> PublicKey:
    public = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    return load_public_key(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


async def contents(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, as the program sees it."""
    async with database.read() as connection:
        return {
            table.name: sorted((tuple(row) for row in await connection.execute(sa.select(table))), key=repr)
            for table in metadata.sorted_tables
        }


@pytest.fixture(
    params=[
        *("sqlite copy sqlite", "sqlite archive sqlite", "sqlite archive postgresql"),
        *("postgresql archive sqlite", "postgresql archive postgresql"),
    ]
)
def journey(request: pytest.FixtureRequest, tmp_path: Path, postgresql_server: str) -> tuple[str, bool, str]:
    """Where the books are, whether an archive is taken of them, and the empty database that it is restored into."""
    source, form, target = request.param.split()

    def url(engine: str, name: str) -> str:
        return f"sqlite:///{tmp_path / name}" if engine == "sqlite" else new_postgresql_database(postgresql_server)

    return url(source, "books.db"), form == "archive", url(target, "restored.db")


async def test_what_is_restored_is_what_was_backed_up(journey: tuple[str, bool, str], tmp_path: Path) -> None:
    """Every row of every table is there again, on the same engine or the other: true, immutable, and open for more."""
    source, logical, target = journey
    async with await Database.open(source, create=True) as database:
        await fill(database)
        before = await contents(database)
        manifest = await backup(database, tmp_path / "backup", logical=logical)
    assert {name: one.rows for name, one in manifest.tables.items()} == {k: len(rows) for k, rows in before.items()}
    assert (await restore(tmp_path / "backup", target)).verified.wrong == 0
    async with await Database.open(target) as database:
        assert await contents(database) == before
        for statement in ("UPDATE postings SET line = line", "DELETE FROM journal_entries", "DELETE FROM policies"):
            with pytest.raises(DatabaseError, match="immutable"):
                async with database.write() as connection:
                    await connection.execute(sa.text(statement))
        account = before["accounts"][0][1]
        assert not (await Books(database).book(Payment(account, 100, "the first one after"))).repeated
        assert (await verify(database)).wrong == 0


@pytest.mark.parametrize("form", ["sqlite copy", "sqlite archive", "postgresql archive"])
def test_a_backup_is_taken_while_others_book(form: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """At full speed: it is one true state, and has every command that was acknowledged before it began."""
    engine, _, kind = form.partition(" ")
    asyncio.run(_take_while_others_book(request.getfixturevalue(f"{engine}_url"), kind == "archive", tmp_path))


async def _take_while_others_book(url: str, logical: bool, tmp_path: Path) -> None:
    async with await Database.open(url, create=True) as database:
        accounts = await open_accounts(database, 3)
        books, acknowledged = Books(database), list[str]()

        enough, over = asyncio.Event(), asyncio.Event()

        async def book(command: Any) -> bool:
            if over.is_set():
                raise EOFError
            await books.book(command)
            acknowledged.append(line_of(command))
            if len(acknowledged) > 300:
                enough.set()
            return True

        tasks = [asyncio.create_task(work(book, accounts[n % 3], f"w{n}")) for n in range(30)]
        await enough.wait()
        # One may lie between two commits; twenty don't, unless whoever books waits for them.
        for _ in range(20):
            (tmp_path / "backup").unlink(missing_ok=True)
            before = list(acknowledged)
            await backup(database, tmp_path / "backup", logical=logical)
            if len(acknowledged) > len(before):
                break
        else:
            pytest.fail("whoever books waited for the backup each time")
        over.set()
        assert {type(one) for one in await asyncio.gather(*tasks, return_exceptions=True)} == {EOFError}
    url = f"sqlite:///{tmp_path / 'restored.db'}"
    restored = await restore(tmp_path / "backup", url)
    assert restored.verified.wrong == 0
    async with await Database.open(url) as database:
        await check_books(database, before)


# Damage


@pytest.fixture
async def taken(database: Database, tmp_path: Path) -> Path:
    """A folder with a copy and an archive of the same books."""
    await backup(database, tmp_path / "copy")
    await backup(database, tmp_path / "archive", logical=True)
    return tmp_path


@pytest.mark.parametrize("form", ["copy", "archive"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
async def test_a_truncated_backup_is_refused(taken: Path, form: str, part: float) -> None:
    """And nothing of it is left, neither the database nor what it was made in."""
    file = taken / form
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * part)])
    await _refused(file)


@pytest.mark.parametrize("form", ["copy", "archive"])
async def test_an_altered_backup_is_refused_or_does_no_harm(taken: Path, form: str) -> None:
    """Any byte changed: it is refused, or what is restored is what was backed up (some bytes mean nothing)."""
    chance, file = random.Random(7), taken / form  # noqa: S311 - a test's chance
    content = file.read_bytes()
    reference = await _restored(file)
    refused = 0
    for _ in range(12):
        place = chance.randrange(len(content))
        file.write_bytes(content[:place] + bytes([content[place] ^ (1 << chance.randrange(8))]) + content[place + 1 :])
        try:
            assert await _restored(file) == reference
        except AlikassaError:
            refused += 1
    assert refused > 0 or form == "copy"


async def _restored(file: Path) -> Any:
    url = f"sqlite:///{file.parent / uuid.uuid4().hex}.db"
    await restore(file, url)
    async with await Database.open(url) as database:
        return await contents(database)


async def _refused(file: Path) -> None:
    before = set(file.parent.iterdir())
    with pytest.raises(BackupError):
        await restore(file, f"sqlite:///{file.parent / 'restored.db'}")
    assert set(file.parent.iterdir()) == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE merchants SET name = 'Another'",
        "UPDATE accounts SET next_due_at = NULL",
        "DELETE FROM operator_tokens",
        "DELETE FROM settings WHERE name = 'backup'",
    ],
)
async def test_a_copy_that_somebody_wrote_to_is_refused(taken: Path, statement: str) -> None:
    """Also where no chain of hashes would show it."""
    connection = sqlite3.connect(taken / "copy")
    with connection:
        connection.execute(statement)
    connection.close()
    await _refused(taken / "copy")


@pytest.mark.parametrize("name", ["tables/merchants.txt", "tables/postings.txt", "heads.jsonl", "backup"])
async def test_an_archive_that_somebody_rewrote_is_refused(taken: Path, name: str, postgresql_url: str) -> None:
    """One line less in one member; on PostgreSQL nothing is left of it either."""
    with ZipFile(taken / "archive") as archive:
        members = {one: archive.read(one) for one in archive.namelist()}
    members[name] = members[name].rpartition(b"\n")[0].rpartition(b"\n")[0]
    with ZipFile(taken / "archive", "w") as archive:
        for one, content in members.items():
            archive.writestr(one, content)
    await _refused(taken / "archive")
    with pytest.raises(BackupError):
        await restore(taken / "archive", postgresql_url)
    database = Database.attach(postgresql_url)
    assert await database.revision() is None
    await database.close()


async def test_rows_that_the_database_refuses_leave_nothing(taken: Path, postgresql_url: str) -> None:
    """An archive whose manifest fits, and whose postings have no entries: undone with all that came before."""
    with ZipFile(taken / "archive") as archive:
        members = {one: archive.read(one) for one in archive.namelist()}
    postings = members["tables/postings.txt"].replace(b"\t2\t0\t", b"\t1000\t0\t")
    manifest = msgspec.json.decode(members["backup"])
    manifest["tables"]["postings"]["sha256"] = sha256(postings).hexdigest()
    members |= {"tables/postings.txt": postings, "backup": msgspec.json.encode(manifest)}
    with ZipFile(taken / "archive", "w") as archive:
        for one, content in members.items():
            archive.writestr(one, content)
    await _refused(taken / "archive")
    with pytest.raises(DatabaseError):
        await restore(taken / "archive", postgresql_url)
    database = Database.attach(postgresql_url)
    assert await database.revision() is None
    await database.close()


# Where it goes


async def test_an_archive_has_the_chain_heads(database: Database, tmp_path: Path) -> None:
    """In the form that a verification takes."""
    await backup(database, tmp_path / "backup", logical=True)
    with ZipFile(tmp_path / "backup") as archive:
        heads = parse_heads(archive.read("heads.jsonl").decode())
    assert heads == await read_heads(database)


async def test_a_backup_is_for_its_owner_and_alone(database: Database, tmp_path: Path) -> None:
    """Mode 0600, and nothing is left beside it."""
    folder = tmp_path / "backups"
    folder.mkdir()
    await backup(database, folder / "backup")
    assert [one.name for one in folder.iterdir()] == ["backup"]
    assert stat.S_IMODE((folder / "backup").stat().st_mode) == 0o600


async def test_no_file_is_overwritten_unasked(database: Database, tmp_path: Path) -> None:
    """Neither by a backup, nor by restoring one."""
    file = tmp_path / "backup"
    file.write_text("mine")
    with pytest.raises(BackupError, match="exists already"):
        await backup(database, file)
    assert file.read_text() == "mine"
    await backup(database, file, overwrite=True)
    (tmp_path / "other.db").write_text("mine")
    with pytest.raises(BackupError, match="exists already"):
        await restore(file, f"sqlite:///{tmp_path / 'other.db'}")
    assert (tmp_path / "other.db").read_text() == "mine"


async def test_a_database_with_tables_is_not_restored_into(taken: Path, postgresql_url: str) -> None:
    """It has to be empty."""
    async with await Database.open(postgresql_url, create=True):
        pass
    with pytest.raises(BackupError, match="not empty"):
        await restore(taken / "archive", postgresql_url)


async def test_a_copy_is_refused_by_postgresql(taken: Path, postgresql_url: str) -> None:
    """It says which form PostgreSQL takes."""
    with pytest.raises(BackupError) as caught:
        await restore(taken / "copy", postgresql_url)
    assert "--logical" in caught.value.remedy


async def test_another_databases_log_is_not_taken_for_the_restored_ones(taken: Path) -> None:
    """Left beside a file that was deleted, SQLite would apply it."""
    (taken / "restored.db-wal").write_bytes(b"old")
    with pytest.raises(BackupError, match=r"restored\.db-wal"):
        await restore(taken / "copy", f"sqlite:///{taken / 'restored.db'}")


async def test_a_folder_that_is_missing_is_said(database: Database, tmp_path: Path) -> None:
    """It is not made."""
    with pytest.raises(BackupError, match="cannot be written"):
        await backup(database, tmp_path / "missing" / "backup")
    assert not (tmp_path / "missing").exists()


# The commands


def test_the_commands_back_up_and_restore(sqlite_url: str, tmp_path: Path) -> None:
    """What they say, and that the restored books are true."""

    async def prepare() -> None:
        async with await Database.open(sqlite_url, create=True) as database:
            await fill(database)

    asyncio.run(prepare())
    file, url = tmp_path / "backup", f"sqlite:///{tmp_path / 'restored.db'}"
    made = printed("books", "backup", file, "--database", sqlite_url)
    assert made["tables"]["accounts"] == 2
    assert "exists already" in complaint(CONFIGURATION, "books", "backup", file, "--database", sqlite_url)
    done = call("books", "restore", file, "--database", url)
    assert done.returncode == 0
    assert done.stderr.endswith("Verified: the books are true.\n")


def test_books_that_are_not_true_are_restored_and_told(sqlite_url: str, tmp_path: Path) -> None:
    """Somebody changed the books before they were backed up: they are as they were, and the exit code says so."""

    async def prepare() -> None:
        async with await Database.open(sqlite_url, create=True) as database:
            await fill(database)

    asyncio.run(prepare())
    connection = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    with connection:
        connection.execute("UPDATE accounts SET balance = '1.00000000'")
    connection.close()
    file, url = tmp_path / "backup", f"sqlite:///{tmp_path / 'restored.db'}"
    assert call("books", "backup", file, "--database", sqlite_url).returncode == 0
    done = call("books", "restore", file, "--database", url)
    assert done.returncode == REFUSED
    assert "the books are not true" in done.stderr
