"""What comparing the books with the model (see test_books_stateful) brought to light, each by itself."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from alikassa.errors import BoundExceededError, ConflictError, InsufficientFundsError, PayoutStateError
from alikassa.ledger.books import Books
from alikassa.ledger.commands import (
    Adjustment,
    Chargeback,
    ClosePeriod,
    Payment,
    PayoutCancel,
    PayoutCorrect,
    PayoutCreate,
    PayoutPaid,
    Reversal,
    SetPolicy,
)
from alikassa.ledger.database import Database
from alikassa.ledger.model import Bucket, Kind, PayoutState
from alikassa.ledger.policy import Policy
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import discrepancies
from alikassa.ledger.verify import verify
from alikassa.money import BOUND

pytestmark = pytest.mark.anyio

_PERCENT = 10**8


class Clock:
    """Goes only when it is told to."""

    at = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
async def database(migrated_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    async with await Database.open(migrated_url) as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def books(database: Database, clock: Clock) -> Books:
    return Books(database, clock)


@pytest.fixture
async def account(database: Database, books: Books) -> uuid.UUID:
    """Half of each payment is reserved for ten days."""
    registry = Registry(database)
    opened = await registry.open_account((await registry.add_merchant("Shop")).id, "RUB")
    policy = Policy(reserve_percent=50 * _PERCENT, reserve_days=10)
    await books.book(SetPolicy(account=opened.id, policy=policy, reference="first"))
    return opened.id


async def test_a_draw_reaches_lots_beyond_one_that_was_undone_in_the_same_job(books: Books, account: uuid.UUID) -> None:
    """Booked together, a reversal empties the lot that a draw would have begun with: it goes on to the next ones."""
    await books.book(Payment(account=account, amount=200, reference="payment"))
    await books.book(Adjustment(account, Bucket.ROLLING_RESERVE, 70, "by-hand", "a test"))
    undone, drawn = await books.book_together(
        [
            Reversal(account, Kind.ADJUSTMENT, "by-hand", "undo", "a test"),
            Adjustment(account, Bucket.ROLLING_RESERVE, -60, "draw", "a test"),
        ]
    )
    assert (undone.entry.reference, drawn.entry.reference) == ("undo", "draw")
    assert drawn.account.buckets[Bucket.ROLLING_RESERVE] == 40
    assert drawn.account.buckets[Bucket.BALANCE] == 100


async def test_a_chargeback_draws_on_all_reserves_whatever_is_booked_beside_it(
    books: Books, account: uuid.UUID
) -> None:
    """Booked together with a smaller one, a chargeback finds the reserves that it needs before the balance is short."""
    for number, amount in enumerate((20, 100, 100, 20)):
        await books.book(Payment(account=account, amount=amount, reference=f"payment-{number}"))
    await books.book(PayoutCreate(account=account, amount=120, reference="everything"))
    booked = await books.book_together(
        [Chargeback(account, "payment-2", 100, "large"), Chargeback(account, "payment-3", 5, "small")]
    )
    # Reserved are 10, 50, 50 and 10: the large one takes its own 50, then 10 and 40; the small one 5 of its own.
    assert booked[1].account.buckets[Bucket.ROLLING_RESERVE] == 15
    assert booked[1].account.buckets[Bucket.BALANCE] == 0


async def test_a_discrepancy_may_open_again_at_the_moment_it_was_settled(
    database: Database, books: Books, account: uuid.UUID
) -> None:
    """Heard again while the clock stands, a contradiction is a second discrepancy and not a failure."""
    await books.book(Adjustment(account, Bucket.BALANCE, 100, "money", "a test"))
    await books.book(PayoutCreate(account, 100, "payout"))
    await books.book(PayoutPaid(account, "payout"))
    with pytest.raises(PayoutStateError):
        await books.book(PayoutCancel(account, "payout"))
    await books.book(PayoutCorrect(account, "payout", PayoutState.RETURNED, "correction", "a test"))
    for _ in range(2):
        with pytest.raises(PayoutStateError):
            await books.book(PayoutCancel(account, "payout"))
    async with database.read() as connection:
        rows = await connection.execute(
            sa.select(discrepancies.c.state, discrepancies.c.times, discrepancies.c.closed_sequence).order_by(
                discrepancies.c.opened_at
            )
        )
        found = [(row.state, row.times, row.closed_sequence is None) for row in rows]
    assert found == [("paid", 1, False), ("returned", 2, True)]


async def test_what_is_held_always_has_room_in_the_balance(books: Books, account: uuid.UUID, clock: Clock) -> None:
    """Balance and held money together stay below 10^18, so that a lot can be released when it is due."""
    most = BOUND - 1
    await books.book(Payment(account=account, amount=most - 1, reference="nearly everything"))
    with pytest.raises(BoundExceededError):
        await books.book(Payment(account=account, amount=2, reference="too much"))
    await books.book(Payment(account=account, amount=1, reference="everything"))
    clock.at += timedelta(days=11)
    drawn = await books.book(Adjustment(account, Bucket.BALANCE, -most, "out", "a test"))
    assert set(drawn.account.buckets.values()) == {0}


async def test_a_closed_period_is_in_the_journal_whatever_else_is_said(
    database: Database, books: Books, account: uuid.UUID, clock: Clock
) -> None:
    """Asked for with another effective time, the entry still says when the period ends: it is verified by that."""
    until = clock.at - timedelta(days=2)
    command = ClosePeriod(account, until, "close", effective_at=clock.at - timedelta(days=1))
    closed = await books.book(command)
    assert closed.entry.effective_at == closed.account.closed_until == until
    assert not (await verify(database)).problems


async def test_metadata_that_reads_alike_is_other_content(books: Books, account: uuid.UUID) -> None:
    """A name that ends in what another's value begins with does not make the two the same command."""
    await books.book(Payment(account=account, amount=5, reference="payment", metadata={"order=1": "2"}))
    with pytest.raises(ConflictError):
        await books.book(Payment(account=account, amount=5, reference="payment", metadata={"order": "1=2"}))


async def test_a_paid_payout_is_no_reversal_of_what_made_it(books: Books, account: uuid.UUID) -> None:
    """A payout by hand that was paid is not pending any more: undoing it is short of money, and not done already."""
    await books.book(Adjustment(account, Bucket.PENDING_PAYOUTS, 7, "payout", "a test"))
    await books.book(PayoutPaid(account, "payout"))
    with pytest.raises(InsufficientFundsError) as caught:
        await books.book(Reversal(account, Kind.ADJUSTMENT, "payout", "undo", "a test"))
    assert (caught.value.asked, caught.value.available) == ("0.00000007", "0.00000000")


async def test_a_payout_that_was_corrected_is_not_pending_again(books: Books, account: uuid.UUID) -> None:
    """Drawn to nothing and then corrected to paid, a payout by hand is final: what drew on it is not undone."""
    await books.book(Adjustment(account, Bucket.PENDING_PAYOUTS, 7, "payout", "a test"))
    await books.book(Adjustment(account, Bucket.PENDING_PAYOUTS, -7, "draw", "a test"))
    await books.book(PayoutCorrect(account, "payout", PayoutState.PAID, "correction", "a test"))
    with pytest.raises(ConflictError):
        await books.book(Reversal(account, Kind.ADJUSTMENT, "draw", "undo", "a test"))
