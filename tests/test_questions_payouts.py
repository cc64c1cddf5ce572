"""Payouts and discrepancies over accounts, and the trial balance over all of them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

from alikassa.errors import InvalidInputError, InvariantError, NotFoundError, PayoutStateError
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Adjustment, PayoutCorrect, PayoutCreate, PayoutFail, PayoutPaid, PayoutReturn
from alikassa.ledger.database import Database
from alikassa.ledger.model import Account, Bucket, PayoutState, SystemAccount
from alikassa.ledger.questions.cursor import write_cursor
from alikassa.ledger.questions.payouts import DiscrepancyPage, PayoutPage, _DiscrepancyPosition, discrepancies, payouts
from alikassa.ledger.questions.trial_balance import trial_balance
from alikassa.ledger.schema import postings
from alikassa.money import BOUND
from questions_story import MovingClock, day, open_account, tell, units

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(migrated_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    async with await Database.open(migrated_url) as opened:
        yield opened


async def three_payouts(database: Database, clock: MovingClock) -> tuple[Account, Account]:
    """Account A: a1 of day 0, paid, and a2 of day 1; account B: b1 of day 2. In the order of their keys."""
    one, two = sorted(
        [await open_account(database), await open_account(database)],
        key=lambda account: (account.id.int % 64, account.id),
    )
    books = Books(database, clock)
    for account in (one, two):
        await books.book(
            Adjustment(account=account.id, bucket=Bucket.BALANCE, amount=1000, reference="in", reason="to begin with")
        )
    for number, account, reference in ((0, one, "a1"), (1, one, "a2"), (2, two, "b1")):
        clock.at = day(number)
        await books.book(PayoutCreate(account=account.id, amount=100 + number, reference=reference))
    await books.book(PayoutPaid(account=one.id, reference="a1"))
    return one, two


def names(page: PayoutPage) -> list[str]:
    return [one.payout.reference for one in page.payouts]


async def test_payouts_are_found_by_account_state_and_age(database: Database) -> None:
    """Each filter alone and together; a payout is as old as the time since it was made, to the instant."""
    clock = MovingClock()
    one, two = await three_payouts(database, clock)
    clock.at = day(3)
    page = await payouts(database, now=clock)
    assert (names(page), page.at, page.cursor) == (["a1", "a2", "b1"], day(3), None)
    assert [(item.account, item.currency, item.payout.amount) for item in page.payouts] == [
        (one.id, "RUB", 100),
        (one.id, "RUB", 101),
        (two.id, "RUB", 102),
    ]
    assert names(await payouts(database, two.id)) == ["b1"]
    assert names(await payouts(database, state=PayoutState.PENDING)) == ["a2", "b1"]
    assert names(await payouts(database, one.id, state=PayoutState.PAID)) == ["a1"]
    assert names(await payouts(database, older_than=timedelta(days=2), now=clock)) == ["a1", "a2"]
    just = timedelta(days=2, microseconds=1)
    assert names(await payouts(database, one.id, older_than=just, now=clock)) == ["a1"]
    assert names(await payouts(database, state=PayoutState.FAILED)) == []


async def test_pages_of_payouts_make_up_the_whole(database: Database) -> None:
    """One at a time and two at a time, across accounts."""
    await three_payouts(database, MovingClock())
    for limit in (1, 2):
        pages: list[list[str]] = []
        after: str | None = None
        while after is not None or not pages:
            page = await payouts(database, after=after, limit=limit)
            pages.append(names(page))
            after = page.cursor
        assert pages == ([["a1"], ["a2"], ["b1"]] if limit == 1 else [["a1", "a2"], ["b1"]])


async def test_payouts_that_cannot_be_asked_for_are_refused(database: Database) -> None:
    """Unknown accounts, limits, ages, and cursors of other questions."""
    one, _ = await three_payouts(database, MovingClock())
    cursor = (await payouts(database, limit=1)).cursor
    with pytest.raises(NotFoundError):
        await payouts(database, uuid.uuid4())
    with pytest.raises(NotFoundError):
        await discrepancies(database, uuid.uuid4())
    for refused in (
        payouts(database, limit=0),
        payouts(database, limit=1001),
        payouts(database, older_than=timedelta(microseconds=-1)),
        payouts(database, older_than=timedelta.max),
        payouts(database, one.id, after=cursor),
        payouts(database, state=PayoutState.PENDING, after=cursor),
        discrepancies(database, limit=0),
        discrepancies(database, after=cursor),
        discrepancies(database, after=write_cursor(("discrepancies", None, True), _forged(one, "a\x00b"))),
    ):
        with pytest.raises(InvalidInputError):
            await refused


def _forged(account: Account, payout: str) -> _DiscrepancyPosition:
    return _DiscrepancyPosition(account.id, payout, PayoutState.PAID, day(0))


async def test_a_discrepancy_is_open_until_a_correction(database: Database) -> None:
    """What the bank says against a final state is listed with the payout's amount; corrected, only on request."""
    clock = MovingClock()
    one, two = await three_payouts(database, clock)
    books = Books(database, clock)
    for number in (4, 5):
        clock.at = day(number)
        with pytest.raises(PayoutStateError):
            await books.book(PayoutFail(account=one.id, reference="a1", reason=f"said on day {number}"))
    await books.book(PayoutFail(account=two.id, reference="b1"))
    with pytest.raises(PayoutStateError):
        await books.book(PayoutPaid(account=two.id, reference="b1"))

    page = await discrepancies(database)
    assert [(one.currency, one.amount) for one in page.discrepancies] == [("RUB", 100), ("RUB", 102)]
    first = page.discrepancies[0].discrepancy
    assert (first.account, first.payout, first.state, first.claimed) == (one.id, "a1", "paid", "failed")
    assert (first.opened_at, first.last_at, first.times, first.closed_sequence) == (day(4), day(5), 2, None)

    booked = await books.book(
        PayoutCorrect(account=one.id, payout="a1", to=PayoutState.FAILED, reference="k1", reason="the bank was asked")
    )
    assert _told(await discrepancies(database)) == [("b1", "paid", None)]
    assert _told(await discrepancies(database, one.id)) == []
    assert _told(await discrepancies(database, one.id, open_only=False)) == [("a1", "failed", booked.entry.sequence)]
    assert _told(await discrepancies(database, open_only=False)) == [
        ("a1", "failed", booked.entry.sequence),
        ("b1", "paid", None),
    ]


def _told(page: DiscrepancyPage) -> list[tuple[str, str, int | None]]:
    return [(one.payout, one.claimed, one.closed_sequence) for one in (item.discrepancy for item in page.discrepancies)]


async def test_pages_of_discrepancies_make_up_the_whole(database: Database) -> None:
    """Two claims on one payout and one on another's, one at a time."""
    clock = MovingClock()
    one, two = await three_payouts(database, clock)
    books = Books(database, clock)
    await books.book(PayoutPaid(account=one.id, reference="a2"))
    await books.book(PayoutFail(account=two.id, reference="b1"))
    for command in (
        PayoutFail(account=one.id, reference="a1"),
        PayoutFail(account=one.id, reference="a2"),
        PayoutPaid(account=two.id, reference="b1"),
        PayoutReturn(account=two.id, reference="b1"),
    ):
        with pytest.raises(PayoutStateError):
            await books.book(command)
    found: list[tuple[str, str, int | None]] = []
    after: str | None = None
    for _ in range(4):
        page = await discrepancies(database, after=after, limit=1)
        found += _told(page)
        after = page.cursor
    assert after is None
    assert found == [("a1", "failed", None), ("a2", "failed", None), ("b1", "paid", None), ("b1", "returned", None)]


# The trial balance


async def totals(database: Database, currency: str) -> dict[str, int]:
    """Those that are not zero."""
    found = await trial_balance(database)
    return {row.place.value: row.total for row in found.rows if row.currency == currency and row.total}


async def test_the_trial_balance_adds_up_every_place_by_currency(database: Database) -> None:
    """The story's: 1500 came in, 300 went back, 100 went out; fees of 39, 24.5 and 1 were earned."""
    await tell(database)
    await tell(database)
    dollars = await open_account(database, "USD")
    await Books(database).book(
        Adjustment(account=dollars.id, bucket=Bucket.HOLD, amount=7, reference="x", reason="to begin with")
    )
    await open_account(database, "EUR")
    found = await trial_balance(database)
    assert found.currencies == ["EUR", "RUB", "USD"]
    assert [(row.currency, row.place) for row in found.rows] == [
        (currency, place) for currency in found.currencies for place in (*Bucket, *SystemAccount)
    ]
    assert await totals(database, "EUR") == {}
    assert await totals(database, "USD") == {"hold": 7, "system:adjustments": -7}
    assert await totals(database, "RUB") == {
        "balance": units("2001"),
        "hold": units("20"),
        "rolling_reserve": units("50"),
        "system:clearing": units("-2400"),
        "system:fees": units("129"),
        "system:payouts": units("200"),
    }


async def test_totals_are_exact_beyond_what_one_account_may_have(database: Database) -> None:
    """Three accounts with 10^18 less one unit each: no float, and no bound, on the way."""
    books = Books(database)
    for _ in range(3):
        account = await open_account(database)
        await books.book(
            Adjustment(account=account.id, bucket=Bucket.BALANCE, amount=BOUND - 1, reference="all", reason="a lot")
        )
    most = 3 * (10**26 - 1)
    assert await totals(database, "RUB") == {"balance": most, "system:adjustments": -most}


async def test_books_that_do_not_sum_to_zero_are_no_trial_balance(sqlite_url: str) -> None:
    """One unit that somebody added to a posting, past the triggers, is told with its currency."""
    async with await Database.open(sqlite_url, create=True) as database:
        story = await tell(database)
        async with database.write() as connection:
            await connection.exec_driver_sql("DROP TRIGGER postings_no_update")
            await connection.execute(
                sa.update(postings)
                .where(postings.c.account_id == story.account.id, postings.c.sequence == 2, postings.c.line == 1)
                .values(amount=units("39.00000001"))
            )
        with pytest.raises(InvariantError, match=r"RUB sum to 0\.00000001"):
            await trial_balance(database)
