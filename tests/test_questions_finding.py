"""What an operator looks for over all merchants: by name and uuid, payouts under way, certificates to look at."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from alikassa.errors import InvalidInputError
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Adjustment, PayoutCreate, PayoutPaid
from alikassa.ledger.database import Database
from alikassa.ledger.model import Bucket, Purpose
from alikassa.ledger.questions import finding
from alikassa.ledger.questions.certificates import old_certificates, rotations, signing_with_sha1
from alikassa.ledger.questions.finding import merchants_named, merchants_of, search_accounts
from alikassa.ledger.questions.pending import pending_payouts, stuck_payouts
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import certificate_uses
from alikassa.protocol.certificates import load_public_key
from questions_story import MovingClock, day

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(migrated_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    async with await Database.open(migrated_url) as opened:
        yield opened


async def shop(database: Database, name: str, *accounts: str) -> uuid.UUID:
    """A merchant with accounts in RUB of these uuids."""
    registry = Registry(database)
    merchant = await registry.add_merchant(name)
    for account in accounts:
        await registry.open_account(merchant.id, "RUB", uuid.UUID(account))
    return merchant.id


async def test_merchants_are_found_by_a_part_of_their_name(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """In any alphabet; in pages; and a page ends after so many names, with what leads on."""
    for number, name in enumerate(("Лавка", "Alpha Shop", "ЛАВОЧКА", "shopping", "Beta")):
        await Registry(database).add_merchant(name, uuid.UUID(int=number))

    async def names(part: str, **how: int) -> list[str]:
        found, cursor = [], None
        for _ in range(9):
            page = await merchants_named(database, part, after=cursor, **how)
            found += [one.name for one in page.merchants]
            cursor = page.cursor
            if cursor is None:
                return found
            found.append("|")
        raise AssertionError(found)

    assert await names("лав") == ["Лавка", "ЛАВОЧКА"]
    assert await names("SHOP", limit=1) == ["Alpha Shop", "|", "shopping"]
    assert await names("") == ["Лавка", "Alpha Shop", "ЛАВОЧКА", "shopping", "Beta"]
    monkeypatch.setattr(finding, "MOST_NAMES", 3)
    assert await names("beta") == ["|", "Beta"]
    with pytest.raises(InvalidInputError):
        await merchants_named(database, limit=0)


ONE = "93d5df06-996c-48c3-9847-348d6b580b80"
TWO = "93d5df06-0000-48c3-9847-348d6b580b81"
THREE = "a3d5df06-996c-48c3-9847-348d6b580b82"


async def test_accounts_are_found_by_the_beginning_of_their_uuid(database: Database) -> None:
    """Whichever lanes they are in; with or without dashes, in capitals too; what is no beginning is refused."""
    first, second = await shop(database, "First", ONE, THREE), await shop(database, "Second", TWO)

    async def found(**wanted: Any) -> list[str]:
        return [str(one.id) for one in await search_accounts(database, **wanted)]

    # Their last digits are their lanes: 0, 1 and 2.
    assert await found() == [ONE, TWO, THREE]
    assert await found(beginning="93d5") == [ONE, TWO]
    assert await found(beginning="93D5DF06-996") == [ONE]
    assert await found(beginning=THREE.replace("-", "")) == [THREE]
    assert await found(beginning="b") == []
    assert await found(currency="USDT") == []
    of_first = await search_accounts(database, of_merchants=[first], after=uuid.UUID(ONE))
    assert [str(one.id) for one in of_first] == [THREE]
    assert await search_accounts(database, of_merchants=[]) == []
    for wrong in ("xyz", "-", "9" * 33, "%"):
        with pytest.raises(InvalidInputError):
            await search_accounts(database, beginning=wrong)
    owners = await merchants_of(database, [uuid.UUID(TWO), uuid.UUID(int=5)])
    assert {str(account): one.id for account, one in owners.items()} == {TWO: second}


async def payouts_of(database: Database, clock: MovingClock, account: str, **made: int) -> None:
    """Payouts by reference, each made on a day."""
    books, id_ = Books(database, clock), uuid.UUID(account)
    await books.book(
        Adjustment(account=id_, bucket=Bucket.BALANCE, amount=1000, reference="in", reason="to begin with")
    )
    for reference, number in made.items():
        clock.at = day(number)
        await books.book(PayoutCreate(account=id_, amount=1, reference=reference))


async def test_payouts_under_way_are_found_over_all_accounts(database: Database) -> None:
    """Account by account, in pages; with an age, those that were made so long ago, to the instant."""
    clock = MovingClock()
    await shop(database, "Shop", THREE, TWO, ONE)
    await payouts_of(database, clock, THREE, late=5)
    await payouts_of(database, clock, TWO, done=6)
    await payouts_of(database, clock, ONE, old=7, done=8, new=9)
    for account in (ONE, TWO):
        await Books(database, clock).book(PayoutPaid(account=uuid.UUID(account), reference="done"))
    clock.at = day(10)

    async def pages(**how: int) -> list[list[str]]:
        found: list[list[str]] = []
        age, cursor = timedelta(days=how["days"]) if "days" in how else None, None
        for _ in range(5):
            page = await pending_payouts(database, older_than=age, after=cursor, limit=how.get("limit", 100), now=clock)
            found.append([one.payout.reference for one in page.payouts])
            cursor = page.cursor
            if cursor is None:
                break
        return found

    assert await pages() == [["old", "new", "late"]]
    assert await pages(limit=1) == [["old"], ["new"], ["late"]]
    assert await pages(days=3) == [["old", "late"]]
    assert await pages(days=4) == [["late"]]
    stuck = await stuck_payouts(database, timedelta(days=1), oldest=2, now=clock)
    assert (stuck.count, [one.payout.reference for one in stuck.oldest]) == (3, ["late", "old"])
    assert [str(one.account) for one in stuck.oldest] == [THREE, ONE]
    page = await pending_payouts(database, limit=1, now=clock)
    with pytest.raises(InvalidInputError):
        await pending_payouts(database, older_than=timedelta(days=3), after=page.cursor, now=clock)


async def test_certificates_to_look_at(database: Database, archives: Callable[[str], Path]) -> None:
    """Several active ones of one purpose, old ones, and those that signed with SHA-1 lately; no revoked one."""
    clock = MovingClock()
    registry = Registry(database, clock)
    shops = [await registry.add_merchant(f"Shop {number}") for number in range(2)]
    keys = [load_public_key((archives(name) / "public.pem").read_bytes()) for name in ("payout", "payment", "third")]
    added = []
    for number, (merchant, purpose, key) in enumerate(
        [
            (shops[0], Purpose.PAYOUT, keys[0]),
            (shops[0], Purpose.PAYOUT, keys[1]),
            (shops[0], Purpose.PAYMENT, keys[2]),
            (shops[1], Purpose.PAYOUT, keys[0]),
            (shops[1], Purpose.PAYOUT, keys[1]),
        ]
    ):
        clock.at = day(number)
        added.append(await registry.add_certificate(merchant.id, purpose, key))
    await registry.revoke_certificate(added[3].id)
    async with database.write() as connection:
        for number, certificate in enumerate((0, 1, 2, 3)):
            digest = "sha256" if certificate == 2 else "sha1"
            values = {"certificate_id": added[certificate].id, "digest": digest, "last_used_at": day(number)}
            await connection.execute(certificate_uses.insert().values(values))

    (rotation,) = (await rotations(database)).first
    assert (rotation.merchant, rotation.name, rotation.purpose, rotation.active, rotation.newest_at) == (
        *(shops[0].id, "Shop 0", Purpose.PAYOUT, 2),
        day(1),
    )
    assert (await rotations(database)).count == 1
    old = await old_certificates(database, day(4), limit=2)
    assert (old.count, [one.id for one in old.first]) == (3, [added[0].id, added[1].id])
    sha1 = await signing_with_sha1(database, day(0))
    assert (sha1.count, [one.id for one in sha1.first]) == (2, [added[1].id, added[0].id])
    assert [one.at for one in sha1.first] == [day(1), day(0)]
    assert (await signing_with_sha1(database, day(2))).count == 0
