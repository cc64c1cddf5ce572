"""The books by themselves: invariants that no rule may break are asserted before anything is changed."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from alikassa.errors import InvariantError
from alikassa.ledger.chain import genesis
from alikassa.ledger.commands import content_hash
from alikassa.ledger.model import BUCKETS, Account, Bucket, Kind, Lot, LotKey, Payout, PayoutState, SystemAccount
from alikassa.ledger.sheet import Draft, Sheet
from alikassa.money import BOUND

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOT = Lot(LotKey(3, 1), Bucket.HOLD, "p", 1, None, 100, 60)
PAYOUT = Payout(
    LotKey(4, 1), "out", 50, 0, by_hand=False, created_at=NOW, state=PayoutState.PENDING, state_sequence=4, state_at=NOW
)


@pytest.fixture
def sheet() -> Sheet:
    one, merchant = uuid.uuid4(), uuid.uuid4()
    buckets = dict.fromkeys(BUCKETS, 100)
    made = Sheet(Account(one, merchant, "RUB", buckets, 7, NOW, NOW, genesis(one, merchant, "RUB")))
    made.lots[LOT.key] = LOT
    made.payouts[PAYOUT.reference] = PAYOUT
    return made


def test_an_entry_follows_its_account(sheet: Sheet) -> None:
    """The next sequence, a later time, and buckets and lots moved by its postings."""
    draft = sheet.draft()
    draft.post(Bucket.HOLD, -5, LOT.key)
    draft.post(Bucket.BALANCE, 5)
    before = sheet.account.head
    entry = sheet.book(draft, kind=Kind.HOLD_RELEASED, reference="r", now=NOW)
    assert (entry.sequence, entry.recorded_at) == (8, NOW + timedelta(microseconds=1))
    assert sheet.account.buckets == dict.fromkeys(BUCKETS, 100) | {Bucket.HOLD: 95, Bucket.BALANCE: 105}
    assert sheet.lots[LOT.key].remaining == 55
    assert sheet.account.head == entry.hash != before


def _unbalanced(draft: Draft) -> None:
    draft.post(Bucket.BALANCE, 5)
    draft.post(SystemAccount.ADJUSTMENTS, -4)


def _without_a_lot(draft: Draft) -> None:
    draft.post(Bucket.HOLD, 5)
    draft.post(SystemAccount.ADJUSTMENTS, -5)


def _lot_overdrawn(draft: Draft) -> None:
    draft.post(Bucket.HOLD, -61, LOT.key)
    draft.post(Bucket.BALANCE, 61)


def _lot_overfilled(draft: Draft) -> None:
    draft.post(Bucket.HOLD, 41, LOT.key)
    draft.post(Bucket.BALANCE, -41)


def _lot_of_another_bucket(draft: Draft) -> None:
    draft.post(Bucket.ROLLING_RESERVE, -1, LOT.key)
    draft.post(Bucket.BALANCE, 1)


def _balance_with_a_lot(draft: Draft) -> None:
    draft.post(Bucket.HOLD, -1, LOT.key)
    draft.post(Bucket.BALANCE, 1, LOT.key)


def _payout_moved_alone(draft: Draft) -> None:
    draft.post(Bucket.PENDING_PAYOUTS, -50, PAYOUT.key)
    draft.post(SystemAccount.PAYOUTS, 50)


def _out_of_bounds(draft: Draft) -> None:
    draft.post(Bucket.BALANCE, BOUND)
    draft.post(SystemAccount.ADJUSTMENTS, -BOUND)


def _gap(draft: Draft) -> None:
    draft.sequence += 1


def _again(draft: Draft) -> None:
    draft.sequence -= 1


@pytest.mark.parametrize(
    "untrue",
    [
        *(_unbalanced, _without_a_lot, _lot_overdrawn, _lot_overfilled, _lot_of_another_bucket, _balance_with_a_lot),
        *(_payout_moved_alone, _out_of_bounds, _gap, _again),
    ],
)
def test_an_untrue_entry_is_not_booked(sheet: Sheet, untrue: object) -> None:
    """Whatever defect made it: an entry that would make the books untrue is stopped, and nothing has changed."""
    draft, before, lots = sheet.draft(), sheet.account, dict(sheet.lots)
    untrue(draft)  # type: ignore[operator]
    with pytest.raises(InvariantError):
        sheet.book(draft, kind=Kind.ADJUSTMENT, reference="r", now=NOW)
    assert (sheet.account, sheet.lots, sheet.new_entries) == (before, lots, [])


def test_content_cannot_pose_as_other_content() -> None:
    """Fields are hashed with their lengths: moving a character from one to the next is another content."""
    assert content_hash(("ab", "c")) != content_hash(("a", "bc"))
    assert content_hash(("ab",)) != content_hash(("ab", ""))
