"""Random commands for an account whose state a model knows: mostly sensible, often at an edge, sometimes nonsense."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any

from msgspec.structs import replace

from alikassa.ledger import commands as c
from alikassa.ledger.commands import Command
from alikassa.ledger.model import BUCKETS, Bucket, Kind, LotKey, PayoutState
from alikassa.ledger.policy import Base, ClockStart, Policy
from books_model import BOUND, ModelBooks, totals
from books_model_rules import Row, gone

__all__ = ["POLICIES", "Commands", "jump"]

_TICK = timedelta(microseconds=1)
_PERCENT = 10**8

POLICIES = (
    Policy(
        fee_percent=290_000_000,
        fee_fixed=30_000_000,
        hold_percent=10 * _PERCENT,
        hold_days=3,
        reserve_percent=5 * _PERCENT,
        reserve_days=10,
    ),
    Policy(
        fee_percent=333_333_333,
        hold_percent=3_333_333_333,
        hold_days=1,
        reserve_percent=6_666_666_667,
        reserve_days=30,
        reserve_base=Base.NET,
        time_zone="America/New_York",
        clock_start=ClockStart.DAY_END,
    ),
    Policy(),
    Policy(
        fee_fixed=7,
        hold_percent=100 * _PERCENT,
        hold_days=2,
        reserve_percent=50 * _PERCENT,
        reserve_days=2,
        time_zone="Africa/Cairo",
        clock_start=ClockStart.DAY_END,
    ),
    Policy(hold_percent=50 * _PERCENT, hold_days=0, reserve_percent=100 * _PERCENT, reserve_days=5),
    Policy(hold_percent=20 * _PERCENT, hold_days=4, reserve_percent=1, reserve_days=1, time_zone="Europe/Berlin"),
)

_JUMPS = [0, 1e-6, 1, 3600, 86400, 3 * 86400, 10 * 86400, 40 * 86400, -1e-6, -1, -86400, -5 * 86400]


def jump(random: Random, model: ModelBooks) -> timedelta:
    """By how much the clock goes: a plain time, or to the moment when a lot falls due, or just before."""
    due = sorted({lot["due"] for one in model.accounts.values() for lot in one["lots"] if lot["left"] and lot["due"]})
    if due and random.random() < 0.5:
        moment: datetime = random.choice(due)
        return moment - model.now() - random.choice([timedelta(0), _TICK])
    return timedelta(seconds=random.choice(_JUMPS))


class Commands:
    """Draws one command after the other, each for what the model knows by then."""

    def __init__(self, model: ModelBooks, accounts: Sequence[uuid.UUID], scale: int) -> None:
        self._random = Random(0)  # noqa: S311 - tests, not secrets
        self._model = model
        self._accounts = accounts
        self._asked: list[Command] = []
        self._scale = scale

    def one(self, random: Random) -> Command:
        self._random = random
        if self._asked and self._seldom(7):
            command = self._again()
        else:
            account = uuid.UUID(int=0) if self._seldom(60) else self._of(self._accounts)
            command = self._new(account)
        self._asked.append(command)
        return command

    # Choices

    def _seldom(self, times: int) -> bool:
        """True once in so many times."""
        return self._random.randrange(times) == 0

    def _of(self, values: Sequence[Any]) -> Any:
        return self._random.choice(list(values))

    def _amount(self, *edges: int) -> int:
        """Often one of these to the last unit, or one more or less; else of the run's size; seldom any at all."""
        if self._seldom(25):
            return int(self._of([0, -1, BOUND, BOUND - 1, 1]))
        if self._seldom(40):
            return self._random.randint(1, BOUND - 1)
        edges = tuple(edge for edge in edges if edge > 0)
        if edges and not self._seldom(3):
            return int(self._of(edges)) + int(self._of([0, 0, 1, -1]))
        return self._random.randint(1, 90) * self._scale + int(self._of([0, 0, 1, 33]))

    def _reference(self, account: Row, kind: Kind) -> str:
        taken = [reference for of, reference in account["entries"] if of == kind]
        if taken and self._seldom(12):
            return str(self._of(taken))
        return f"{kind}-{len(self._asked)}"

    def _subject(self, account: Row, kind: Kind) -> str:
        taken = [reference for of, reference in account["entries"] if of == kind]
        return "nothing" if not taken or self._seldom(25) else str(self._of(taken))

    def _payout(self, account: Row, *states: str) -> str:
        """Mostly one that is in one of these states."""
        fitting = [reference for reference, payout in account["payouts"].items() if payout["state"] in states]
        if fitting and not self._seldom(4):
            return str(self._of(fitting))
        return "nothing" if not account["payouts"] or self._seldom(25) else str(self._of(account["payouts"]))

    def _effective(self, account: Row) -> datetime | None:
        if not self._seldom(5):
            return None
        now = self._model.now()
        moments = [now - timedelta(days=days) for days in (1, 3, 30)] + [now, now - _TICK, now + _TICK]
        if account["closed_until"] is not None:
            moments += [account["closed_until"], account["closed_until"] - _TICK]
        return datetime.fromisoformat(str(self._of(moments)))

    # Commands

    def _again(self) -> Command:
        """One that was asked before: the same, or with the same reference and something else in it."""
        command: Command = self._of(self._asked)
        change = self._of(["nothing", "nothing", "nothing", "reason", "amount", "metadata", "time"])
        if change == "reason":
            return replace(command, reason="another")
        if change == "amount" and isinstance(getattr(command, "amount", None), int):
            return replace(command, amount=command.amount + 1)  # type: ignore[attr-defined]
        if change == "metadata":
            return replace(command, metadata={"order": "7"})
        if change == "time" and command.named[0] in self._model.accounts:
            return replace(command, effective_at=self._effective(self._model.accounts[command.named[0]]))
        return command

    def _new(self, account: uuid.UUID) -> Command:
        known = self._model.accounts.get(account) or self._model.accounts[self._accounts[0]]
        kinds = _WEIGHTS if self._seldom(20) else _sensible(known)
        kind = self._of([kind for kind in kinds for _ in range(_WEIGHTS[kind])])
        more = _DRAWN[kind](self, known)
        more.setdefault("reference", self._reference(known, kind))
        return c.COMMANDS[kind](  # type: ignore[call-arg]
            account=account, reason="a test", effective_at=self._effective(known), **more
        )

    def _payment(self, account: Row) -> Row:
        return {"amount": self._amount()}

    def _back(self, account: Row) -> Row:
        payment = self._subject(account, Kind.PAYMENT)
        entry = account["entries"].get((Kind.PAYMENT, payment))
        own = sum(lot["left"] for lot in account["lots"] if lot["payment"] == payment)
        whole = entry["command"].amount if entry else 0
        rest = whole - gone(account, payment)
        balance, reserve = account["balance"], totals(account)["rolling_reserve"]
        edges = (whole, rest, rest, own, own + balance, rest // 2, own + max(balance, 0) + reserve // 2)
        return {"payment": payment, "amount": self._amount(*(edge for edge in edges if edge <= rest), own // 2)}

    def _chargeback_reversal(self, account: Row) -> Row:
        return {"chargeback": self._subject(account, Kind.CHARGEBACK)}

    def _from_balance(self, account: Row) -> Row:
        return {"amount": self._amount(account["balance"], account["balance"] // 2)}

    def _fee(self, account: Row) -> Row:
        return self._from_balance(account) | {"overdraw": self._seldom(4)}

    def _release(self, account: Row, bucket: str) -> Row:
        what = self._of(
            ["lot", "lot", "payment", "hold"] if bucket == "hold" or self._seldom(20) else ["lot", "payment"]
        )
        lots = [lot for lot in account["lots"] if lot["bucket"] == bucket or self._seldom(20)]
        edges = [lot["left"] for lot in lots]
        amount = None if self._seldom(2) else self._amount(*edges)
        if what == "lot":
            keys = [lot["key"] for lot in lots if lot["key"] is not None and (lot["left"] or self._seldom(10))]
            return {"lot": self._of(keys) if keys and not self._seldom(20) else LotKey(999, 1), "amount": amount}
        kind = Kind.PAYMENT if what == "payment" else Kind.HOLD_PLACED
        return {what: self._subject(account, kind), "amount": amount} | (
            {"payment": "two at once", "hold": "as well"} if self._seldom(30) else {}
        )

    def _payout_create(self, account: Row) -> Row:
        fee = self._of([0, 1, 1, self._scale, self._scale // 7])
        balance = account["balance"]
        drawn = {"amount": self._amount(*[balance - fee] * 4, balance, balance // 3), "fee": fee}
        return drawn | self._payout_reference(account)

    def _payout_reference(self, account: Row) -> Row:
        return {"reference": self._payout(account) if self._seldom(10) else f"payout-{len(self._asked)}"}

    def _callback(self, account: Row) -> Row:
        return {"reference": self._payout(account, "pending")}

    def _payout_return(self, account: Row) -> Row:
        return {"reference": self._payout(account, "paid")}

    def _payout_correct(self, account: Row) -> Row:
        states = [state for state in PayoutState if state != "pending" or self._seldom(20)]
        return {"payout": self._payout(account, "paid", "failed", "cancelled", "returned"), "to": self._of(states)}

    def _adjustment(self, account: Row) -> Row:
        bucket = self._of(BUCKETS)
        total = totals(account)[bucket]
        if self._seldom(2):
            room = BOUND - 1 - max(sum(totals(account).values()), total)
            drawn = {"bucket": bucket, "amount": self._amount(room)}
        else:
            drawn = {"bucket": bucket, "amount": -self._amount(total, total // 2, total // 3)}
        if bucket == "pending_payouts":
            return drawn | self._payout_reference(account)
        return drawn | {"overdraw": bucket == "balance" and self._seldom(4)}

    def _reversal(self, account: Row) -> Row:
        booked = [kind for kind, _ in account["entries"] if kind in (Kind.ADJUSTMENT, Kind.FEE)]
        kind = Kind(self._of(booked or [Kind.FEE]))
        return {"of_kind": Kind.PAYMENT if self._seldom(25) else kind, "of": self._subject(account, kind)}

    def _opening(self, account: Row) -> Row:
        now = self._model.now()
        lots = [
            c.OpenLot(
                bucket=self._of([Bucket.HOLD, Bucket.ROLLING_RESERVE]),
                amount=self._random.randint(1, 90) * self._scale,
                due_at=self._of([None, now, now + timedelta(days=1), now + timedelta(days=9), now - timedelta(days=2)]),
            )
            for _ in range(self._random.randint(0, 3))
        ]
        payouts = [
            c.OpenPayout(reference=f"opened-{number}", amount=self._random.randint(1, 90) * self._scale, fee=number)
            for number in range(self._random.randint(0, 2))
        ]
        held = {name: sum(one.amount for one in lots if one.bucket == name) for name in (*BUCKETS[1:3],)}
        if self._scale < BOUND // 100 and self._seldom(15):
            held[Bucket.HOLD] += 1  # malformed, and in one way only
        return {
            "balance": self._random.randint(-20, 90) * self._scale,
            "lots": tuple(lots),
            "payouts": tuple(payouts),
            "pending_payouts": sum(one.amount for one in payouts),
            **{str(name): amount for name, amount in held.items()},
        }

    def _set_policy(self, account: Row) -> Row:
        return {"policy": self._of(POLICIES)}

    def _nothing(self, account: Row) -> Row:
        return {}

    def _close_period(self, account: Row) -> Row:
        now = self._model.now()
        moments = [now - timedelta(days=days) for days in (30, 3, 1)] + [now, now + _TICK]
        return {"until": self._of([*moments, account["closed_until"] or now])}


def _sensible(account: Row) -> list[Kind]:
    """What there is something for: no refund without a payment, no callback without a payout."""
    booked = {kind for kind, _ in account["entries"]}
    final = any(payout["state"] != "pending" for payout in account["payouts"].values())
    needs = {
        Kind.REFUND: Kind.PAYMENT in booked,
        Kind.CHARGEBACK: Kind.PAYMENT in booked,
        Kind.CHARGEBACK_REVERSAL: Kind.CHARGEBACK in booked,
        Kind.HOLD_RELEASED: any(lot["left"] and lot["bucket"] == "hold" for lot in account["lots"]),
        Kind.RESERVE_RELEASED: any(lot["left"] and lot["bucket"] == "rolling_reserve" for lot in account["lots"]),
        Kind.PAYOUT_CREATED: account["balance"] > 0,
        Kind.PAYOUT_PAID: bool(account["payouts"]),
        Kind.PAYOUT_FAILED: bool(account["payouts"]),
        Kind.PAYOUT_CANCELLED: bool(account["payouts"]),
        Kind.PAYOUT_RETURNED: final,
        Kind.PAYOUT_CORRECTED: final,
        Kind.REVERSAL: bool({Kind.ADJUSTMENT, Kind.FEE} & booked),
        Kind.OPENING: not account["moved"],
        Kind.ACCOUNT_FROZEN: account["state"] == "open",
        Kind.ACCOUNT_UNFROZEN: account["state"] == "frozen",
        Kind.ACCOUNT_CLOSED: not any(totals(account).values()),
    }
    return [kind for kind in _WEIGHTS if needs.get(kind, True)]


_WEIGHTS = {
    Kind.PAYMENT: 14,
    Kind.REFUND: 8,
    Kind.CHARGEBACK: 8,
    Kind.CHARGEBACK_REVERSAL: 4,
    Kind.HOLD_PLACED: 3,
    Kind.HOLD_RELEASED: 4,
    Kind.RESERVE_RELEASED: 6,
    Kind.PAYOUT_CREATED: 10,
    Kind.PAYOUT_PAID: 5,
    Kind.PAYOUT_FAILED: 4,
    Kind.PAYOUT_CANCELLED: 4,
    Kind.PAYOUT_RETURNED: 6,
    Kind.PAYOUT_CORRECTED: 5,
    Kind.FEE: 4,
    Kind.ADJUSTMENT: 10,
    Kind.REVERSAL: 6,
    Kind.OPENING: 6,
    Kind.POLICY_SET: 2,
    Kind.ACCOUNT_FROZEN: 1,
    Kind.ACCOUNT_UNFROZEN: 6,
    Kind.ACCOUNT_CLOSED: 1,
    Kind.PERIOD_CLOSED: 2,
}

_DRAWN: dict[Kind, Callable[[Commands, Row], Row]] = {
    Kind.PAYMENT: Commands._payment,
    Kind.REFUND: Commands._back,
    Kind.CHARGEBACK: Commands._back,
    Kind.CHARGEBACK_REVERSAL: Commands._chargeback_reversal,
    Kind.HOLD_PLACED: Commands._from_balance,
    Kind.HOLD_RELEASED: partial(Commands._release, bucket="hold"),
    Kind.RESERVE_RELEASED: partial(Commands._release, bucket="rolling_reserve"),
    Kind.PAYOUT_CREATED: Commands._payout_create,
    Kind.PAYOUT_PAID: Commands._callback,
    Kind.PAYOUT_FAILED: Commands._callback,
    Kind.PAYOUT_CANCELLED: Commands._callback,
    Kind.PAYOUT_RETURNED: Commands._payout_return,
    Kind.PAYOUT_CORRECTED: Commands._payout_correct,
    Kind.FEE: Commands._fee,
    Kind.ADJUSTMENT: Commands._adjustment,
    Kind.REVERSAL: Commands._reversal,
    Kind.OPENING: Commands._opening,
    Kind.POLICY_SET: Commands._set_policy,
    Kind.ACCOUNT_FROZEN: Commands._nothing,
    Kind.ACCOUNT_UNFROZEN: Commands._nothing,
    Kind.ACCOUNT_CLOSED: Commands._nothing,
    Kind.PERIOD_CLOSED: Commands._close_period,
}
