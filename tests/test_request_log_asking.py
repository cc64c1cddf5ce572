"""What merchants see of their requests: pages of them, and what happened and what to do."""

from __future__ import annotations

import string
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from alikassa.errors import InvalidInputError
from alikassa.ledger.database import Database
from alikassa.ledger.registry import Registry
from alikassa.protocol.signatures import Digest
from alikassa.server.refusals import Reason
from alikassa.server.requests.asking import SeenRequest, requests_of, uses_of
from alikassa.server.requests.kept import NOBODY, TOO_LARGE, TOO_LATE, Outcome, malformed
from alikassa.server.requests.recorder import Recorder
from alikassa.server.requests.remedies import OUTCOMES, remedies, texts
from alikassa.server.verification import Verified
from conftest import Shop
from recorded import ACCOUNT, asked, refuse, write

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


# Asking


@pytest.fixture
async def history(
    database: Database, recorder: Recorder, shop: Shop, signed_by: Verified
) -> tuple[Database, list[uuid.UUID]]:
    """Two accounts of the shop: each was asked for 7 times, 3 times in vain, in turns."""
    other = (await Registry(database).open_account(uuid.UUID(shop.merchant), "EUR")).id
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
