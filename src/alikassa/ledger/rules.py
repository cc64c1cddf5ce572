"""What a command does to an account: a journal entry, or a refusal. Pure: no clock, no database."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from alikassa.errors import AmountError, BoundExceededError, InsufficientFundsError, InvalidInputError, InvariantError
from alikassa.ledger.model import Adjustment, Bucket, JournalEntry, Posting, SystemAccount
from alikassa.money import from_units, within_bounds

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from alikassa.ledger.model import Account

__all__ = ["apply", "check", "check_text", "decide"]

LONGEST_REFERENCE = 128
LONGEST_REASON = 500


def check_text(value: str, name: str, longest: int) -> str:
    """The text itself, or InvalidInputError: not empty, not too long, printable, no spaces around it."""
    if not value or value != value.strip() or len(value) > longest or not value.isprintable():
        raise InvalidInputError(
            f"The {name} {value[:longest]!r} cannot be kept.",
            remedy=f"Write 1 to {longest} printable characters, without spaces at the ends.",
        )
    return value


def check(command: Adjustment) -> None:
    """What can be told of a command without looking at its account: InvalidInputError for unreadable texts."""
    check_text(command.reference, "reference", LONGEST_REFERENCE)
    check_text(command.reason, "reason", LONGEST_REASON)


def decide(command: Adjustment, account: Account, now: datetime, entry_id: uuid.UUID) -> JournalEntry:
    """The entry that books `command` on `account` as it stands.

    Raises InsufficientFundsError when a bucket would fall below zero, BoundExceededError when it would reach 10^18,
    AmountError for a zero amount. The command's texts have passed `check`.
    """
    if command.amount == 0:
        raise AmountError("An adjustment by nothing changes nothing.", remedy="Give an amount other than 0.")
    total = account.buckets[command.bucket] + command.amount
    if total < 0:
        raise InsufficientFundsError(
            bucket=command.bucket,
            asked=from_units(-command.amount),
            available=from_units(account.buckets[command.bucket]),
            currency=account.currency,
        )
    if not within_bounds(total):
        raise BoundExceededError(f"{command.bucket} would reach {from_units(total)}; totals stay below 10^18.")
    recorded_at = now
    # Strictly rising within the account, also when the clock stands still or is set back.
    if account.recorded_at is not None and recorded_at <= account.recorded_at:
        recorded_at = account.recorded_at + timedelta(microseconds=1)
    return JournalEntry(
        id=entry_id,
        account=account.id,
        sequence=account.sequence + 1,
        kind=command.kind,
        reference=command.reference,
        reason=command.reason,
        content=command.content,
        effective_at=recorded_at,
        recorded_at=recorded_at,
        postings=(
            Posting(command.bucket, command.amount),
            Posting(SystemAccount.ADJUSTMENTS, -command.amount),
        ),
    )


def apply(account: Account, entry: JournalEntry) -> dict[Bucket, int]:
    """The account's buckets after the entry. InvariantError when the entry would make the books untrue."""
    if sum(posting.amount for posting in entry.postings) != 0:
        raise InvariantError(f"The postings of {entry.kind} {entry.reference!r} do not sum to zero.")
    if entry.account != account.id or entry.sequence != account.sequence + 1:
        raise InvariantError(f"{entry.kind} {entry.reference!r} does not follow the account's last entry.")
    buckets = dict(account.buckets)
    for posting in entry.postings:
        if isinstance(posting.bucket, Bucket):
            buckets[posting.bucket] += posting.amount
    for bucket, total in buckets.items():
        if not within_bounds(total) or (bucket is not Bucket.BALANCE and total < 0):
            raise InvariantError(f"{bucket} would stand at {from_units(total)}.")
    return buckets
