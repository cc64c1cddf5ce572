"""The log of requests that merchants see: what is kept, what is counted, what is written."""

from __future__ import annotations

import asyncio
import statistics
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alikassa.ledger.database import Database
from alikassa.ledger.ids import ordered_uuid
from alikassa.ledger.schema import certificate_uses, requests
from alikassa.protocol.signatures import Digest
from alikassa.server.requests import recorder as recorder_module
from alikassa.server.requests import rows as rows_module
from alikassa.server.requests import writer as writer_module
from alikassa.server.requests.asking import requests_of, uses_of
from alikassa.server.requests.kept import NOBODY, KeptRequest, Outcome
from alikassa.server.requests.recorder import Recorder
from alikassa.server.requests.rows import Part, Ready, Ring, make_ready
from alikassa.server.requests.writer import RequestWriter
from alikassa.server.verification import Verified
from conftest import PAGE_ACCOUNT, Shop
from recorded import ACCOUNT, all_rows, asked, refuse, total, write

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(shop: Shop) -> AsyncIterator[Database]:
    async with await Database.open(shop.database) as opened:
        yield opened


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def signed_by(shop: Shop) -> Verified:
    return Verified(shop.payout_certificate, Digest.SHA256)


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
    [("192.0.2.7:1", "192.0.2.7"), ("[2001:db8::7]:1", "2001:db8::7"), ("", ""), ("x" * 99 + ":1", "")],
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


def test_ids_are_in_the_order_of_time() -> None:
    """Also within a millisecond, so that the newest are found by their key."""
    begin = datetime(2026, 11, 25, 12, 0, 0, 999_900, tzinfo=UTC)
    ids = [ordered_uuid(begin + timedelta(microseconds=number)) for number in range(2000)]
    assert ids == sorted(ids)


def test_an_id_tells_when_its_request_came(recorder: Recorder) -> None:
    """To a millisecond. When it began is worked out from two clocks, and between these anything may run: at times."""
    for _ in range(200):
        recorder.ended(asked(uuid.uuid4()), Outcome.ERROR, 500)
    rows = recorder.take().rows
    assert len(rows) == 200
    off = [(row.new_id().int >> 80) - (row.at.timestamp() * 1000 - row.micros / 1000) for row in rows]
    assert abs(statistics.median(off)) < 2


# How it is written


class Counted(KeptRequest):
    """One that counts how many were made into rows."""

    made = 0

    def new_id(self) -> uuid.UUID:
        Counted.made += 1
        return super().new_id()


@pytest.mark.parametrize("postgresql", [False, True])
async def test_rows_are_made_a_few_at_a_time(postgresql: bool) -> None:
    """The balance endpoint runs in between: each turn of the loop finds at most ten more."""
    rows: list[KeptRequest] = [Counted("", asked(""), "", Outcome.ERROR, 500, "", None) for _ in range(200)]
    Counted.made = 0
    at_a_time = [0]

    async def look() -> None:
        seen = 0
        while seen < len(rows):
            at_a_time.append(Counted.made - seen)
            seen = Counted.made
            await asyncio.sleep(0)

    async with asyncio.timeout(10):
        ready, _ = await asyncio.gather(make_ready(Part(rows, {}), set(), postgresql=postgresql), look())
    assert ready.rings == {Ring(str(NOBODY), False): 200}
    assert 0 < max(at_a_time) <= 10


async def test_nobody_is_held_up_while_rows_are_made(
    database: Database, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others write to the same file meanwhile: the lock is taken when all is ready."""
    writer = write(database, recorder)
    made = 0

    async def slow(*given: Any, **named: Any) -> Ready:
        nonlocal made
        async with asyncio.timeout(5), database.write() as connection:
            await connection.execute(requests.delete())
        made += 1
        return await make_ready(*given, **named)

    monkeypatch.setattr(writer_module, "make_ready", slow)
    for _ in range(5):
        recorder.ended(asked(), Outcome.ERROR, 500)
    await writer.flush()
    assert (made, recorder.lost) == (1, 0)
    assert len(await all_rows(database)) == 5


# What is counted


async def test_the_first_are_kept_and_the_others_counted(
    database: Database, recorder: Recorder, signed_by: Verified
) -> None:
    """Of 500 requests in one interval 20 rows remain, which stand for all 500; the next interval begins anew."""
    writer = write(database, recorder)
    for _ in range(2):
        for _ in range(500):
            recorder.ok(asked(), signed_by)
        # Where the endpoint's quick path looks.
        assert recorder.counted[PAGE_ACCOUNT].known is signed_by
        await writer.flush()
    rows = await all_rows(database)
    assert [row.others for row in rows] == ([0] * 19 + [480]) * 2
    assert total(rows) == 1000


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


def test_after_a_busy_moment_fewer_are_kept(
    recorder: Recorder, signed_by: Verified, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interval after one with many requests keeps only a few in full; all of them are counted, and after a quiet
    interval as many as before are kept."""
    monkeypatch.setattr(recorder_module, "BUSY_REQUESTS", 100)
    monkeypatch.setattr(recorder_module, "MOST_KEPT_BUSY", 6)
    accounts = [str(uuid.uuid4()) for _ in range(20)]
    for requests_each, kept in ((5, 100), (1, 6), (1, 20)):
        for account in accounts * requests_each:
            recorder.ok(asked(account), signed_by)
        assert len(recorder.take().rows) == kept
    for account in accounts:
        recorder.ok(asked(account), signed_by)
    assert sum(1 + row.others for row in recorder.take(everything=True).rows) >= 20


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
    monkeypatch.setattr(recorder_module, "MOST_STRANGERS", 40)
    for number in range(1500):
        recorder.malformed(asked(uuid.UUID(int=number)), ["sign"])
    gathered = recorder.take()
    assert len(gathered.rows) <= 40 + 20
    assert total(gathered.rows) + sum(gathered.counted.values()) == 1500
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


async def test_after_a_start_rings_are_pruned_bit_by_bit(
    database: Database, recorder: Recorder, signed_by: Verified, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker knows none of them: whoever books does not wait until all have been looked at, and each has its turn.
    What is known to be full comes beside these."""
    monkeypatch.setattr(rows_module, "MOST_VERIFIED", 60)
    accounts = [uuid.UUID(int=number) for number in range(1, 6)]

    async def ask(writer: RequestWriter, times: int) -> list[int]:
        """How many rows each ring has, the shortest first."""
        for account in accounts * times:
            recorder.ok(asked(account), signed_by)
        await writer.flush()
        return sorted(Counter(row.account_id for row in await all_rows(database)).values())

    for _ in range(4):
        await ask(write(database, recorder), 20)
    restarted = write(database, recorder)
    for expected in (
        [60, 61, 61, 81, 81],
        [60, 61, 62, 82, 82],
        [60, 61, 62, 83, 83],
        [60, 61, 62, 63, 84],
        # The first of all has a twentieth more than it may by now.
        [60, 60, 61, 62, 63],
    ):
        assert await ask(restarted, 1) == expected


# Reasons


async def test_a_row_waits_for_its_reason(
    database: Database, recorder: Recorder, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written when the reason is there; without one when that took too long, or when the server stops."""
    writer = write(database, recorder)
    told, forgotten, last = (recorder.refused(asked(), stranger=False) for _ in range(3))
    assert told is not None
    assert forgotten is not None
    assert last is not None
    told.explain("sha1_not_allowed", uuid.UUID(shop.payout_certificate), Digest.SHA1)
    await writer.flush()
    (row,) = await all_rows(database)
    assert (row.reason, str(row.certificate_id), row.digest) == (
        "sha1_not_allowed",
        shop.payout_certificate,
        "sha1",
    )
    forgotten.waits_until = 1.0
    await writer.flush()
    assert [row.reason for row in await all_rows(database)] == ["sha1_not_allowed", ""]
    await writer.flush(everything=True)
    assert [row.reason for row in await all_rows(database)] == ["sha1_not_allowed", "", ""]


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
    database: Database, recorder: Recorder, shop: Shop, signed_by: Verified
) -> None:
    """Also among requests that are only counted."""
    for signer in [signed_by] * 50 + [Verified(shop.payment_certificate, Digest.SHA1)]:
        tally = recorder.counted.get(PAGE_ACCOUNT)
        if tally is not None and tally.known is signer:  # as the endpoint does
            tally.more += 1
        else:
            recorder.ok(asked(), signer)
    await write(database, recorder).flush()
    assert total(await all_rows(database)) == 51
    assert len(await uses_of(database, [uuid.UUID(shop.payment_certificate)])) == 1
