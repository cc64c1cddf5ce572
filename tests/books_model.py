"""The books once more, in plain dictionaries, from the specification alone: what any command must answer.

Nothing of `alikassa.ledger` is used but the shapes of commands and policies. One account is one dictionary; a command
is decided on a copy of it, which takes its place when the command succeeds.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from alikassa.ledger import commands as c
from alikassa.ledger.commands import Command
from alikassa.ledger.policy import Policy
from books_model_rules import HELD, RULES, Refused, Row

__all__ = ["BOUND", "ModelBooks", "Refused"]

BOUND = 10**26
_TICK = timedelta(microseconds=1)


class ModelBooks:
    """All accounts, and what time it is for them."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.accounts: dict[uuid.UUID, Row] = {}

    def open(self, account: uuid.UUID) -> None:
        self.accounts[account] = {
            "balance": 0,
            "lots": [],
            "payouts": {},
            "entries": {},
            "sequence": 0,
            "recorded_at": None,
            "state": "open",
            "policy": Policy(),
            "closed_until": None,
            "discrepancies": [],
            "moved": False,
        }

    def numbers(self, account: uuid.UUID) -> dict[str, int]:
        """The four numbers as they would be answered now: what is due counts as released."""
        at = _copied(self.accounts[account])
        release_due(at, self.now())
        return totals(at)

    def sweep(self) -> None:
        for account in self.accounts.values():
            release_due(account, self.now())

    def book(self, command: Command) -> tuple[Row, bool]:
        """The entry and whether it was there before, or Refused."""
        _check(command)
        account, kind, reference = command.named
        before = self.accounts.get(account)
        if before is None:
            raise Refused("NotFoundError")
        release_due(before, self.now())
        first = before["entries"].get((str(kind), reference))
        if first is not None:
            if first["command"] != command:
                raise Refused("ConflictError")
            return first, True
        after = _copied(before)
        try:
            entry, repeated = _decide(after, command, self.now())
        except Refused as refused:
            if refused.discrepancy is not None:
                _note(before, refused.discrepancy, self.now())
            raise
        if not repeated:
            # Also the sum: what is held comes into the balance when it is due, and cannot be refused then.
            whole = totals(after)
            if any(abs(total) >= BOUND for total in (*whole.values(), sum(whole.values()))):
                raise Refused("BoundExceededError")
            entry["moved"] = {name: amount for name, amount in entry["moved"].items() if amount}
            entry["moved"] |= {name: whole[name] - was for name, was in totals(before).items() if whole[name] != was}
            both = zip(before["lots"], after["lots"], strict=False)
            entry["drawn"] = {
                lot["number"]: lot["left"] - was["left"] for was, lot in both if lot["left"] != was["left"]
            }
            after["moved"] = after["moved"] or bool(entry["moved"])
            self.accounts[account] = after
        return entry, repeated

    def book_together(self, commands: Sequence[Command]) -> list[tuple[Row, bool]]:
        """All, or none: then the first refusal is raised. What was due stays released."""
        for command in commands:
            _check(command)
        for command in commands:
            if command.named[0] in self.accounts:
                release_due(self.accounts[command.named[0]], self.now())
        before = {one: _copied(account) for one, account in self.accounts.items()}
        try:
            return [self.book(command) for command in commands]
        except Refused:
            self.accounts = before
            raise


def totals(account: Row) -> dict[str, int]:
    """The four numbers as they are booked."""
    held = {bucket: sum(lot["left"] for lot in account["lots"] if lot["bucket"] == bucket) for bucket in HELD}
    pending = sum(payout["amount"] for payout in account["payouts"].values() if payout["state"] == "pending")
    return {"balance": account["balance"], **held, "pending_payouts": pending}


def release_due(account: Row, now: datetime) -> None:
    """Everything due goes into the balance, one entry for each due time."""
    due = [lot for lot in account["lots"] if lot["left"] and lot["due"] is not None and lot["due"] <= now]
    for _ in {lot["due"] for lot in due}:
        account["sequence"] += 1
        account["recorded_at"] = _next_moment(account, now)
    for lot in due:
        account["balance"] += lot["left"]
        lot["left"] = 0


def _copied(account: Row) -> Row:
    """An account that can be changed without changing this one."""
    rows = {name: {key: dict(row) for key, row in account[name].items()} for name in ("payouts", "entries")}
    lists = {name: [dict(row) for row in account[name]] for name in ("lots", "discrepancies")}
    return {**account, **rows, **lists}


def _next_moment(account: Row, now: datetime) -> datetime:
    last: datetime | None = account["recorded_at"]
    return now if last is None else max(now, last + _TICK)


def _check(command: Command) -> None:
    """Malformed input, seen before anything is looked up."""
    amounts = [getattr(command, "amount", None)]
    if isinstance(command, c.Adjustment):
        if command.amount == 0 or abs(command.amount) >= BOUND:
            raise Refused("AmountError")
        return
    if isinstance(command, c.Opening):
        _check_opening(command)
    if any(amount is not None and not 0 < amount < BOUND for amount in amounts):
        raise Refused("AmountError")
    if isinstance(command, c.PayoutCreate) and not 0 <= command.fee < BOUND:
        raise Refused("AmountError")
    if (
        isinstance(command, c.HoldRelease | c.ReserveRelease)
        and [command.lot, command.payment, command.hold].count(None) != 2
    ):
        raise Refused("InvalidInputError")
    if isinstance(command, c.ReserveRelease) and command.hold is not None:
        raise Refused("InvalidInputError")
    if isinstance(command, c.PayoutCorrect) and command.to == "pending":
        raise Refused("InvalidInputError")
    if isinstance(command, c.Reversal) and command.of_kind not in ("adjustment", "fee"):
        raise Refused("InvalidInputError")


def _check_opening(command: c.Opening) -> None:
    numbers = {"hold": command.hold, "rolling_reserve": command.rolling_reserve}
    numbers["pending_payouts"] = command.pending_payouts
    if any(not 0 <= amount < BOUND for amount in numbers.values()) or abs(command.balance) >= BOUND:
        raise Refused("AmountError")
    made_up = {bucket: sum(lot.amount for lot in command.lots if lot.bucket == bucket) for bucket in HELD}
    made_up["pending_payouts"] = sum(payout.amount for payout in command.payouts)
    if made_up != numbers:
        raise Refused("InvalidInputError")


_WHEN_CLOSED = (
    c.Chargeback,
    c.ChargebackReversal,
    c.PayoutReturn,
    c.PayoutCorrect,
    c.Adjustment,
    c.Reversal,
    c.ClosePeriod,
)
_NOT_WHEN_FROZEN = (c.PayoutCreate, c.HoldRelease, c.ReserveRelease)


def _decide(account: Row, command: Command, now: datetime) -> tuple[Row, bool]:
    state = account["state"]
    if state == "closed" and not isinstance(command, _WHEN_CLOSED):
        raise Refused("AccountStateError", state)
    if state == "frozen" and isinstance(command, _NOT_WHEN_FROZEN):
        raise Refused("AccountStateError", state)
    recorded_at = _next_moment(account, now)
    effective_at = command.effective_at
    if effective_at is not None:
        if effective_at > now or (account["closed_until"] is not None and effective_at < account["closed_until"]):
            raise Refused("EffectiveTimeError")
    else:
        effective_at = recorded_at
    entry: Row = {
        "kind": str(command.kind),
        "reference": command.named[2],
        "command": command,
        "sequence": account["sequence"] + 1,
        "recorded_at": recorded_at,
        "effective_at": effective_at,
        "moved": {},
        "undo": [],
        "lots": [],
    }
    found = RULES[type(command)](account, command, entry, now)
    if found is not None:
        return found, True
    account["sequence"], account["recorded_at"] = entry["sequence"], recorded_at
    account["entries"][entry["kind"], entry["reference"]] = entry
    return entry, False


def _note(account: Row, contradiction: tuple[str, str, str], now: datetime) -> None:
    """A discrepancy: opened once, then counted while it is open."""
    payout, state, claimed = contradiction
    for one in account["discrepancies"]:
        if one["closed_sequence"] is None and (one["payout"], one["claimed"]) == (payout, claimed):
            one["times"] += 1
            one["last_at"] = max(now, one["last_at"])
            return
    # They are told apart by when they were opened.
    there = [
        one["opened_at"] for one in account["discrepancies"] if (one["payout"], one["claimed"]) == (payout, claimed)
    ]
    while now in there:
        now += _TICK
    account["discrepancies"].append(
        {"payout": payout, "state": state, "claimed": claimed, "times": 1, "closed_sequence": None}
        | {"opened_at": now, "last_at": now}
    )
