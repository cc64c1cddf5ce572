"""Answers to questions, for people: tables and sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from alikassa.cli.output import print_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from alikassa.ledger.model import Bucket
    from alikassa.ledger.questions.explain import (
        BalanceExplained,
        Explanation,
        HeldExplained,
        HeldLot,
        Movement,
        Others,
        PendingExplained,
    )
    from alikassa.ledger.questions.payouts import ListedDiscrepancy, ListedPayout
    from alikassa.ledger.questions.schedule import Schedule
    from alikassa.ledger.questions.statement import Statement

__all__ = ["moment", "print_discrepancies", "print_explanation", "print_payouts", "print_schedule", "print_statement"]


def moment(at: datetime) -> str:
    """In UTC, to the second."""
    from datetime import UTC

    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"


# The statement


def print_statement(found: Statement, *, newest: bool = False) -> None:
    """A row an entry with what it moved: opening and changes make closing. Read downwards, or with `newest` upwards."""
    from alikassa.ledger.model import BUCKETS

    names = [bucket.value for bucket in BUCKETS]
    # When it took place is shown where something was booked late.
    late = any(moment(line.entry.effective_at) != moment(line.entry.recorded_at) for line in found.lines)
    opening, closing = (
        ["", "" if at is None else moment(at), *([""] if late else []), name, "", *_numbers(numbers), ""]
        for at, name, numbers in ((found.start, "opening", found.opening), (found.end, "closing", found.closing))
    )
    rows = []
    for line in found.lines:
        entry = line.entry
        changes = [_change(line.changes.get(bucket, 0)) for bucket in BUCKETS]
        after = _numbers(line.balances)[0]
        times = [moment(entry.recorded_at), *([moment(entry.effective_at)] if late else [])]
        rows.append([str(entry.sequence), *times, entry.kind.value, entry.reference, *changes, after])
    rows = [closing, *rows, opening] if newest else [opening, *rows, closing]
    columns = [
        "entry",
        "recorded_at",
        *(["effective_at"] if late else []),
        "kind",
        "reference",
        *names,
        "balance after",
    ]
    print_table(columns, rows, right=["entry", *names, "balance after"])


def _numbers(buckets: Mapping[Bucket, int]) -> list[str]:
    from alikassa.money import from_units

    return [from_units(amount) for amount in buckets.values()]


def _change(amount: int) -> str:
    """With its sign; nothing for none."""
    from alikassa.money import from_units

    return "" if amount == 0 else f"{'+' if amount > 0 else ''}{from_units(amount)}"


# The schedule


def print_schedule(found: Schedule) -> None:
    from alikassa.money import from_units

    rows = [[one.day.isoformat(), from_units(one.hold), from_units(one.rolling_reserve)] for one in found.days]
    if any(found.due_now.values()):
        rows.insert(0, ["due now", *_numbers(found.due_now)])
    if any(found.by_hand.values()):
        rows.append(["by hand", *_numbers(found.by_hand)])
    by_day = (sum(one.hold for one in found.days), sum(one.rolling_reserve for one in found.days))
    whole = map(sum, zip(found.due_now.values(), found.by_hand.values(), by_day, strict=True))
    rows.append(["in all", *map(from_units, whole)])
    print_table(["released", "hold", "rolling_reserve"], rows, right=["hold", "rolling_reserve"])


# The explanation


def print_explanation(found: Explanation) -> None:
    """Each number, and under it, line by line, what it is made up of."""
    from alikassa.money import from_units

    parts = [
        ("balance", found.balance.total, list(_balance(found.balance))),
        ("hold", found.hold.total, list(_held(found.hold))),
        ("rolling_reserve", found.rolling_reserve.total, list(_held(found.rolling_reserve))),
        ("pending_payouts", found.pending_payouts.total, list(_pending(found.pending_payouts))),
    ]
    width = max(len(_change(amount)) for _, total, lines in parts for amount in (total, *(one for one, _ in lines)))
    for name, total, lines in parts:
        typer.echo(f"{name:<17}{from_units(total):>{width}} {found.currency}")
        for amount, words in lines:
            typer.echo(f"{'':<17}{_change(amount) or from_units(0):>{width}} {words}")


def _balance(balance: BalanceExplained) -> Iterator[tuple[int, str]]:
    for lot in balance.due:
        yield lot.remaining, f"{_lot(lot)} Due, so it can be spent; the next entry books it."
    if balance.due_others.count:
        yield balance.due_others.total, _rest(balance.due_others, "due", "lot")
    for one in balance.movements:
        yield one.change, _movement(one)
    if balance.earlier.count and (balance.earlier.total or not balance.movements):
        yield balance.earlier.total, f"from the first {_count(balance.earlier.count, 'entry', 'entries')}."


def _movement(one: Movement) -> str:
    reason = f": {one.reason}" if one.reason else ""
    from alikassa.ledger.model import Kind

    name = f"{one.kind.value.replace('_', ' ')} {one.reference!r}"
    if one.kind is Kind.RELEASE:
        name = "released when it fell due"
    return f"{name}{reason}, entry {one.sequence}, {moment(one.effective_at)}."


def _held(held: HeldExplained) -> Iterator[tuple[int, str]]:
    for lot in held.lots:
        yield lot.remaining, _lot(lot)
    if held.others.count:
        yield held.others.total, _rest(held.others, "later or by hand", "lot")


def _lot(lot: HeldLot) -> str:
    from alikassa.ledger.model import Kind
    from alikassa.money import from_units

    reason = f" ({lot.reason})" if lot.reason else ""
    origin = {
        Kind.PAYMENT: f"held from payment {lot.source!r}",
        Kind.OPENING: f"brought from other books, from {lot.source!r}",
    }.get(lot.kind, f"held by hand as {lot.source!r}{reason}")
    if lot.percent is not None:
        origin += f" ({_percent(lot.percent)} by policy {lot.policy})"
    until = "until it is released by hand" if lot.due_at is None else f"until {moment(lot.due_at)}"
    left = "" if lot.remaining == lot.amount else f", what is left of {from_units(lot.amount)}"
    return f"{origin} {until}{left}. Lot {lot.key}."


def _percent(percent: int) -> str:
    from alikassa.money import from_units

    return f"{from_units(percent).rstrip('0').rstrip('.')} %"


def _pending(pending: PendingExplained) -> Iterator[tuple[int, str]]:
    for one in pending.payouts:
        by_hand = ", by hand" if one.by_hand else ""
        yield one.amount, f"payout {one.reference!r}{by_hand}, under way for {_age(one.age)}."
    if pending.others.count:
        yield pending.others.total, _rest(pending.others, "younger", "payout")


def _age(age: timedelta) -> str:
    hours, seconds = divmod(int(age.total_seconds()), 3600)
    if hours >= 48:
        return _count(hours // 24, "day", "days")
    return _count(hours, "hour", "hours") if hours else _count(seconds // 60, "minute", "minutes")


def _rest(others: Others, which: str, one: str) -> str:
    return f"in {_count(others.count, f'more {one}', f'more {one}s')}, {which}."


def _count(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


# Payouts


def print_payouts(found: Sequence[ListedPayout]) -> None:
    from alikassa.money import from_units

    columns = ["account", "payout", "state", "currency", "amount", "fee", "made_at", "state_since", ""]
    rows = [
        [
            *(str(one.account), one.payout.reference, one.payout.state.value, one.currency),
            *(from_units(one.payout.amount), from_units(one.payout.fee)),
            *(moment(one.payout.created_at), moment(one.payout.state_at), "by hand" if one.payout.by_hand else ""),
        ]
        for one in found
    ]
    print_table(columns, rows, right=["amount", "fee"])


def print_discrepancies(found: Sequence[ListedDiscrepancy]) -> None:
    from alikassa.money import from_units

    columns = [
        "account",
        "payout",
        "currency",
        "amount",
        "is",
        "said to be",
        "times",
        "first",
        "last",
        "settled by entry",
    ]
    rows = [
        [
            *(str(one.discrepancy.account), one.discrepancy.payout, one.currency, from_units(one.amount)),
            *(one.discrepancy.state.value, one.discrepancy.claimed.value, str(one.discrepancy.times)),
            *(moment(one.discrepancy.opened_at), moment(one.discrepancy.last_at)),
            "" if one.discrepancy.closed_sequence is None else f"entry {one.discrepancy.closed_sequence}",
        ]
        for one in found
    ]
    print_table(columns, rows, right=["amount", "times"])
