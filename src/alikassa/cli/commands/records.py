"""Entries and accounts as JSON for programs: amounts and times are text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alikassa.ledger.model import Account, Booked, JournalEntry, Lot, LotKey

__all__ = ["account_record", "booked_record"]


def account_record(account: Account) -> dict[str, object]:
    from alikassa.money import from_units

    return {
        "account": str(account.id),
        "merchant": str(account.merchant),
        "currency": account.currency,
        "state": account.state.value,
        **{bucket.value: from_units(amount) for bucket, amount in account.buckets.items()},
    }


def booked_record(booked: Booked, lots: Mapping[LotKey, Lot]) -> dict[str, object]:
    """The entry with its postings, whether it was booked before, and the account as it stands now.

    `lots` are the held sums that the entry made.
    """
    return {**_entry(booked.entry, lots), "repeated": booked.repeated, **account_record(booked.account)}


def _entry(entry: JournalEntry, lots: Mapping[LotKey, Lot]) -> dict[str, object]:
    from alikassa.clock import moment_text
    from alikassa.money import from_units

    postings: list[dict[str, object]] = []
    for posting in entry.postings:
        record: dict[str, object] = {"bucket": posting.bucket.value, "amount": from_units(posting.amount)}
        if posting.lot is not None:
            record["lot"] = str(posting.lot)
            lot = lots.get(posting.lot)
            if lot is not None:
                record["due_at"] = None if lot.due_at is None else moment_text(lot.due_at)
        postings.append(record)
    return {
        "entry": str(entry.id),
        "sequence": entry.sequence,
        "kind": entry.kind.value,
        "reference": entry.reference,
        "reason": entry.reason,
        "metadata": json.loads(entry.metadata),
        "subject": entry.subject,
        "detail": entry.detail,
        "effective_at": moment_text(entry.effective_at),
        "recorded_at": moment_text(entry.recorded_at),
        "hash": entry.hash.hex(),
        "postings": postings,
    }
