"""What each kind of command does to an account's dictionary. See `books_model`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from alikassa.ledger import commands as c
from alikassa.ledger.policy import Policy

__all__ = ["HELD", "RULES", "Refused", "Row", "gone"]

HELD = ("hold", "rolling_reserve")
_TICK = timedelta(microseconds=1)

#: Everything that the model knows of an account, an entry, a lot or a payout.
Row = dict[str, Any]


class Refused(Exception):  # noqa: N818 - the word of the books
    """Which error, and for those that say them, the amounts or states that it says."""

    def __init__(self, error: str, *says: object, discrepancy: tuple[str, str, str] | None = None) -> None:
        super().__init__(error, *says)
        self.told = (error, *says)
        self.discrepancy = discrepancy


def _system(entry: Row, name: str, amount: int) -> None:
    entry["moved"][f"system:{name}"] = entry["moved"].get(f"system:{name}", 0) + amount


def _make_lot(account: Row, entry: Row, bucket: str, amount: int, due: datetime | None, **more: object) -> None:
    if amount > 0:
        number = len(account["lots"])
        lot = {"bucket": bucket, "left": amount, "due": due, "key": None, "entry": entry["sequence"]}
        account["lots"].append({"amount": amount, "payment": None, "hold": None, "number": number, **lot, **more})
        entry["lots"].append(number)


def _draw(lots: list[Row], amount: int, undo: list[tuple[str, Any, int]] | None = None) -> int:
    """Take up to `amount` from these, one after the other; what could not be taken."""
    for lot in lots:
        taken = min(lot["left"], amount)
        lot["left"] -= taken
        amount -= taken
        if undo is not None and taken:
            undo.append(("lot", lot["number"], -taken))
    return amount


def _lots_of(account: Row, payment: str, *buckets: str) -> list[Row]:
    return [one for name in buckets for one in account["lots"] if one["bucket"] == name and one["payment"] == payment]


def _left(lots: list[Row]) -> int:
    return sum(lot["left"] for lot in lots)


def _short(bucket: str, asked: int, available: int) -> Refused:
    return Refused("InsufficientFundsError", bucket, asked, available)


def _must_have(account: Row, asked: int) -> None:
    if account["balance"] < asked:
        raise _short("balance", asked, account["balance"])


def _find(account: Row, kind: str, reference: str) -> Row:
    entry: Row | None = account["entries"].get((kind, reference))
    if entry is None:
        raise Refused("NotFoundError")
    return entry


# Payments


def _payment(account: Row, command: c.Payment, entry: Row, now: datetime) -> None:
    policy, gross = account["policy"], command.amount
    whole = 100 * 10**8
    fee = gross * policy.fee_percent // whole + policy.fee_fixed
    base = gross if policy.reserve_base == "gross" else max(gross - fee, 0)
    reserve = base * policy.reserve_percent // whole if policy.reserve_days else 0
    hold = gross * policy.hold_percent // whole if policy.hold_days else 0
    while fee + reserve + hold > gross and reserve + hold > 0:
        excess = fee + reserve + hold - gross
        if reserve:
            reserve -= min(reserve, excess)
        else:
            hold -= min(hold, excess)
    payment = command.reference
    for bucket, amount, days in (("hold", hold, policy.hold_days), ("rolling_reserve", reserve, policy.reserve_days)):
        _make_lot(account, entry, bucket, amount, due_at(policy, entry["effective_at"], days), payment=payment)
    account["balance"] += gross - fee - reserve - hold
    _system(entry, "clearing", -gross)
    _system(entry, "fees", fee)


def due_at(policy: Policy, effective_at: datetime, days: int) -> datetime:
    """When a payment's lot falls due: at the same hour by its zone's clocks, or at the end of a local day.

    That is the first instant of a later date.
    """
    zone = ZoneInfo(policy.time_zone)
    if policy.clock_start == "payment":
        by_the_clock = effective_at.astimezone(zone).replace(tzinfo=None) + timedelta(days=days)
        return by_the_clock.replace(tzinfo=zone).astimezone(UTC)
    day = effective_at.astimezone(zone).date() + timedelta(days=days)
    before = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=1)
    after = before + timedelta(days=3)
    while after - before > _TICK:
        middle = before + (after - before) // 2
        if middle.astimezone(zone).date() > day:
            after = middle
        else:
            before = middle
    return after


def gone(account: Row, payment: str) -> int:
    """What went back of a payment."""
    return sum(
        entry["command"].amount
        for (kind, _), entry in account["entries"].items()
        if kind in ("refund", "chargeback") and entry["command"].payment == payment and not entry.get("reversed")
    )


def _may_go_back(account: Row, command: c.Refund | c.Chargeback) -> None:
    gross = _find(account, "payment", command.payment)["command"].amount
    rest = gross - gone(account, command.payment)
    if command.amount > rest:
        raise Refused("ExceedsPaymentError", command.amount, rest)


def _refund(account: Row, command: c.Refund, entry: Row, now: datetime) -> None:
    _may_go_back(account, command)
    own = _lots_of(account, command.payment, *HELD)
    available = _left(own) + max(account["balance"], 0)
    if command.amount > available:
        raise _short("balance", command.amount, available)
    account["balance"] -= _draw(own, command.amount)
    _system(entry, "clearing", command.amount)


def _chargeback(account: Row, command: c.Chargeback, entry: Row, now: datetime) -> None:
    _may_go_back(account, command)
    rest = _draw(_lots_of(account, command.payment, *HELD), command.amount)
    from_balance = min(rest, max(account["balance"], 0))
    account["balance"] -= from_balance
    reserves = [lot for lot in account["lots"] if lot["bucket"] == "rolling_reserve"]
    account["balance"] -= _draw(reserves, rest - from_balance)
    _system(entry, "clearing", command.amount)


def _chargeback_reversal(account: Row, command: c.ChargebackReversal, entry: Row, now: datetime) -> None:
    chargeback = _find(account, "chargeback", command.chargeback)
    if chargeback.get("reversed"):
        raise Refused("ConflictError")
    chargeback["reversed"] = True
    account["balance"] += chargeback["command"].amount
    _system(entry, "clearing", -chargeback["command"].amount)


# By hand


def _hold_place(account: Row, command: c.HoldPlace, entry: Row, now: datetime) -> None:
    _must_have(account, command.amount)
    account["balance"] -= command.amount
    _make_lot(account, entry, "hold", command.amount, None, hold=command.reference)


def _release(account: Row, command: c.HoldRelease | c.ReserveRelease, entry: Row, now: datetime) -> None:
    bucket = "hold" if isinstance(command, c.HoldRelease) else "rolling_reserve"
    if command.lot is not None:
        lots = [one for one in account["lots"] if one["key"] == tuple(command.lot) and one["bucket"] == bucket]
        if not lots:
            raise Refused("NotFoundError")
    elif command.payment is not None:
        _find(account, "payment", command.payment)
        lots = _lots_of(account, command.payment, bucket)
    else:
        assert command.hold is not None
        _find(account, "hold_placed", command.hold)
        lots = [one for one in account["lots"] if one["hold"] == command.hold]
    left = _left(lots)
    asked = left if command.amount is None else command.amount
    if not left or asked > left:
        raise _short(bucket, asked, left)
    _draw(lots, asked)
    account["balance"] += asked


def _fee(account: Row, command: c.Fee, entry: Row, now: datetime) -> None:
    if not command.overdraw:
        _must_have(account, command.amount)
    account["balance"] -= command.amount
    entry["undo"].append(("balance", None, -command.amount))
    entry["against"] = "fees"
    _system(entry, "fees", command.amount)


def _adjustment(account: Row, command: c.Adjustment, entry: Row, now: datetime) -> None:
    amount, undo = command.amount, entry["undo"]
    entry["against"] = "adjustments"
    _system(entry, "adjustments", -amount)
    if command.bucket == "balance":
        if amount < 0 and not command.overdraw:
            _must_have(account, -amount)
        account["balance"] += amount
        undo.append(("balance", None, amount))
    elif command.bucket == "pending_payouts" and amount > 0:
        if command.reference in account["payouts"]:
            raise Refused("ConflictError")
        _make_payout(account, entry, command.reference, amount, 0, by_hand=True)
        undo.append(("payout", command.reference, amount))
    elif command.bucket == "pending_payouts":
        _draw_payouts(account, entry, -amount)
    elif amount > 0:
        undo.append(("lot", len(account["lots"]), amount))
        _make_lot(account, entry, command.bucket, amount, None)
    else:
        lots = [one for one in account["lots"] if one["bucket"] == command.bucket]
        if -amount > _left(lots):
            raise _short(command.bucket, -amount, _left(lots))
        by_hand = [one for one in lots if one["due"] is None]
        by_time = sorted((one for one in lots if one["due"] is not None), key=lambda one: (one["due"], one["number"]))
        _draw(by_hand + by_time, -amount, undo)


def _draw_payouts(account: Row, entry: Row, amount: int) -> None:
    pending = [one for one in account["payouts"].values() if one["by_hand"] and one["state"] == "pending"]
    available = sum(one["amount"] for one in pending)
    if amount > available:
        raise _short("pending_payouts", amount, available)
    for payout in pending:
        taken = min(amount, payout["amount"])
        amount -= taken
        if taken:
            entry["undo"].append(("payout", payout["reference"], -taken))
            _draw_payout(payout, taken, entry)


def _draw_payout(payout: Row, amount: int, entry: Row) -> None:
    payout["amount"] -= amount
    if not payout["amount"]:
        payout["state"], payout["entry"] = "cancelled", entry


def _reversal(account: Row, command: c.Reversal, entry: Row, now: datetime) -> None:
    undone = _find(account, str(command.of_kind), command.of)
    if undone.get("reversed"):
        raise Refused("ConflictError")
    undone["reversed"] = True
    for what, which, amount in undone["undo"]:
        if what == "balance":
            if amount > 0:
                _must_have(account, amount)
            account["balance"] -= amount
        elif what == "lot":
            lot = account["lots"][which]
            if amount > lot["left"]:
                raise _short(lot["bucket"], amount, lot["left"])
            lot["left"] -= amount
        else:
            _undo_payout(account["payouts"][which], amount, entry)
        _system(entry, undone["against"], amount)


def _undo_payout(payout: Row, amount: int, entry: Row) -> None:
    pending = payout["state"] == "pending"
    if amount > 0:
        available = payout["amount"] if pending else 0
        if amount > available:
            raise _short("pending_payouts", amount, available)
        _draw_payout(payout, amount, entry)
        return
    # Drawn to nothing it is cancelled, and comes back; what a bank or a correction made final does not.
    if not pending and (payout["state"] != "cancelled" or payout["amount"]):
        raise Refused("ConflictError")
    payout["amount"] -= amount
    payout["state"], payout["entry"] = "pending", entry


def _opening(account: Row, command: c.Opening, entry: Row, now: datetime) -> None:
    if account["moved"]:
        raise Refused("ConflictError")
    account["balance"] += command.balance
    for one in command.lots:
        due = None if one.due_at is None else max(one.due_at, entry["effective_at"])
        _make_lot(account, entry, one.bucket, one.amount, due)
    for payout in command.payouts:
        _make_payout(account, entry, payout.reference, payout.amount, payout.fee, by_hand=False)
    numbers = (command.balance, command.hold, command.rolling_reserve, command.pending_payouts)
    _system(entry, "opening", -sum(numbers))


# Payouts


def _make_payout(account: Row, entry: Row, reference: str, amount: int, fee: int, *, by_hand: bool) -> None:
    payout = {"reference": reference, "amount": amount, "fee": fee, "by_hand": by_hand}
    account["payouts"][reference] = payout | {"state": "pending", "entry": entry}


def _payout_create(account: Row, command: c.PayoutCreate, entry: Row, now: datetime) -> None:
    if command.reference in account["payouts"]:
        raise Refused("ConflictError")
    _must_have(account, command.amount + command.fee)
    account["balance"] -= command.amount + command.fee
    _make_payout(account, entry, command.reference, command.amount, command.fee, by_hand=False)
    _system(entry, "fees", command.fee)


def _payout(account: Row, reference: str) -> Row:
    payout: Row | None = account["payouts"].get(reference)
    if payout is None:
        raise Refused("NotFoundError")
    return payout


def _callback(account: Row, command: Any, entry: Row, now: datetime) -> Row | None:
    payout = _payout(account, command.reference)
    state, claimed = payout["state"], str(command.state)
    if state == claimed:
        there: Row = payout["entry"]
        return there
    if (state, claimed) not in {
        ("pending", "paid"),
        ("pending", "failed"),
        ("pending", "cancelled"),
        ("paid", "returned"),
    }:
        contradiction = None if state == "pending" else (command.reference, state, claimed)
        raise Refused("PayoutStateError", state, claimed, discrepancy=contradiction)
    _bring(account, payout, claimed, entry)
    return None


def _payout_correct(account: Row, command: c.PayoutCorrect, entry: Row, now: datetime) -> None:
    payout = _payout(account, command.payout)
    if payout["state"] in ("pending", command.to):
        raise Refused("PayoutStateError", payout["state"], str(command.to))
    _bring(account, payout, str(command.to), entry)
    for one in account["discrepancies"]:
        if one["payout"] == command.payout and one["closed_sequence"] is None:
            one["closed_sequence"] = entry["sequence"]


def _bring(account: Row, payout: Row, state: str, entry: Row) -> None:
    """Move the money from where it is in one state to where it is in the other."""
    amount, fee = payout["amount"], payout["fee"]
    # What the balance, the fees and the bank have of it, beside what is pending.
    places = {
        "pending": (-amount - fee, fee, 0),
        "paid": (-amount - fee, fee, amount),
        "failed": (0, 0, 0),
        "cancelled": (0, 0, 0),
        "returned": (-fee, fee, 0),
    }
    was, is_ = places[payout["state"]], places[state]
    account["balance"] += is_[0] - was[0]
    _system(entry, "fees", is_[1] - was[1])
    _system(entry, "payouts", is_[2] - was[2])
    payout["state"], payout["entry"] = state, entry


# No money


def _set_policy(account: Row, command: c.SetPolicy, entry: Row, now: datetime) -> None:
    account["policy"] = command.policy


def _freeze(account: Row, command: c.Freeze | c.Unfreeze, entry: Row, now: datetime) -> None:
    from_, to = ("open", "frozen") if isinstance(command, c.Freeze) else ("frozen", "open")
    if account["state"] != from_:
        raise Refused("AccountStateError", account["state"])
    account["state"] = to


def _close_account(account: Row, command: c.CloseAccount, entry: Row, now: datetime) -> None:
    pending = any(one["amount"] and one["state"] == "pending" for one in account["payouts"].values())
    if account["balance"] or _left(account["lots"]) or pending:
        raise Refused("AccountStateError", account["state"])
    account["state"] = "closed"


def _close_period(account: Row, command: c.ClosePeriod, entry: Row, now: datetime) -> None:
    last = account["closed_until"]
    if command.until > now or (last is not None and command.until <= last):
        raise Refused("EffectiveTimeError")
    account["closed_until"] = command.until
    entry["effective_at"] = command.until


RULES: dict[type, Callable[..., Row | None]] = {
    c.Payment: _payment,
    c.Refund: _refund,
    c.Chargeback: _chargeback,
    c.ChargebackReversal: _chargeback_reversal,
    c.HoldPlace: _hold_place,
    c.HoldRelease: _release,
    c.ReserveRelease: _release,
    c.PayoutCreate: _payout_create,
    c.PayoutPaid: _callback,
    c.PayoutFail: _callback,
    c.PayoutCancel: _callback,
    c.PayoutReturn: _callback,
    c.PayoutCorrect: _payout_correct,
    c.Fee: _fee,
    c.Adjustment: _adjustment,
    c.Reversal: _reversal,
    c.Opening: _opening,
    c.SetPolicy: _set_policy,
    c.Freeze: _freeze,
    c.Unfreeze: _freeze,
    c.CloseAccount: _close_account,
    c.ClosePeriod: _close_period,
}
