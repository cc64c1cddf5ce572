"""The hash chain of an account: each entry's hash covers the one before it and everything that the entry says.

A field is written as its length in characters, a colon, and the field, so that no two lists of fields read alike.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from alikassa.clock import moment_text

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable, Sequence

    from alikassa.ledger.model import JournalEntry, Lot, Payout
    from alikassa.ledger.policy import Policy

__all__ = ["entry_hash", "genesis", "lot_terms", "payout_terms", "policy_terms"]


def genesis(account: uuid.UUID, merchant: uuid.UUID, currency: str) -> bytes:
    """What the account's first entry follows: whose account it is, and in which currency."""
    return _digest(b"", ("account", str(account), str(merchant), currency))


def entry_hash(previous: bytes, entry: JournalEntry, terms: Sequence[str]) -> bytes:
    """The hash of an entry that follows the one with the hash `previous`.

    `terms` are those of the lots, payouts and policy that the entry made, in the order of its postings.
    """
    fields = [
        str(entry.account),
        str(entry.sequence),
        str(entry.id),
        entry.kind,
        entry.reference,
        entry.reason,
        entry.metadata,
        entry.content.hex(),
        "" if entry.subject is None else str(entry.subject),
        entry.detail,
        moment_text(entry.effective_at),
        moment_text(entry.recorded_at),
        str(len(entry.postings)),
    ]
    for posting in entry.postings:
        fields += (posting.bucket, str(posting.amount), "" if posting.lot is None else str(posting.lot))
    return _digest(previous, (*fields, *terms))


def lot_terms(lot: Lot) -> tuple[str, ...]:
    """What is fixed about a lot when it is made, beside its posting."""
    due_at = "" if lot.due_at is None else moment_text(lot.due_at)
    return ("lot", str(lot.key), lot.source, str(lot.policy), due_at)


def payout_terms(payout: Payout) -> tuple[str, ...]:
    """What is fixed about a payout when it is made, beside its posting."""
    return ("payout", str(payout.key), payout.reference, str(payout.fee), "by hand" if payout.by_hand else "")


def policy_terms(version: int, policy: Policy) -> tuple[str, ...]:
    return ("policy", str(version), *policy.terms)


def _digest(previous: bytes, fields: Iterable[str]) -> bytes:
    text = "".join([f"{len(field)}:{field}" for field in fields])
    return hashlib.sha256(previous + text.encode()).digest()
