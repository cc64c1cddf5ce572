"""When alerts begin and end, without any I/O."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alikassa.monitor.decisions import AlertKind, RuleState, decide
from alikassa.monitor.rules import Rule
from alikassa.monitor.snapshots import Failure, FailureKind, Figures, Snapshot

START = datetime(2026, 1, 1, tzinfo=UTC)


def rule(**settings: object) -> Rule:
    found: Rule = msgspec.convert({"name": "r", **settings}, Rule)
    return found


def seen(minute: int, balance: str | None, hold: str = "0", pending: str | None = "0") -> Snapshot:
    at = START + timedelta(minutes=minute)
    if balance is None:
        return Snapshot("shop", "account", at, 0.1, failure=Failure(FailureKind.NETWORK, "gone"))
    told = None if pending is None else Decimal(pending)
    return Snapshot("shop", "account", at, 0.1, Figures("RUB", Decimal(balance), Decimal(hold), Decimal(0), told, b""))


def kinds(one: Rule, snapshots: list[Snapshot]) -> list[AlertKind | None]:
    """What is told after each look."""
    state, told = RuleState(), []
    for place, snapshot in enumerate(snapshots):
        alert, state = decide(one, snapshots[: place + 1], state, snapshot.at)
        told.append(None if alert is None else alert.kind)
    return told


FIRED, OVER = AlertKind.FIRED, AlertKind.OVER


def test_below_fires_once_and_is_over_by_its_margin() -> None:
    """99 fires; 100.99 is within the margin of 1, and silent; 101 ends it."""
    one = rule(when="below", amount="100", margin="1")
    assert kinds(one, [seen(n, b) for n, b in enumerate(["100", "99.99", "98", "100", "100.99", "101", "99"])]) == [
        None, FIRED, None, None, None, OVER, FIRED,
    ]  # fmt: skip


def test_above_watches_another_bucket() -> None:
    """The bucket is the rule's; equal to the limit is not above it."""
    one = rule(when="above", bucket="hold", amount="10", margin="2")
    assert kinds(one, [seen(n, "0", hold=h) for n, h in enumerate(["10", "10.01", "9", "8"])]) == [
        None, FIRED, None, OVER,
    ]  # fmt: skip


def test_drop_compares_with_the_highest_of_its_time() -> None:
    """50 lower than the highest of the last ten minutes fires, however many looks lie between."""
    one = rule(when="drop", amount="50", within="10m")
    assert kinds(one, [seen(0, "100"), seen(1, "80"), seen(2, "51"), seen(3, "50"), seen(4, "99")]) == [
        None, None, None, FIRED, OVER,
    ]  # fmt: skip


def test_hold_grown_compares_with_the_lowest_of_its_time() -> None:
    """A hold that grew by the amount fires."""
    one = rule(when="hold_grown", amount="5", within="1h")
    assert kinds(one, [seen(0, "0", hold="3"), seen(1, "0", hold="1"), seen(2, "0", hold="6")]) == [None, None, FIRED]


def test_pending_payouts_that_do_not_move() -> None:
    """Above 0 and unchanged for the time; a change ends it, and 0 never fires."""
    one = rule(when="pending_stuck", **{"for": "2m"})
    pending = ["0", "0", "0", "7", "7", "7", "7", "6"]
    assert kinds(one, [seen(n, "1", pending=p) for n, p in enumerate(pending)]) == [
        None, None, None, None, None, FIRED, None, OVER,
    ]  # fmt: skip


def test_no_answer_counts_from_the_first_failure() -> None:
    """Not from the last answer: nobody may have asked in between."""
    one = rule(when="no_answer", **{"for": "2m"})
    looks = [seen(0, "1"), seen(60, None), seen(61, None), seen(62, None), seen(63, None), seen(64, "1")]
    assert kinds(one, looks) == [None, None, None, FIRED, None, OVER]


@pytest.mark.parametrize("gap", [seen(2, None), seen(2, "1", pending=None)])
def test_what_is_not_told_is_not_over(gap: Snapshot) -> None:
    """No answer, or one without the amount, neither fires nor ends an alert."""
    one = rule(when="above", bucket="pending_payouts", amount="1")
    assert kinds(one, [seen(0, "1", pending="2"), gap, seen(3, "1", pending="2")]) == [FIRED, None, None]


def test_amounts_are_compared_to_the_last_of_36_digits() -> None:
    """What a float, or a decimal context of 28 digits, would take for equal is not."""
    one = rule(when="drop", amount="999999999999999998.000000000000000003", within="1h")
    balances = ["999999999999999999.000000000000000003", "1.000000000000000001", "1"]
    assert kinds(one, [seen(n, b) for n, b in enumerate(balances)]) == [None, None, FIRED]


def test_drop_begins_with_what_was_told_before_its_time() -> None:
    """90 minutes without a look, and a failed one before the next: what the last answer told held until then, and the
    alert says how old it is. An amount that is older than the last one before the time counts no more."""
    one = rule(when="drop", amount="50", within="10m")
    looks = [seen(0, "900"), seen(1, "100"), seen(80, None), seen(91, "50"), seen(92, "50"), seen(102, "50")]
    assert kinds(one, looks) == [None, FIRED, None, None, None, OVER]
    alert, _ = decide(one, looks[:2], RuleState(), looks[1].at)
    assert alert is not None
    assert "800 below 900 of 1 min before" in alert.text
    alert, _ = decide(one, looks[1:4], RuleState(), looks[3].at)
    assert alert is not None
    assert "50 below 100 of 1 h before" in alert.text


@pytest.mark.parametrize("settings", [{"when": "drop"}, {"when": "hold_grown", "bucket": "balance"}])
def test_amounts_of_two_currencies_or_accounts_do_not_compare(settings: dict[str, str]) -> None:
    """A profile whose account or currency is another one now has neither lost nor won anything."""
    one = rule(amount="5", within="1h", **settings)
    looks = [seen(0, "100"), seen(1, "10"), seen(2, "100")]
    assert looks[1].figures is not None
    for other in (
        replace(looks[1], figures=replace(looks[1].figures, currency="USDT")),
        replace(looks[1], account="other"),
    ):
        assert kinds(one, [looks[0], other]) == [None, None]
        assert kinds(one, [looks[0], other, looks[2]]) == [None, None, None]
    assert FIRED in kinds(one, looks)


@pytest.mark.parametrize("gap", [seen(4, None), seen(4, "1", pending=None)])
def test_a_gap_does_not_begin_the_waiting_of_payouts_anew(gap: Snapshot) -> None:
    """The same amount before and after it: the alert fires in time, and stays on."""
    one = rule(when="pending_stuck", **{"for": "2m"})
    looks = [seen(2, "1", pending="7"), gap, *(seen(n, "1", pending="7") for n in (5, 6))]
    assert kinds(one, looks) == [None, None, FIRED, None]


def test_payouts_are_not_over_because_less_is_known() -> None:
    """With the clock set back, what was seen later is left out. The alert stays on until a change is seen."""
    one = rule(when="pending_stuck", **{"for": "2m"})
    state = RuleState(START + timedelta(minutes=9))
    left = [seen(5, "1", pending="7")]
    assert decide(one, left, state, left[-1].at) == (None, state)
    changed = [*left, seen(6, "1", pending="8")]
    alert, _ = decide(one, changed, state, changed[-1].at)
    assert alert is not None
    assert alert.kind is OVER


@pytest.mark.parametrize(
    "settings",
    [
        {"when": "drop", "amount": "5", "margin": "6", "within": "1h"},
        {"when": "above", "amount": "5", "margin": "6"},
        {"when": "drop", "amount": "0", "within": "1h"},
        {"when": "below", "amount": "5", "profiles": []},
        {"when": "no_answer", "for": "999999d"},
    ],
)
def test_a_rule_that_could_only_fire_once_or_always_or_never(settings: dict[str, object]) -> None:
    """Is refused when it is read, not found out in the night."""
    with pytest.raises(msgspec.ValidationError):
        rule(**settings)


AMOUNTS = st.integers(0, 40)
RULES = st.one_of(
    st.builds(
        lambda when, amount, margin: rule(when=when, amount=str(amount), margin=str(min(amount, margin))),
        st.sampled_from(["below", "above"]), AMOUNTS, st.integers(0, 9),
    ),
    st.builds(
        lambda when, amount, margin: rule(when=when, amount=str(amount), margin=str(min(amount, margin)), within="5m"),
        st.sampled_from(["drop", "hold_grown"]), st.integers(1, 40), st.integers(0, 9),
    ),
    st.builds(lambda when: rule(when=when, **{"for": "3m"}), st.sampled_from(["pending_stuck", "no_answer"])),
)  # fmt: skip
LOOKS = st.lists(st.tuples(AMOUNTS, AMOUNTS, st.integers(0, 2)) | st.none(), max_size=40)


@given(RULES, LOOKS)
def test_alerts_take_turns(one: Rule, looks: list[tuple[int, int, int] | None]) -> None:
    """Whatever is seen, FIRED and OVER alternate, and the same look again says nothing."""
    snapshots = [
        seen(minute, None) if look is None else seen(minute, *map(str, look)) for minute, look in enumerate(looks)
    ]
    state, told = RuleState(), []
    for place, snapshot in enumerate(snapshots):
        alert, state = decide(one, snapshots[: place + 1], state, snapshot.at)
        again, same = decide(one, snapshots[: place + 1], state, snapshot.at)
        assert (again, same) == (None, state)
        if alert is not None:
            told.append(alert.kind)
    assert told == [FIRED, OVER] * (len(told) // 2) + [FIRED] * (len(told) % 2)


@given(st.integers(1, 30), st.integers(1, 9), st.lists(AMOUNTS, max_size=40))
def test_within_the_margin_nothing_changes(amount: int, margin: int, balances: list[int]) -> None:
    """Between the limit and the margin, an alert that is on stays on, and one that is off stays off."""
    one = rule(when="below", amount=str(amount), margin=str(margin))
    on = False
    for told, balance in zip(kinds(one, [seen(n, str(b)) for n, b in enumerate(balances)]), balances, strict=True):
        expected = balance < amount or (on and balance < amount + margin)
        assert told == ((FIRED if expected else OVER) if expected != on else None)
        on = expected
