"""Answers to questions, as JSON for programs: amounts, percentages and times are text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from alikassa.ledger.model import Bucket
    from alikassa.ledger.questions.balance_at import BalanceAt
    from alikassa.ledger.questions.explain import Explanation, HeldExplained, HeldLot, Others
    from alikassa.ledger.questions.payouts import ListedDiscrepancy, ListedPayout
    from alikassa.ledger.questions.schedule import Schedule
    from alikassa.ledger.questions.statement import Statement, StatementLine

__all__ = [
    "amounts",
    "balance_record",
    "discrepancy_record",
    "explanation_record",
    "line_record",
    "payout_record",
    "schedule_record",
    "statement_record",
]


def amounts(buckets: Mapping[Bucket, int]) -> dict[str, str]:
    from alikassa.money import from_units

    return {bucket.value: from_units(amount) for bucket, amount in buckets.items()}


def _moment(moment: datetime | None) -> str | None:
    from alikassa.clock import moment_text

    return None if moment is None else moment_text(moment)


def balance_record(found: BalanceAt) -> dict[str, object]:
    return {
        "account": str(found.account),
        "currency": found.currency,
        "at": _moment(found.at),
        "by": found.by.value,
        "sequence": found.sequence,
        **amounts(found.buckets),
    }


def statement_record(found: Statement) -> dict[str, object]:
    return {
        "account": str(found.account),
        "currency": found.currency,
        "start": _moment(found.start),
        "end": _moment(found.end),
        "count": found.count,
        "opening": amounts(found.opening),
        "lines": [line_record(line) for line in found.lines],
        "closing": amounts(found.closing),
        "cursor": found.cursor,
    }


def line_record(line: StatementLine) -> dict[str, object]:
    entry = line.entry
    return {
        "sequence": entry.sequence,
        "entry": str(entry.id),
        "kind": entry.kind.value,
        "reference": entry.reference,
        "reason": entry.reason,
        "effective_at": _moment(entry.effective_at),
        "recorded_at": _moment(entry.recorded_at),
        "changes": amounts(line.changes),
        "balances": amounts(line.balances),
    }


def schedule_record(found: Schedule) -> dict[str, object]:
    from alikassa.money import from_units

    return {
        "account": str(found.account),
        "currency": found.currency,
        "time_zone": found.time_zone,
        "at": _moment(found.at),
        "due_now": amounts(found.due_now),
        "days": [
            {
                "day": one.day.isoformat(),
                "hold": from_units(one.hold),
                "rolling_reserve": from_units(one.rolling_reserve),
                "lots": one.lots,
            }
            for one in found.days
        ],
        "by_hand": amounts(found.by_hand),
    }


def explanation_record(found: Explanation) -> dict[str, object]:
    from alikassa.money import from_units

    balance, pending = found.balance, found.pending_payouts
    return {
        "account": str(found.account),
        "currency": found.currency,
        "at": _moment(found.at),
        "sequence": found.sequence,
        "balance": {
            "total": from_units(balance.total),
            "movements": [
                {
                    "sequence": one.sequence,
                    "kind": one.kind.value,
                    "reference": one.reference,
                    "reason": one.reason,
                    "effective_at": _moment(one.effective_at),
                    "recorded_at": _moment(one.recorded_at),
                    "change": from_units(one.change),
                }
                for one in balance.movements
            ],
            "earlier": _others(balance.earlier),
            "due": [_lot(one) for one in balance.due],
            "due_others": _others(balance.due_others),
        },
        "hold": _held(found.hold),
        "rolling_reserve": _held(found.rolling_reserve),
        "pending_payouts": {
            "total": from_units(pending.total),
            "count": pending.count,
            "payouts": [
                {
                    "reference": one.reference,
                    "amount": from_units(one.amount),
                    "by_hand": one.by_hand,
                    "created_at": _moment(one.created_at),
                    "age_seconds": int(one.age.total_seconds()),
                }
                for one in pending.payouts
            ],
            "others": _others(pending.others),
        },
    }


def _held(held: HeldExplained) -> dict[str, object]:
    from alikassa.money import from_units

    return {
        "total": from_units(held.total),
        "count": held.count,
        "lots": [_lot(one) for one in held.lots],
        "others": _others(held.others),
    }


def _others(others: Others) -> dict[str, object]:
    from alikassa.money import from_units

    return {"count": others.count, "total": from_units(others.total)}


def _lot(lot: HeldLot) -> dict[str, object]:
    from alikassa.money import from_units

    return {
        "lot": str(lot.key),
        "bucket": lot.bucket.value,
        "kind": lot.kind.value,
        "source": lot.source,
        "reason": lot.reason,
        "made_at": _moment(lot.made_at),
        "policy": lot.policy,
        "percent": None if lot.percent is None else from_units(lot.percent),
        "amount": from_units(lot.amount),
        "remaining": from_units(lot.remaining),
        "due_at": _moment(lot.due_at),
    }


def payout_record(one: ListedPayout) -> dict[str, object]:
    from alikassa.money import from_units

    payout = one.payout
    return {
        "account": str(one.account),
        "reference": payout.reference,
        "state": payout.state.value,
        "currency": one.currency,
        "amount": from_units(payout.amount),
        "fee": from_units(payout.fee),
        "by_hand": payout.by_hand,
        "created_at": _moment(payout.created_at),
        "state_at": _moment(payout.state_at),
    }


def discrepancy_record(one: ListedDiscrepancy) -> dict[str, object]:
    from alikassa.money import from_units

    found = one.discrepancy
    return {
        "account": str(found.account),
        "payout": found.payout,
        "currency": one.currency,
        "amount": from_units(one.amount),
        "state": found.state.value,
        "claimed": found.claimed.value,
        "opened_at": _moment(found.opened_at),
        "last_at": _moment(found.last_at),
        "times": found.times,
        "closed_sequence": found.closed_sequence,
    }
