"""What the operator is answered: shapes, and how what was booked becomes one."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from alikassa.ledger.attempts import Answer
from alikassa.ledger.model import AccountState, Bucket, Kind, SystemAccount
from alikassa.money import from_units
from alikassa.server.operator.fields import Moment

if TYPE_CHECKING:
    from alikassa.ledger.model import Account, Booked, JournalEntry

__all__ = [
    *("AccountAnswer", "BookedAnswer", "Decimals", "EntryAnswer", "Place", "PostingAnswer"),
    *("account_answer", "booked_answer", "encode", "entry_answer"),
]

Decimals = Annotated[
    str, Meta(description="Eight decimals.", examples=["93.84000000"], pattern=r"^-?[0-9]+\.[0-9]{8}$")
]
Place = Annotated[
    str,
    Meta(
        description="A bucket, or a system account.",
        extra_json_schema={"enum": [one.value for one in (*Bucket, *SystemAccount)]},
    ),
]

encode = msgspec.json.Encoder().encode


class PostingAnswer(msgspec.Struct, frozen=True, gc=False):
    """`lot` names the held sum or payout that it makes or moves, as `17.2`."""

    bucket: Place
    amount: Decimals
    lot: str | None


class EntryAnswer(msgspec.Struct, frozen=True, gc=False):
    """A journal entry. Its postings sum to zero."""

    id: uuid.UUID
    sequence: int
    kind: Kind
    reference: str
    reason: str
    metadata: Annotated[
        msgspec.Raw,
        Meta(extra_json_schema={"type": "object", "additionalProperties": {"type": "string"}}),
    ]
    effective_at: Moment
    recorded_at: Moment
    postings: list[PostingAnswer]


class AccountAnswer(msgspec.Struct, frozen=True, gc=False):
    """An account and its four numbers: what is due by now is in `balance`. `policy` is the version in force, 0: none.

    `sequence` is its last entry's. `closed_until`: nothing is booked with effect before it. `requires_fresh`: it takes
    only signed requests that are good once.
    """

    id: uuid.UUID
    merchant: uuid.UUID
    currency: str
    state: AccountState
    balance: Decimals
    hold: Decimals
    rolling_reserve: Decimals
    pending_payouts: Decimals
    policy: int
    sequence: int
    opened_at: Moment
    closed_until: Moment | None
    requires_fresh: bool


class BookedAnswer(msgspec.Struct, frozen=True, gc=False):
    """The entry, and the account after it. `repeated`: it had been booked before, by the same command."""

    entry: EntryAnswer
    account: AccountAnswer
    repeated: bool


def entry_answer(entry: JournalEntry) -> EntryAnswer:
    return EntryAnswer(
        id=entry.id,
        sequence=entry.sequence,
        kind=entry.kind,
        reference=entry.reference,
        reason=entry.reason,
        # It is kept as JSON.
        metadata=msgspec.Raw(entry.metadata.encode()),
        effective_at=entry.effective_at,
        recorded_at=entry.recorded_at,
        postings=[
            PostingAnswer(one.bucket.value, from_units(one.amount), None if one.lot is None else str(one.lot))
            for one in entry.postings
        ],
    )


def account_answer(account: Account, numbers: tuple[str, str, str, str] | None = None) -> AccountAnswer:
    """With `numbers`, those as read in place of the booked ones."""
    balance, hold, reserve, pending = numbers or tuple(from_units(account.buckets[bucket]) for bucket in Bucket)
    return AccountAnswer(
        id=account.id,
        merchant=account.merchant,
        currency=account.currency,
        state=account.state,
        balance=balance,
        hold=hold,
        rolling_reserve=reserve,
        pending_payouts=pending,
        policy=account.policy,
        sequence=account.sequence,
        opened_at=account.opened_at,
        closed_until=account.closed_until,
        requires_fresh=account.requires_fresh,
    )


def booked_answer(booked: Booked) -> Answer:
    """201, or 200 when it had been booked before."""
    answer = BookedAnswer(entry_answer(booked.entry), account_answer(booked.account), booked.repeated)
    return Answer(200 if booked.repeated else 201, encode(answer))
