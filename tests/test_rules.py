"""The rules by themselves: invariants that no command may break are asserted before anything is written."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from alikassa.errors import InvariantError
from alikassa.ledger import rules
from alikassa.ledger.model import (
    BUCKETS,
    Account,
    Adjustment,
    Bucket,
    JournalEntry,
    Posting,
    SystemAccount,
    content_hash,
)
from alikassa.money import BOUND

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def account() -> Account:
    return Account(uuid.uuid4(), uuid.uuid4(), "RUB", dict.fromkeys(BUCKETS, 100), 7, NOW, NOW)


@pytest.fixture
def entry(account: Account) -> JournalEntry:
    return rules.decide(Adjustment(account.id, Bucket.HOLD, 5, "r", "a test"), account, NOW, uuid.uuid4())


def test_an_entry_follows_its_account(account: Account, entry: JournalEntry) -> None:
    """The next sequence, a later time, and buckets moved by its postings."""
    assert (entry.sequence, entry.recorded_at > NOW) == (8, True)
    assert rules.apply(account, entry) == account.buckets | {Bucket.HOLD: 105}


@pytest.mark.parametrize(
    "broken",
    [
        {"postings": (Posting(Bucket.HOLD, 5), Posting(SystemAccount.ADJUSTMENTS, -4))},
        {"postings": (Posting(Bucket.HOLD, -101), Posting(SystemAccount.ADJUSTMENTS, 101))},
        {"postings": (Posting(Bucket.BALANCE, BOUND), Posting(SystemAccount.ADJUSTMENTS, -BOUND))},
        {"sequence": 9},
        {"sequence": 7},
        {"account": uuid.uuid4()},
    ],
    ids=["unbalanced", "negative hold", "out of bounds", "gap", "again", "other account"],
)
def test_an_untrue_entry_is_not_applied(account: Account, entry: JournalEntry, broken: dict[str, object]) -> None:
    """Whatever defect made it: an entry that would make the books untrue is stopped."""
    with pytest.raises(InvariantError):
        rules.apply(account, replace(entry, **broken))  # type: ignore[arg-type]


def test_content_cannot_pose_as_other_content() -> None:
    """Fields are hashed with their lengths: moving a character from one to the next is another content."""
    assert content_hash(("ab", "c")) != content_hash(("a", "bc"))
    assert content_hash(("ab",)) != content_hash(("ab", ""))
