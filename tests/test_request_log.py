"""The log of requests that merchants see: what is kept, what is counted, what is written, and how it is asked for."""

from __future__ import annotations

import asyncio
import sqlite3
import string
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
import structlog

from alikassa.errors import InvalidInputError
from alikassa.ledger import database as database_module
from alikassa.ledger.database import Database
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import certificate_uses, requests
from alikassa.protocol.signatures import Digest
from alikassa.server.balance import Asked
from alikassa.server.log import RequestLog
from alikassa.server.refusals import Reason
from alikassa.server.requests import recorder as recorder_module
from alikassa.server.requests import rows as rows_module
from alikassa.server.requests import writer as writer_module
from alikassa.server.requests.asking import SeenRequest, requests_of, uses_of
from alikassa.server.requests.kept import NOBODY, TOO_LARGE, TOO_LATE, Outcome, malformed
from alikassa.server.requests.recorder import Recorder
from alikassa.server.requests.remedies import OUTCOMES, remedies, texts
from alikassa.server.requests.rows import Ring
from alikassa.server.requests.writer import RequestWriter
from alikassa.server.verification import Verified
from conftest import PAGE_ACCOUNT, Shop

pytestmark = pytest.mark.anyio

ACCOUNT = uuid.UUID(PAGE_ACCOUNT)


class Sent:
    """Headers as the web server gives them."""

    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = headers

    def get_all(self, name: str, /) -> list[str]:
        return [self._headers[name]] if name in self._headers else []


def asked(account: object = PAGE_ACCOUNT, agent: str = "", client: str = "192.0.2.7:50123") -> Asked:
    """A request that named this account."""
    headers = {"account": str(account), "sign": "AAAA", "content-type": "application/json"}
    return Asked(Sent(headers | ({"user-agent": agent} if agent else {})), SimpleNamespace(client=client))


def refuse(recorder: Recorder, ended: Asked, *, stranger: bool = False) -> None:
    """Refused at the signature, for a reason that is found at once."""
    kept = recorder.refused(ended, stranger=stranger)
    if kept is not None:
        kept.explain("unknown_account" if stranger else "wrong_signature")


@pytest.fixture
async def database(shop_here: Shop) -> AsyncIterator[Database]:
    async with await Database.open(shop_here.database) as opened:
        yield opened


@pytest.fixture
async def sqlite(sqlite_url: str, archives: Any, anyio_backend: str, monkeypatch: Any) -> AsyncIterator[Database]:
    """A shop's books on SQLite that do not wait long for a lock."""
    from conftest import open_shop

    monkeypatch.setattr(database_module, "BUSY_SECONDS", 0.05)
    await open_shop(sqlite_url, archives("payout"), archives("payment"))
    async with await Database.open(sqlite_url) as opened:
        yield opened


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def signed_by(shop_here: Shop) -> Verified:
    return Verified(shop_here.payout_certificate, Digest.SHA256)


def write(database: Database, recorder: Recorder) -> RequestWriter:
    return RequestWriter(database, recorder, RequestLog())


async def all_rows(database: Database) -> list[Any]:
    async with database.read() as connection:
        return list((await connection.execute(sa.select(requests).order_by(requests.c.id))).all())


def total(rows: Iterable[Any]) -> int:
    """How many requests these rows stand for."""
    return sum(1 + row.others for row in rows)


# What is kept


async def test_a_row_says_what_came_of_a_request(database: Database, recorder: Recorder, signed_by: Verified) -> None:
    """Time, status, certificate, digest, address without its port, and the user agent are in the row."""
    recorder.ok(asked(agent="shop/1.0"), signed_by)
    await write(database, recorder).flush()
    (seen,) = (await requests_of(database, [ACCOUNT])).requests
    assert (seen.account, seen.verified, seen.status, seen.outcome, seen.reason) == (ACCOUNT, True, 200, "ok", "")
    assert (str(seen.certificate), seen.digest) == signed_by
    assert (seen.endpoint, seen.address, seen.user_agent) == ("/v1/account/balance", "192.0.2.7", "shop/1.0")
    assert abs(datetime.now(UTC) - seen.at) < timedelta(seconds=10)
    assert 0 <= seen.micros < 10_000_000
    assert (seen.id.version, seen.id.variant) == (7, uuid.RFC_4122)
    assert abs((seen.id.int >> 80) - seen.at.timestamp() * 1000) < 2


@pytest.mark.parametrize(
    ("client", "address"),
    [("192.0.2.7:1", "192.0.2.7"), ("[2001:db8::7]:1", "2001:db8::7"), ("", ""), ("x" * 99 + ":1", "x" * 45)],
)
def test_the_address_is_without_its_port(recorder: Recorder, client: str, address: str) -> None:
    """Of whatever family, and of a bounded length."""
    recorder.ended(asked(client=client), Outcome.ERROR, 500)
    (kept,) = recorder.take().rows
    assert kept.address == address


async def test_a_user_agent_cannot_harm(database: Database, recorder: Recorder) -> None:
    """It is cut, and characters that command a terminal or end a line are replaced; a backslash stays one."""
    recorder.ended(asked(agent="\x1b[31m\t\\N\\." + "a" * 500), Outcome.ERROR, 500)
    await write(database, recorder).flush()
    (row,) = await all_rows(database)
    assert row.user_agent == "\ufffd[31m\ufffd\\N\\." + "a" * 190
    assert len(row.user_agent) == 200


def test_ids_are_in_the_order_of_time(recorder: Recorder) -> None:
    """Also within a millisecond, so that the newest are found by their key."""
    for _ in range(200):
        recorder.ended(asked(uuid.uuid4()), Outcome.ERROR, 500)
    rows = recorder.take().rows
    assert len(rows) == 200
    moments = [row.at for row in rows]
    first = {at: place for place, at in reversed(list(enumerate(moments)))}
    distinct = [rows[place] for place in sorted(first.values())]
    ids = [row.new_id() for row in distinct]
    assert ids == sorted(ids)


# What is counted


async def test_the_first_are_kept_and_the_others_counted(
    database: Database, recorder: Recorder, signed_by: Verified
) -> None:
    """Of 500 requests in one interval 20 rows remain, which stand for all 500; the next interval begins anew."""
    writer = write(database, recorder)
    for _ in range(2):
        for _ in range(500):
            recorder.ok(asked(), signed_by)
        await writer.flush()
    rows = await all_rows(database)
    assert [row.others for row in rows] == ([0] * 19 + [480]) * 2
    assert total(rows) == 1000


async def test_nothing_is_written_when_nothing_was_asked(sqlite: Database, recorder: Recorder) -> None:
    """No transaction: readers keep what they have read."""
    with sqlite3.connect(sqlite.address.url.database or "") as other:
        before = other.execute("PRAGMA data_version").fetchone()
        await write(sqlite, recorder).flush()
        assert other.execute("PRAGMA data_version").fetchone() == before
    other.close()


async def test_a_flood_is_bounded_and_adds_up(database: Database, recorder: Recorder) -> None:
    """Each 3,000 times strangers, others' headers, one account and none at all: few rows, and none is forgotten."""
    for number in range(3000):
        recorder.malformed(asked(uuid.UUID(int=number + 1)), ["sign"])
        refuse(recorder, asked(uuid.UUID(int=number + 1)), stranger=True)
        refuse(recorder, asked())
        recorder.malformed(asked("nonsense"), ["account"])
    writer = write(database, recorder)
    for _ in range(2):  # counts without a row of their own come with the next one
        await writer.flush()
        refuse(recorder, asked())
        refuse(recorder, asked(uuid.UUID(int=1)), stranger=True)
    await writer.flush()
    rows = await all_rows(database)
    assert len(rows) <= 1000 + 4
    mine = [row for row in rows if row.account_id == ACCOUNT]
    assert total(mine) == 3002
    assert {row.account_id for row in rows if row.account_id != ACCOUNT} == {NOBODY}
    counts: Counter[str] = Counter()
    for row in rows:
        if row.account_id == NOBODY:
            counts[row.outcome] += 1 + row.others
    assert counts == {"refused": 3002, "malformed": 6000}
    assert recorder.lost == 0


async def test_junk_leaves_room_for_what_is_verified(
    database: Database, recorder: Recorder, signed_by: Verified
) -> None:
    """After any flood the account's next answered request is kept in full."""
    for number in range(3000):
        recorder.malformed(asked(uuid.UUID(int=number + 1)), ["sign"])
    recorder.ok(asked(), signed_by)
    await write(database, recorder).flush()
    (row,) = [row for row in await all_rows(database) if row.verified]
    assert (row.account_id, row.others) == (ACCOUNT, 0)


def test_memory_is_bounded_while_nothing_is_written(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is more than its bounds allow is not kept, and is known to be lost."""
    monkeypatch.setattr(recorder_module, "MOST_TALLIES", 50)
    monkeypatch.setattr(recorder_module, "MOST_CARRIED", 30)
    signer = Verified("c", Digest.SHA256)
    for number in range(1500):
        recorder.ok(asked(uuid.UUID(int=number)), signer)
    assert len(recorder.counted) <= 50
    gathered = recorder.take()
    assert total(gathered.rows) == 50
    assert recorder.lost == 1450
    recorder.give_back({recorder_module.Key(str(n), Outcome.REFUSED, verified=False): 2 for n in range(100)})
    assert recorder.lost == 1450 + 140


# Rings


async def test_rings_keep_the_newest(
    database: Database, recorder: Recorder, signed_by: Verified, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of an account's two rings, and nobody's, loses its oldest rows and no others."""
    monkeypatch.setattr(rows_module, "MOST_VERIFIED", 30)
    monkeypatch.setattr(rows_module, "MOST_OTHERS", 10)
    writer = write(database, recorder)
    written: dict[Ring, list[str]] = {}
    for turn in range(6):
        for place in range(15):
            agent = f"{turn}-{place}"
            recorder.ok(asked(agent=agent), signed_by)
            refuse(recorder, asked(agent=agent))
            refuse(recorder, asked(uuid.UUID(int=5), agent=agent), stranger=True)
            for ring in (Ring(PAGE_ACCOUNT, True), Ring(PAGE_ACCOUNT, False), Ring(str(NOBODY), False)):
                written.setdefault(ring, []).append(agent)
        await writer.flush()
    rows = await all_rows(database)
    for ring, most in zip(written, (30, 10, 30), strict=True):
        kept = [row.user_agent for row in rows if (str(row.account_id), row.verified) == ring]
        # A worker may be a twentieth late, here less than a row or two.
        assert most <= len(kept) <= most + 1
        assert sorted(kept) == sorted(written[ring][-len(kept) :])


# Reasons


async def test_a_row_waits_for_its_reason(
    database: Database, recorder: Recorder, shop_here: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written when the reason is there; without one when that took too long, or when the server stops."""
    writer = write(database, recorder)
    told, forgotten, last = (recorder.refused(asked(), stranger=False) for _ in range(3))
    assert told is not None
    assert forgotten is not None
    assert last is not None
    told.explain("sha1_not_allowed", uuid.UUID(shop_here.payout_certificate), Digest.SHA1)
    await writer.flush()
    (row,) = await all_rows(database)
    assert (row.reason, str(row.certificate_id), row.digest) == (
        "sha1_not_allowed",
        shop_here.payout_certificate,
        "sha1",
    )
    forgotten.waits_until = 1.0
    await writer.flush()
    assert [row.reason for row in await all_rows(database)] == ["sha1_not_allowed", ""]
    await writer.flush(everything=True)
    assert [row.reason for row in await all_rows(database)] == ["sha1_not_allowed", "", ""]


# A database that fails


async def test_a_locked_database_costs_rows_only(sqlite: Database, recorder: Recorder) -> None:
    """The write is given up, the log says how many are lost, and the next one goes through."""
    writer = write(sqlite, recorder)
    for _ in range(70):
        recorder.malformed(asked(), ["sign"])
    with sqlite3.connect(sqlite.address.url.database or "", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with structlog.testing.capture_logs() as logs:
            await writer.flush()
        other.execute("ROLLBACK")
    other.close()
    (said,) = logs
    assert (said["event"], said["count"]) == ("requests missing from the merchants' log", 70)
    assert "locked" in said["problem"]
    recorder.malformed(asked(), ["sign"])
    await writer.flush()
    assert total(await all_rows(sqlite)) == 1


@pytest.mark.parametrize("url", ["sqlite:////nowhere/books.db", "postgresql://nobody@127.0.0.1:{port}/none"])
async def test_a_database_that_is_away_costs_rows_only(url: str, unused_port: int, recorder: Recorder) -> None:
    """Nothing is raised, and what goes on failing is not told of every second."""
    database = Database.attach(url.format(port=unused_port))
    writer = write(database, recorder)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            recorder.malformed(asked(), ["sign"])
            await writer.flush()
        await writer.close()
    assert [one["count"] for one in logs] == [1, 2]
    await database.close()


# Uses of certificates


async def test_uses_are_written_once_a_minute(
    database: Database, recorder: Recorder, signed_by: Verified, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first at once, later ones after a minute; the last when the server stops."""
    writer = write(database, recorder)
    moments = []
    for turn in range(4):
        if turn == 2:
            monkeypatch.setattr(writer_module, "USE_SECONDS", 0.0)
        elif turn == 3:
            monkeypatch.setattr(writer_module, "USE_SECONDS", 60.0)
        recorder.ok(asked(), signed_by)
        await writer.flush(everything=turn == 3)
        (use,) = await uses_of(database, [uuid.UUID(signed_by.certificate)])
        assert (str(use.certificate), use.digest) == signed_by
        moments.append(use.last_used_at)
    assert moments[0] == moments[1] < moments[2] < moments[3]


async def test_a_use_never_moves_back(database: Database, recorder: Recorder, signed_by: Verified) -> None:
    """A worker that was slow, or whose clock is, does not hide what another wrote."""
    later = datetime.now(UTC) + timedelta(hours=1)
    async with database.write() as connection:
        values = {"certificate_id": uuid.UUID(signed_by.certificate), "digest": "sha256", "last_used_at": later}
        await connection.execute(certificate_uses.insert().values(values))
    recorder.ok(asked(), signed_by)
    recorder.ok(asked(), signed_by._replace(digest=Digest.SHA1))
    await write(database, recorder).flush()
    uses = await uses_of(database, [uuid.UUID(signed_by.certificate)])
    assert [(use.digest, use.last_used_at == later) for use in uses] == [("sha256", True), ("sha1", False)]


async def test_another_signer_of_a_busy_account_is_noticed(
    database: Database, recorder: Recorder, shop_here: Shop, signed_by: Verified
) -> None:
    """Also among requests that are only counted."""
    for signer in [signed_by] * 50 + [Verified(shop_here.payment_certificate, Digest.SHA1)]:
        tally = recorder.counted.get(PAGE_ACCOUNT)
        if tally is not None and tally.known is signer:  # as the endpoint does
            tally.more += 1
        else:
            recorder.ok(asked(), signer)
    await write(database, recorder).flush()
    assert total(await all_rows(database)) == 51
    assert len(await uses_of(database, [uuid.UUID(shop_here.payment_certificate)])) == 1


# Asking


@pytest.fixture
async def history(
    database: Database, recorder: Recorder, shop_here: Shop, signed_by: Verified
) -> tuple[Database, list[uuid.UUID]]:
    """Two accounts of the shop: each was asked for 7 times, 3 times in vain, in turns."""
    other = (await Registry(database).open_account(uuid.UUID(shop_here.merchant), "EUR")).id
    for _ in range(7):
        for account in (ACCOUNT, other):
            recorder.ok(asked(account), signed_by)
    for _ in range(3):
        for account in (ACCOUNT, other):
            refuse(recorder, asked(account))
    await write(database, recorder).flush()
    return database, [ACCOUNT, other]


async def test_pages_are_the_whole_newest_first(history: tuple[Database, list[uuid.UUID]]) -> None:
    """Page by page every request of all the accounts comes once, in one order."""
    database, accounts = history
    seen: list[SeenRequest] = []
    cursor = None
    while True:
        page = await requests_of(database, accounts, after=cursor, limit=6)
        seen += page.requests
        cursor = page.cursor
        if cursor is None:
            break
        assert len(page.requests) == 6
    assert len(seen) == len({one.id for one in seen}) == 20
    assert [one.at for one in seen] == sorted((one.at for one in seen), reverse=True)
    assert Counter(one.account for one in seen) == dict.fromkeys(accounts, 10)
    assert [one.outcome for one in seen] == ["refused"] * 6 + ["ok"] * 14


async def test_what_is_asked_for_is_told(history: tuple[Database, list[uuid.UUID]], signed_by: Verified) -> None:
    """By account, by ring, by outcome and by certificate."""
    database, accounts = history
    certificate = uuid.UUID(signed_by.certificate)

    async def count(accounts: list[uuid.UUID], **narrowed: Any) -> int:
        return len((await requests_of(database, accounts, **narrowed)).requests)

    assert await count(accounts[:1]) == 10
    assert await count(accounts, verified=True) == await count(accounts, certificate=certificate) == 14
    assert await count(accounts, verified=False) == await count(accounts, outcome=Outcome.REFUSED) == 6
    assert await count(accounts, certificate=uuid.uuid4()) == await count([]) == await count([NOBODY]) == 0


async def test_what_cannot_be_asked_is_refused(history: tuple[Database, list[uuid.UUID]]) -> None:
    """Another question's cursor, a limit out of bounds, too many accounts."""
    database, accounts = history
    cursor = (await requests_of(database, accounts, limit=5)).cursor
    with pytest.raises(InvalidInputError, match="cursor"):
        await requests_of(database, accounts[:1], after=cursor)
    for limit in (0, 1001):
        with pytest.raises(InvalidInputError, match="limit"):
            await requests_of(database, accounts, limit=limit)
    with pytest.raises(InvalidInputError, match="1001 accounts"):
        await requests_of(database, [uuid.uuid4() for _ in range(1001)])


async def test_many_accounts_are_asked_for_together(history: tuple[Database, list[uuid.UUID]]) -> None:
    """More than fit into one statement."""
    database, accounts = history
    many = [*accounts, *(uuid.uuid4() for _ in range(300))]
    assert len((await requests_of(database, many)).requests) == 20
    assert await uses_of(database, [uuid.uuid4() for _ in range(300)]) == []


# What to do


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_remedy(reason: Reason) -> None:
    """What happened and what to do, in words of its own."""
    ((happened, remedy),) = remedies(Outcome.REFUSED, reason.value)
    assert happened != OUTCOMES[Outcome.REFUSED].happened
    assert remedy


@pytest.mark.parametrize("fields", [["account"], ["sign"], ["content_type"], ["body"], ["account", "sign"]])
def test_every_field_has_its_remedy(fields: list[str]) -> None:
    """The four that the contract names; several at once have one each."""
    found = remedies(Outcome.MALFORMED, malformed(fields))
    assert len(found) == len(fields)
    assert OUTCOMES[Outcome.MALFORMED] not in found
    assert all(remedy for _, remedy in found)


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_its_remedy(outcome: Outcome) -> None:
    """Also without a reason, or with one that a newer version wrote; only success needs nothing to be done."""
    for reason in ("", "of tomorrow"):
        ((happened, remedy),) = remedies(outcome, reason)
        assert happened
        assert bool(remedy) is (outcome is not Outcome.OK)


def test_bodies_that_were_not_read_have_a_remedy() -> None:
    """Each its own."""
    assert remedies(Outcome.MALFORMED, TOO_LARGE) != remedies(Outcome.MALFORMED, TOO_LATE)


def test_texts_are_for_a_catalogue() -> None:
    """Each once, and with no placeholder but the certificate's id."""
    found = list(texts())
    assert len(found) == len(set(found)) > 20
    for text in found:
        assert {name for _, name, _, _ in string.Formatter().parse(text) if name is not None} <= {"certificate"}


async def test_the_writer_ends_with_what_is_left(database: Database, recorder: Recorder, signed_by: Verified) -> None:
    """A stop writes what was gathered since the last time, at once."""
    writer = write(database, recorder)
    writer.start()
    await asyncio.sleep(0)
    recorder.ok(asked(), signed_by)
    await writer.close()
    assert total(await all_rows(database)) == 1
