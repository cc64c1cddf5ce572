"""Many commands in one request, each booked or refused by itself."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from operator_server import API, Operator, new_database, operator_here


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def operator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    url = new_database(request.param, request, tmp_path_factory)
    with operator_here(url) as here:
        yield here


def bulk(operator: Operator, commands: list[Any]) -> list[Any]:
    answer = operator.post("/bulk", {"commands": commands})
    assert answer.status == 200, answer.body
    return list(answer.json["results"])


def payment(account: str, number: int, amount: str = "1") -> dict[str, str]:
    return {"kind": "payment", "account": account, "amount": amount, "reference": f"order-{number}"}


def test_a_thousand_payments_on_many_accounts(operator: Operator) -> None:
    """Each is answered in its place, and every account has what was paid to it."""
    accounts = [operator.open_account().rpartition("/")[2] for _ in range(5)]
    results = bulk(operator, [payment(accounts[n % 5], n) for n in range(1000)])
    assert {one["status"] for one in results} == {201}
    assert [one["entry"]["reference"] for one in results] == [f"order-{n}" for n in range(1000)]
    assert [one["account"]["id"] for one in results] == [accounts[n % 5] for n in range(1000)]
    for account in accounts:
        assert operator.numbers(f"/accounts/{account}")[0] == "200.00000000"
    again = bulk(operator, [payment(accounts[0], 0)])
    assert (again[0]["status"], again[0]["repeated"], again[0]["entry"]) == (200, True, results[0]["entry"])


def test_commands_of_one_account_are_booked_in_their_order(operator: Operator) -> None:
    """What a payment brings, the payout after it may spend, and the one before it may not."""
    account = operator.open_account().rpartition("/")[2]
    early, late = (
        {"kind": "payout_created", "account": account, "amount": "1", "reference": name} for name in ("early", "late")
    )
    results = bulk(operator, [early, payment(account, 1), late])
    assert [one["status"] for one in results] == [422, 201, 201]


def test_one_that_is_refused_leaves_the_others(operator: Operator) -> None:
    """Unknown account, malformed amount, conflict: each says so in the one shape, and the rest is booked."""
    account = operator.open_account().rpartition("/")[2]
    commands = [
        payment(account, 1),
        payment(str(uuid.uuid4()), 1),
        payment(account, 2, "1,5"),
        payment(account, 1, "2"),
        {"kind": "hold_released", "account": account, "lot": "1", "reference": "x", "reason": "y"},
        payment(account, 3),
    ]
    results = bulk(operator, commands)
    assert [(one["status"], one.get("error", {}).get("type")) for one in results] == [
        *((201, None), (404, "NotFound"), (400, "InvalidAmount"), (409, "Conflict"), (400, "InvalidInput")),
        (201, None),
    ]
    assert operator.numbers(f"/accounts/{account}")[0] == "2.00000000"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "gift"}, "kind"),
        ({"kind": "release"}, "kind"),
        ({"account": "17"}, "account"),
        ({"amount": 5}, "commands[1].amount"),
        ({"note": "x"}, "note"),
        ({"reference": None}, "reference"),
    ],
)
def test_a_shape_that_is_wrong_refuses_the_whole(operator: Operator, change: dict[str, Any], words: str) -> None:
    """400, which names the place; nothing of it is booked."""
    account = operator.open_account().rpartition("/")[2]
    refused = operator.post("/bulk", {"commands": [payment(account, 1), payment(account, 2) | change]})
    assert (refused.status, refused.error["type"]) == (400, "InvalidInput")
    assert words in refused.error["message"]
    assert operator.numbers(f"/accounts/{account}")[0] == "0.00000000"


def test_how_many_there_may_be(operator: Operator) -> None:
    """None is fine, a thousand and one are too many."""
    account = str(uuid.uuid4())
    assert bulk(operator, []) == []
    assert operator.post("/bulk", {"commands": [payment(account, n) for n in range(1001)]}).status == 400


def test_a_bulk_needs_a_token_that_writes(operator: Operator) -> None:
    """As every change."""
    assert operator.bearing(operator.read_token).post("/bulk", {"commands": []}).status == 403
    assert operator.ask("GET", f"{API}/bulk").status == 405
