"""Rights, migrations and backups of books that are spread over nodes, against what Citus's documentation says."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import citus_rules
from alikassa.ledger.backup import BackupError, backup
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Payment, PayoutCreate, PayoutPaid, Refund
from alikassa.ledger.database import Database
from alikassa.ledger.distribution.changing import has_column_rights
from alikassa.ledger.distribution.distributing import distribute
from alikassa.ledger.model import Purpose
from alikassa.ledger.nonces import KEPT
from alikassa.ledger.periods import close_period
from alikassa.ledger.privileges import grant_server
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import IMMUTABLE
from alikassa.ledger.sweeping import sweep
from alikassa.ledger.tokens import Scope, Tokens
from alikassa.ledger.verify import verify
from alikassa.protocol.certificates import load_public_key
from alikassa.protocol.signatures import Digest
from alikassa.server.freshness import Freshness
from alikassa.server.requests import rows as rows_module
from alikassa.server.requests import writer as writer_module
from alikassa.server.requests.recorder import Recorder
from alikassa.server.verification import Verified
from crash_checks import open_accounts
from crash_writer import LONG_AGO
from recorded import asked, write
from stamped import check

pytestmark = pytest.mark.anyio

_COLUMN_RIGHTS = """
SELECT attrelid::regclass::text, attname, attacl::text FROM pg_attribute
WHERE attacl IS NOT NULL AND attrelid >= 16384 ORDER BY 1, 2
"""


async def ask(url: str, statement: str) -> list[Any]:
    """Its rows, over a connection of the driver's own."""
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


@pytest.fixture
async def books_url(postgresql_url: str) -> str:
    """Books with four accounts."""
    async with await Database.open(postgresql_url, create=True) as database:
        await open_accounts(database, 4)
    return postgresql_url


@pytest.fixture
async def role(books_url: str) -> str:
    """A role that has the rights to serve, given while the books were on one node."""
    name = f"spread_{uuid.uuid4().hex[:8]}"
    await ask(books_url, f"CREATE ROLE {name} LOGIN")
    async with await Database.open(books_url) as database:
        await grant_server(database, name)
    return name


async def _spread(url: str, version: str = "14.0-1") -> None:
    await citus_rules.install(url, nodes=3, version=version)
    async with await Database.open(url) as database:
        await distribute(database)


async def _serve(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a server writes: entries, releases, certificates, tokens, nonces, requests, a period's end."""
    registry, books = Registry(database), Books(database)
    found = await registry.accounts()
    accounts = [one.id for one in found]
    await books.book(Payment(accounts[0], 10**10, "by then it knows"))
    await asyncio.gather(*(books.book(Payment(one, 10**10, "old", effective_at=LONG_AGO)) for one in accounts))
    assert (await sweep(database)).lots
    await books.book_together([Refund(one, "old", 10**8, "back") for one in accounts])
    await books.book_together([PayoutCreate(one, 10**8, "out") for one in accounts])
    await books.book_together([PayoutPaid(one, "out") for one in accounts])
    opened = await registry.open_account(found[0].merchant, "USD")
    await registry.require_fresh(opened.id, required=True)
    made = rsa.generate_private_key(65537, 2048).public_key()
    key = load_public_key(made.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    certificate = await registry.add_certificate(found[0].merchant, Purpose.PAYOUT, key)
    await registry.allow_sha1(certificate.id, allowed=False)
    tokens = Tokens(database)
    token, _ = await tokens.create("till", Scope.READ)
    await tokens.note_use(token.id)
    await tokens.revoke(token.id)
    await _claim_and_forget(database, str(certificate.id))
    await _record(database, accounts[0], str(certificate.id), monkeypatch)
    await registry.revoke_certificate(certificate.id)
    await close_period(database, until=datetime(2001, 1, 1, tzinfo=UTC), reference="2000")


async def _claim_and_forget(database: Database, certificate: str) -> None:
    now = datetime.now(UTC)
    freshness = Freshness(database, lambda: now)
    for number in range(2):
        account = str(uuid.uuid4())
        stamp = {"account": account, "timestamp": int(now.timestamp()), "nonce": f"{number:022}"}
        assert await check(freshness, stamp, account, certificate, required=True) is None
        now += KEPT + timedelta(seconds=1)
    await freshness.close()
    async with database.read() as connection:
        assert await connection.scalar(sa.text("SELECT count(*) FROM nonces")) == 1


async def _record(database: Database, account: uuid.UUID, certificate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "MOST_VERIFIED", 3)
    monkeypatch.setattr(writer_module, "USE_SECONDS", 0.0)
    recorder = Recorder()
    writer = write(database, recorder)
    for _ in range(3):
        for _ in range(2):
            recorder.ok(asked(account), Verified(certificate, Digest.SHA256))
        await writer.flush()
    assert recorder.lost == 0
    async with database.read() as connection:
        assert await connection.scalar(sa.text("SELECT count(*) FROM requests")) == 3


@pytest.mark.parametrize("version", ["14.0-1", "13.0-1"])
async def test_the_serving_role_serves_spread_books(
    books_url: str, role: str, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can do all that it does, and not change the journal. Its rights on single columns are those of one node, and
    none where Citus refuses them."""
    before = await ask(books_url, _COLUMN_RIGHTS)
    await _spread(books_url, version)
    async with await Database.open(books_url) as database:
        await grant_server(database, role)
    assert before
    assert await ask(books_url, _COLUMN_RIGHTS) == (before if version == "14.0-1" else [])
    as_role = books_url.replace("postgres:@", f"{role}@", 1)
    async with await Database.open(as_role) as database:
        await _serve(database, monkeypatch)
        assert not (await verify(database)).problems
    for table in IMMUTABLE:
        for change in ("UPDATE {} SET lane = lane", "DELETE FROM {}", "TRUNCATE {}"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await ask(as_role, change.format(table.name))


@pytest.mark.parametrize("change", ["certificates SET public_key = ''", "lots SET amount = 1", "payouts SET fee = 0"])
async def test_what_is_booked_beside_the_journal_is_kept_by_rights_on_columns(
    books_url: str, role: str, change: str
) -> None:
    """A key, a held sum and a payout's fee stay as they are although no trigger keeps them."""
    await _spread(books_url)
    async with await Database.open(books_url) as database:
        await grant_server(database, role)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await ask(books_url.replace("postgres:@", f"{role}@", 1), f"UPDATE {change}")


@pytest.mark.parametrize(
    ("version", "has"),
    [
        ("12.1-1", False),
        ("13.0-1", False),
        ("13.1-1", True),
        ("13.2", True),
        ("14.0-1", True),
        ("14.1-1devel", True),
        ("14", True),
        ("13", False),
        ("", False),
        ("devel", False),
    ],
)
def test_rights_on_columns_begin_with_a_version(version: str, has: bool) -> None:
    """13.1 is the first; what nobody can read has none."""
    assert has_column_rights(version) is has


async def test_spread_books_are_migrated_in_sequence(books_url: str) -> None:
    """A table is made only over one connection a node; what came since is there afterwards, without triggers."""
    await _spread(books_url)
    async with await Database.open(books_url) as database, database.write() as connection:
        for statement in (
            "DROP FUNCTION count_permission_change() CASCADE",
            "DROP TABLE heartbeats, permission_changes",
            "UPDATE alembic_version SET version_num = '0004'",
        ):
            await connection.execute(sa.text(statement))
    async with await Database.open(books_url, migrate=True):
        pass
    assert await ask(books_url, "SELECT count(*) FROM heartbeats") == [(0,)]
    assert await ask(books_url, "SELECT 1 FROM pg_trigger WHERE tgname LIKE '%_permissions'") == []


async def test_spread_books_are_backed_up_node_by_node(books_url: str, tmp_path: Path) -> None:
    """Nodes have no moment in common, so a backup through one of them is refused, with what to do; no file is left."""
    await _spread(books_url)
    async with await Database.open(books_url) as database:
        with pytest.raises(BackupError, match="spread over nodes") as refused:
            await backup(database, tmp_path / "books.backup")
    assert "citus_create_restore_point" in refused.value.remedy
    assert list(tmp_path.iterdir()) == []
