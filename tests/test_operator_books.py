"""Booking through the operator's API, command by command, with numbers worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec
import pytest

from alikassa.ledger.commands import COMMANDS
from alikassa.ledger.model import Kind
from alikassa.server.operator.bodies import BODIES
from operator_server import Operator, operator_here

ZERO = "0.00000000"


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with operator_here(f"sqlite:///{tmp_path_factory.mktemp('operator') / 'books.db'}") as here:
        yield here


@pytest.fixture
def account(operator: Operator) -> str:
    return operator.open_account()


@pytest.fixture
def held(operator: Operator, account: str) -> str:
    """An account with a payment of 1000.00: 29.00 + 1.00 fee, 10 % reserved, 5 % held, 820.00 left to spend."""
    terms = {"fee_percent": "2.9", "fee_fixed": "1", "hold_percent": "5", "hold_days": 3}
    terms |= {"reserve_percent": "10", "reserve_days": 180}
    operator.done(f"{account}/policy_set", {"policy": terms, "reference": "terms"})
    operator.done(f"{account}/payment", {"amount": "1000", "reference": "order-1"})
    return account


def test_every_command_has_its_body() -> None:
    """No command is missing, and no field of one."""
    assert BODIES.keys() == COMMANDS.keys()
    for kind, body in BODIES.items():
        fields = {field.name for field in msgspec.structs.fields(body)}
        assert {"account", *fields} == {field.name for field in msgspec.structs.fields(COMMANDS[kind])}, kind


def test_a_payment_is_answered_with_its_entry_and_the_account(operator: Operator, held: str) -> None:
    """Fee, reserve and hold are taken, and each held sum is named by the posting that made it."""
    (line,) = operator.get(f"{held}/statement?kinds=payment").json["lines"]
    postings = [(one["bucket"], one["amount"], one["lot"]) for one in line["entry"]["postings"]]
    assert sorted(postings, key=str) == [
        ("balance", "820.00000000", None),
        ("hold", "50.00000000", next(lot for bucket, _, lot in postings if bucket == "hold")),
        ("rolling_reserve", "100.00000000", next(lot for bucket, _, lot in postings if bucket == "rolling_reserve")),
        ("system:clearing", "-1000.00000000", None),
        ("system:fees", "30.00000000", None),
    ]
    assert all(lot.startswith("2.") for _, _, lot in postings if lot)
    assert operator.numbers(held) == ["820.00000000", "50.00000000", "100.00000000", ZERO]


def test_the_same_command_again_is_the_same_entry(operator: Operator, account: str) -> None:
    """201 the first time, 200 after it, and `repeated` says so."""
    body = {"amount": "5", "reference": "order-1", "metadata": {"shop": "Ω"}}
    first, second = (operator.post(f"{account}/payment", body) for _ in range(2))
    assert (first.status, second.status) == (201, 200)
    assert first.json["entry"] == second.json["entry"]
    assert (first.json["repeated"], second.json["repeated"]) == (False, True)
    assert first.json["entry"]["metadata"] == {"shop": "Ω"}


def test_what_goes_back_to_customers(operator: Operator, held: str) -> None:
    """Refund and chargeback take the payment's own held money first; a reversed chargeback fills the balance."""
    # 120 of the refund: hold 50, then reserve 70.
    operator.done(f"{held}/refund", {"payment": "order-1", "amount": "120", "reference": "refund-1"})
    assert operator.numbers(held) == ["820.00000000", ZERO, "30.00000000", ZERO]
    operator.done(f"{held}/chargeback", {"payment": "order-1", "amount": "880", "reference": "loss-1"})
    # 880: reserve 30, then balance 850, which has 820.
    assert operator.numbers(held) == ["-30.00000000", ZERO, ZERO, ZERO]
    operator.done(f"{held}/chargeback_reversal", {"chargeback": "loss-1", "reference": "won-1"})
    assert operator.numbers(held) == ["850.00000000", ZERO, ZERO, ZERO]


def test_held_money_by_hand(operator: Operator, held: str) -> None:
    """A hold is placed and released by its reference; a payment's hold and reserve by the payment, or by the lot."""
    operator.done(f"{held}/hold_placed", {"amount": "20", "reference": "doubt-1", "reason": "a doubt"})
    assert operator.numbers(held)[:2] == ["800.00000000", "70.00000000"]
    operator.done(f"{held}/hold_released", {"hold": "doubt-1", "reference": "clear-1", "reason": "cleared"})
    body = {"payment": "order-1", "amount": "10", "reference": "early-1", "reason": "trusted"}
    operator.done(f"{held}/hold_released", body)
    assert operator.numbers(held)[:2] == ["830.00000000", "40.00000000"]
    (lot,) = operator.get(f"{held}/explain").json["rolling_reserve"]["lots"]
    body = {"lot": lot["key"], "reference": "early-2", "reason": "trusted"}
    operator.done(f"{held}/reserve_released", body)
    assert operator.numbers(held) == ["930.00000000", "40.00000000", ZERO, ZERO]


@pytest.mark.parametrize(
    ("callbacks", "numbers"),
    [
        (["payout_paid"], ["69.00000000", ZERO, ZERO, ZERO]),
        (["payout_failed"], ["100.00000000", ZERO, ZERO, ZERO]),
        (["payout_cancelled"], ["100.00000000", ZERO, ZERO, ZERO]),
        (["payout_paid", "payout_returned"], ["99.00000000", ZERO, ZERO, ZERO]),
    ],
)
def test_payouts(operator: Operator, account: str, callbacks: list[str], numbers: list[str]) -> None:
    """A payout of 30 with a fee of 1 leaves the balance, and what the bank says brings it to its end."""
    operator.done(f"{account}/payment", {"amount": "100", "reference": "order-1"})
    operator.done(f"{account}/payout_created", {"amount": "30", "fee": "1", "reference": "payout-1"})
    assert operator.numbers(account) == ["69.00000000", ZERO, ZERO, "30.00000000"]
    for callback in callbacks:
        operator.done(f"{account}/{callback}", {"reference": "payout-1"})
    assert operator.numbers(account) == numbers
    (payout,) = operator.get(f"{account}/payouts").json["payouts"]
    assert (payout["payout"]["amount"], payout["payout"]["state"]) == ("30.00000000", callbacks[-1].split("_")[1])


def test_a_contradicting_callback_waits_for_a_correction(operator: Operator, account: str) -> None:
    """409 with both states, a discrepancy that is seen, and a correction that closes it."""
    operator.done(f"{account}/payment", {"amount": "100", "reference": "order-1"})
    operator.done(f"{account}/payout_created", {"amount": "30", "reference": "payout-1"})
    operator.done(f"{account}/payout_failed", {"reference": "payout-1"})
    refused = operator.post(f"{account}/payout_paid", {"reference": "payout-1"})
    assert refused.status == 409
    assert (refused.error["type"], refused.error["state"], refused.error["claimed"]) == (
        "PayoutState",
        "failed",
        "paid",
    )
    (open_one,) = operator.get(f"{account}/discrepancies").json["discrepancies"]
    assert (open_one["amount"], open_one["discrepancy"]["claimed"]) == ("30.00000000", "paid")
    body = {"payout": "payout-1", "to": "paid", "reference": "fix-1", "reason": "the bank did pay"}
    operator.done(f"{account}/payout_corrected", body)
    assert operator.numbers(account)[0] == "70.00000000"
    assert operator.get(f"{account}/discrepancies").json["discrepancies"] == []
    assert len(operator.get(f"{account}/discrepancies?open_only=false").json["discrepancies"]) == 1


def test_corrections(operator: Operator, account: str) -> None:
    """A fee, an adjustment, and the reversal of each."""
    operator.done(f"{account}/adjustment", {"bucket": "balance", "amount": "10", "reference": "a-1", "reason": "gift"})
    operator.done(f"{account}/fee", {"amount": "12", "reference": "f-1", "reason": "a service", "overdraw": True})
    assert operator.numbers(account)[0] == "-2.00000000"
    body = {"of_kind": "fee", "of": "f-1", "reference": "r-1", "reason": "a mistake"}
    operator.done(f"{account}/reversal", body)
    assert operator.numbers(account)[0] == "10.00000000"


def test_what_other_books_hand_over(operator: Operator, account: str) -> None:
    """The four numbers, with every lot and payout that they consist of."""
    body = {
        "balance": "1",
        "hold": "2.5",
        "rolling_reserve": "3",
        "pending_payouts": "4",
        "reference": "old-books",
        "lots": [
            {"bucket": "hold", "amount": "2.5", "due_at": "2999-01-01T00:00:00+03:00", "source": "order-7"},
            {"bucket": "rolling_reserve", "amount": "3"},
        ],
        "payouts": [{"reference": "payout-7", "amount": "4"}],
    }
    operator.done(f"{account}/opening", body)
    assert operator.numbers(account) == ["1.00000000", "2.50000000", "3.00000000", "4.00000000"]
    found = operator.get(f"{account}/schedule").json
    # Midnight in Moscow is the evening before in UTC.
    assert [(day["day"], day["hold"], day["lots"]) for day in found["days"]] == [("2998-12-31", "2.50000000", 1)]
    assert found["by_hand"] == {"hold": ZERO, "rolling_reserve": "3.00000000"}


def test_states_of_an_account(operator: Operator, account: str) -> None:
    """Frozen it pays nothing out; unfrozen and empty it is closed; closed it takes no payment."""
    operator.done(f"{account}/payment", {"amount": "1", "reference": "order-1"})
    operator.done(f"{account}/account_frozen", {"reference": "f-1", "reason": "a doubt"})
    refused = operator.post(f"{account}/payout_created", {"amount": "1", "reference": "payout-1"})
    assert (refused.status, refused.error["type"], refused.error["state"]) == (409, "AccountState", "frozen")
    operator.done(f"{account}/account_unfrozen", {"reference": "f-2", "reason": "cleared"})
    operator.done(f"{account}/refund", {"payment": "order-1", "amount": "1", "reference": "back-1"})
    operator.done(f"{account}/account_closed", {"reference": "c-1", "reason": "left"})
    assert operator.get(account).json["state"] == "closed"
    assert operator.post(f"{account}/payment", {"amount": "1", "reference": "order-2"}).status == 409


def test_a_closed_period_takes_nothing_more(operator: Operator, account: str) -> None:
    """What would take effect in it is refused; the account says until when it is closed."""
    operator.done(f"{account}/period_closed", {"until": "2026-01-01T00:00:00Z", "reference": "2025"})
    body = {"amount": "1", "reference": "order-1", "effective_at": "2025-12-31T23:59:59Z"}
    refused = operator.post(f"{account}/payment", body)
    assert (refused.status, refused.error["type"]) == (422, "EffectiveTime")
    assert operator.get(account).json["closed_until"] == "2026-01-01T00:00:00Z"


def test_terms_are_kept_by_version(operator: Operator, held: str) -> None:
    """Every version of the terms is there to be read, as text that is exact."""
    operator.done(f"{held}/policy_set", {"policy": {"time_zone": "Europe/Moscow"}, "reference": "terms-2"})
    found = operator.get(f"{held}/policies").json
    assert found["current"] == 2
    first, second = (one["policy"] for one in found["versions"])
    assert (first["fee_percent"], first["fee_fixed"], first["reserve_days"]) == ("2.90000000", "1.00000000", 180)
    assert (second["fee_percent"], second["time_zone"]) == (ZERO, "Europe/Moscow")


def test_amounts_are_exact_to_the_last_place(operator: Operator, account: str) -> None:
    """One unit below 10^18 goes in and comes out, digit by digit."""
    most = "999999999999999999.99999999"
    body = {"amount": most, "reference": "order-1"}
    assert operator.done(f"{account}/payment", body)["account"]["balance"] == most
    assert f'"{most}"'.encode() in operator.get(account).body


def test_what_is_due_is_answered_and_spent(operator: Operator, account: str) -> None:
    """A hold that has run out counts in the balance, in the list too, without anybody having released it."""
    terms = {"hold_percent": "50", "hold_days": 1}
    operator.done(
        f"{account}/policy_set", {"policy": terms, "reference": "terms", "effective_at": "2020-01-01T00:00:00Z"}
    )
    body = {"amount": "10", "reference": "order-1", "effective_at": "2020-01-01T00:00:00Z"}
    operator.done(f"{account}/payment", body)
    assert operator.numbers(account) == ["10.00000000", ZERO, ZERO, ZERO]
    merchant = operator.get(account).json["merchant"]
    (listed,) = operator.get(f"/accounts?merchant={merchant}").json["accounts"]
    assert listed["balance"] == "10.00000000"
    assert operator.done(f"{account}/payout_created", {"amount": "10", "reference": "p"})["account"]["balance"] == ZERO


def test_kinds_of_the_document_are_the_books_own(operator: Operator) -> None:
    """Every kind that answers a command has its address; a release has none."""
    paths = json.loads(operator.ask("GET", "/operator/docs/openapi.json").body)["paths"]
    posted = {path.rpartition("/")[2] for path in paths if path.startswith("/operator/v1/accounts/{account}/")}
    assert {kind.value for kind in Kind} - posted == {"release"}
