"""What a policy takes and holds of a payment, worked by hand, and when it comes back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alikassa.errors import InvalidInputError
from alikassa.ledger.policy import NO_POLICY, Base, ClockStart, Policy, Withheld, check_policy, due, withhold
from alikassa.money import BOUND, SCALE, to_units


def policy(fee: str = "0", fixed: str = "0", hold: str = "0", reserve: str = "0", base: Base = Base.GROSS) -> Policy:
    return Policy(
        fee_percent=to_units(fee),
        fee_fixed=to_units(fixed),
        hold_percent=to_units(hold),
        hold_days=2,
        reserve_percent=to_units(reserve),
        reserve_days=30,
        reserve_base=base,
    )


def parts(fee: str, reserve: str, hold: str, balance: str) -> Withheld:
    return Withheld(*map(to_units, (fee, reserve, hold, balance)))


@dataclass(frozen=True)
class Case:
    """A payment, its policy, and what it is divided into: fee, reserve, hold, balance."""

    gross: str
    policy: Policy
    expected: Withheld


ONE_PERCENT = "9999999999999999.99999999"
USUAL = policy("2.9", "10", "20", "5")
CASES = {
    "usual": Case("1000", USUAL, parts("39", "50", "200", "711")),
    "every part rounds down, the rest is the balance's": Case(
        "0.33333333", policy("2.9", "0", "20", "5"), parts("0.00966666", "0.01666666", "0.06666666", "0.24033335")
    ),
    "reserve of the net amount": Case(
        "1000", policy("2.9", "10", "20", "5", Base.NET), parts("39", "48.05", "200", "712.95")
    ),
    # 15 - 10.435 leaves 4.565, and 3 + 0.75 fit.
    "small, and all fit": Case("15", USUAL, parts("10.435", "0.75", "3", "0.815")),
    # 13 - 10.377 leaves 2.623: the hold of 2.6 fits, and 0.023 of the reserve of 0.65.
    "the reserve is cut first": Case("13", USUAL, parts("10.377", "0.023", "2.6", "0")),
    # 12 - 10.348 leaves 1.652: nothing for the reserve of 0.6, and not all of the hold of 2.4.
    "then the hold": Case("12", USUAL, parts("10.348", "0", "1.652", "0")),
    "a fee of all of it": Case("10", policy("0", "10", "20", "5"), parts("10", "0", "0", "0")),
    "a fee of more than it": Case("1", USUAL, parts("10.029", "0", "0", "-9.029")),
    "nothing is taken": Case("7.00000001", NO_POLICY, parts("0", "0", "0", "7.00000001")),
    "everything is held": Case("100", policy("0", "0", "100", "0"), parts("0", "0", "100", "0")),
    "one unit": Case("0.00000001", policy("2.9", "0", "20", "5"), parts("0", "0", "0", "0.00000001")),
    "the largest": Case(
        "999999999999999999.99999999",
        policy("1", "0", "1", "1"),
        parts(ONE_PERCENT, ONE_PERCENT, ONE_PERCENT, "970000000000000000.00000002"),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_payment_is_divided_as_by_hand(case: Case) -> None:
    """Fee, reserve, hold and balance of a payment."""
    assert withhold(case.policy, to_units(case.gross)) == case.expected


@given(
    gross=st.integers(1, BOUND - 1),
    fee=st.integers(0, 100 * SCALE),
    fixed=st.integers(0, 10**12),
    hold=st.integers(0, 100 * SCALE),
    reserve=st.integers(0, 100 * SCALE),
    base=st.sampled_from(Base),
)
def test_nothing_is_lost_in_dividing(gross: int, fee: int, fixed: int, hold: int, reserve: int, base: Base) -> None:
    """The parts sum to the payment, none is negative but the balance, and that only by a fee that exceeds it all."""
    terms = Policy(
        fee_percent=fee,
        fee_fixed=fixed,
        hold_percent=hold,
        hold_days=1,
        reserve_percent=reserve,
        reserve_days=1,
        reserve_base=base,
    )
    found = withhold(terms, gross)
    assert found.fee + found.reserve + found.hold + found.balance == gross
    assert min(found.fee, found.reserve, found.hold) >= 0
    assert found.balance >= 0 or (found.reserve == found.hold == 0 and found.fee > gross)


def test_a_period_of_no_days_holds_nothing() -> None:
    """A percentage without days is not held: it would be due at once."""
    terms = Policy(hold_percent=20 * SCALE, reserve_percent=5 * SCALE)
    assert withhold(terms, 1000 * SCALE) == parts("0", "0", "0", "1000")


@pytest.mark.parametrize(
    ("zone", "clock_start", "start", "days", "expected"),
    [
        ("UTC", ClockStart.PAYMENT, "2026-03-01T12:00:00Z", 2, "2026-03-03T12:00:00Z"),
        ("UTC", ClockStart.DAY_END, "2026-03-01T12:00:00Z", 2, "2026-03-04T00:00:00Z"),
        ("UTC", ClockStart.DAY_END, "2026-03-01T00:00:00Z", 2, "2026-03-04T00:00:00Z"),
        # Moscow's day ends at 21:00 UTC: 22:30 is in the next one already.
        ("Europe/Moscow", ClockStart.DAY_END, "2026-03-01T20:30:00Z", 1, "2026-03-02T21:00:00Z"),
        ("Europe/Moscow", ClockStart.DAY_END, "2026-03-01T22:30:00Z", 1, "2026-03-03T21:00:00Z"),
        # Berlin went to summer time on 29 March 2026: noon stays noon, which is an hour earlier in UTC.
        ("Europe/Berlin", ClockStart.PAYMENT, "2026-03-28T11:00:00Z", 1, "2026-03-29T10:00:00Z"),
        ("Europe/Berlin", ClockStart.DAY_END, "2026-03-28T11:00:00Z", 1, "2026-03-29T22:00:00Z"),
        ("Europe/Berlin", ClockStart.DAY_END, "2026-03-28T23:00:00Z", 0, "2026-03-29T22:00:00Z"),
    ],
)
def test_days_are_counted_by_the_accounts_calendar(
    zone: str, clock_start: ClockStart, start: str, days: int, expected: str
) -> None:
    """From the payment or from the end of its day, by the wall clock of the account's time zone."""
    terms = Policy(time_zone=zone, clock_start=clock_start)
    found = due(terms, datetime.fromisoformat(start), days)
    assert found == datetime.fromisoformat(expected)
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    "terms",
    [
        Policy(fee_percent=-1),
        Policy(hold_percent=100 * SCALE + 1),
        Policy(fee_fixed=-1),
        Policy(fee_fixed=BOUND),
        Policy(hold_days=-1),
        Policy(reserve_days=3651),
        Policy(time_zone="Mars/Olympus"),
        Policy(time_zone="../../etc/passwd"),
        Policy(time_zone=""),
    ],
    ids=lambda terms: "|".join(terms.terms),
)
def test_terms_that_cannot_be_kept_are_refused(terms: Policy) -> None:
    """Percentages of 0 to 100, sums and days that are not negative, and a time zone that there is."""
    with pytest.raises(InvalidInputError):
        check_policy(terms)
