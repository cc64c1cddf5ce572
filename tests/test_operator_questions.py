"""Asking through the operator's API: the questions' answers, as JSON, and what is listed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from alikassa.ledger.verify import verification
from operator_server import Operator, operator_here

ZERO = "0.00000000"


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with operator_here(f"sqlite:///{tmp_path_factory.mktemp('operator') / 'books.db'}") as here:
        yield here


@pytest.fixture
def account(operator: Operator) -> str:
    """100.00 paid, half of it held for ten days from 2020-01-01 on; 30.00 are on their way out."""
    account = operator.open_account()
    terms = {"hold_percent": "50", "hold_days": 10}
    at = {"effective_at": "2020-01-01T00:00:00Z"}
    operator.done(f"{account}/policy_set", {"policy": terms, "reference": "terms", **at})
    operator.done(f"{account}/payment", {"amount": "100", "reference": "order-1", **at})
    operator.done(f"{account}/payout_created", {"amount": "30", "reference": "payout-1"})
    return account


def test_a_balance_of_the_past_by_effective_time(operator: Operator, account: str) -> None:
    """On the fifth day half was held, on the eleventh all of it was free."""
    asked = f"{account}/balance?by=effective&at=2020-01-05T00:00:00Z"
    assert operator.get(asked).json["buckets"] == {
        "balance": "50.00000000",
        "hold": "50.00000000",
        "rolling_reserve": ZERO,
        "pending_payouts": ZERO,
    }
    later = operator.get(f"{account}/balance?by=effective&at=2020-01-11T03:00:00%2B03:00").json
    assert (later["at"], later["buckets"]["balance"]) == ("2020-01-11T00:00:00Z", "100.00000000")


def test_a_balance_of_now(operator: Operator, account: str) -> None:
    """Without a moment it is what a balance request is answered."""
    found = operator.get(f"{account}/balance").json
    assert list(found["buckets"].values()) == operator.numbers(account)
    assert (found["by"], found["buckets"]["balance"]) == ("recorded", "70.00000000")


def test_a_statement_in_pages(operator: Operator, account: str) -> None:
    """The cursor of a page leads to the next; kinds choose lines, several by commas or repeated."""
    first = operator.get(f"{account}/statement?limit=2").json
    second = operator.get(f"{account}/statement?limit=2&after={first['cursor']}").json
    lines = first["lines"] + second["lines"]
    # What was due is released before the payout is decided.
    assert [one["entry"]["kind"] for one in lines] == ["policy_set", "payment", "release", "payout_created"]
    assert second["cursor"] is None
    assert (first["count"], first["closing"]["balance"], first["opening"]["balance"]) == (4, "70.00000000", ZERO)
    for kinds in ("kinds=payment,payout_created", "kinds=payment&kinds=payout_created"):
        found = operator.get(f"{account}/statement?{kinds}&newest=true").json["lines"]
        assert [one["entry"]["kind"] for one in found] == ["payout_created", "payment"]
    assert found[1]["changes"] == {"balance": "50.00000000", "hold": "50.00000000"}


def test_what_the_numbers_are_made_of(operator: Operator, account: str) -> None:
    """The payout under way, with its age in seconds; percentages are text."""
    found = operator.get(f"{account}/explain?limit=1").json
    (payout,) = found["pending_payouts"]["payouts"]
    assert (payout["amount"], payout["key"], payout["by_hand"]) == ("30.00000000", "4.1", False)
    assert 0 <= payout["age"] < 300
    operator.done(f"{account}/payment", {"amount": "10", "reference": "order-2"})
    (lot,) = operator.get(f"{account}/explain").json["hold"]["lots"]
    assert (lot["amount"], lot["percent"], lot["source"]) == ("5.00000000", "50.00000000", "order-2")


def test_payouts_of_all_and_of_one(operator: Operator, account: str) -> None:
    """By state and by age."""
    assert account.endswith(operator.get(f"{account}/payouts").json["payouts"][0]["account"])
    pending = operator.get("/payouts?state=pending&limit=1000").json["payouts"]
    assert account.rpartition("/")[2] in [one["account"] for one in pending]
    assert operator.get(f"{account}/payouts?state=paid").json["payouts"] == []
    assert operator.get(f"{account}/payouts?older_than=3600").json["payouts"] == []
    assert len(operator.get(f"{account}/payouts?older_than=0").json["payouts"]) == 1


def test_the_trial_balance(operator: Operator, account: str) -> None:
    """In a currency of one account alone: what came in from customers is what the merchant has."""
    other = operator.open_account("XYZ")
    operator.done(f"{other}/payment", {"amount": "12.5", "reference": "order-1"})
    rows = operator.get("/trial-balance").json["rows"]
    found = {one["place"]: one["total"] for one in rows if one["currency"] == "XYZ" and one["total"] != ZERO}
    assert found == {"balance": "12.50000000", "system:clearing": "-12.50000000"}


def test_the_books_are_true(operator: Operator, account: str) -> None:
    """All of them, and one account's: four entries, that sum up and chain."""
    found = operator.get(f"/verify?account={account.rpartition('/')[2]}").json
    assert (found["wrong"], found["problems"], found["entries"], found["payouts"]) == (0, [], 4, 1)
    assert operator.get("/verify").json["wrong"] == 0


def test_one_verification_at_a_time(operator: Operator, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second is told to come back; meanwhile everything else is answered."""
    begun, go_on = threading.Event(), threading.Event()
    verify = verification.verify

    async def slow(*arguments: Any, **options: Any) -> Any:
        begun.set()
        await asyncio.to_thread(go_on.wait, 20)
        return await verify(*arguments, **options)

    monkeypatch.setattr("alikassa.server.operator.verifying.verify", slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(operator.get, "/verify")
        assert begun.wait(20)
        second = operator.get("/verify")
        assert (second.status, second.error["type"]) == (503, "Overloaded")
        assert second.headers["retry-after"]
        assert operator.get(account).status == 200
        go_on.set()
        assert first.result().status == 200
    assert operator.get("/verify").status == 200


def test_merchants_in_pages(operator: Operator) -> None:
    """Every one once, in the order of adding."""
    added = [operator.done("/merchants", {"name": f"Page {n}"})["id"] for n in range(5)]
    found: list[str] = []
    cursor = ""
    while cursor is not None:
        page = operator.get(f"/merchants?limit=2{cursor and f'&after={cursor}'}").json
        found += [one["id"] for one in page["merchants"]]
        cursor = page["cursor"]
    assert [one for one in found if one in added] == added
    assert len(found) == len(set(found))
    assert operator.get(f"/merchants/{added[0]}").json["name"] == "Page 0"


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_accounts_in_pages(request: pytest.FixtureRequest, engine: str) -> None:
    """A merchant's accounts, each once, on both engines; and an account that has the uuid that was asked for."""
    wanted = "93d5df06-996c-48c3-9847-348d6b580b80"
    with operator_here(request.getfixturevalue(f"{engine}_url")) as operator:
        merchant = operator.done("/merchants", {"name": "Shop"})["id"]
        operator.open_account()
        opened = [operator.done("/accounts", {"merchant": merchant, "currency": "RUB"})["id"] for _ in range(4)]
        body = {"merchant": merchant, "currency": "USD", "id": wanted}
        assert operator.done("/accounts", body)["id"] == wanted
        assert operator.post("/accounts", body).status == 409
        found: list[str] = []
        cursor = ""
        while cursor is not None:
            page = operator.get(f"/accounts?merchant={merchant}&limit=2{cursor and f'&after={cursor}'}").json
            found += [one["id"] for one in page["accounts"]]
            cursor = page["cursor"]
        assert sorted(found) == sorted([*opened, wanted])


def test_an_account_may_take_only_requests_that_are_good_once(operator: Operator) -> None:
    """Switched on and off; said of the account wherever it is told, by an entry too."""
    merchant = operator.done("/merchants", {"name": "Shop"})["id"]
    opened = operator.done("/accounts", {"merchant": merchant, "currency": "RUB"})
    assert opened["requires_fresh"] is False
    path = f"/accounts/{opened['id']}"
    for required in (True, False):
        assert operator.done(f"{path}/fresh", {"required": required})["requires_fresh"] is required
        assert operator.get(path).json["requires_fresh"] is required
        (listed,) = operator.get(f"/accounts?merchant={merchant}").json["accounts"]
        assert listed["requires_fresh"] is required
        payment = operator.done(f"{path}/payment", {"amount": "5", "reference": f"p-{required}"})
        assert payment["account"]["requires_fresh"] is required
    assert operator.post(f"{path}/fresh", {}).status == 400


def test_certificates(operator: Operator, archives: Callable[[str], Path]) -> None:
    """Registered, listed, switched, revoked; what comes back is of the public key alone."""
    merchant = operator.done("/merchants", {"name": "Shop"})["id"]
    body = {"purpose": "payout", "public_key": (archives("payout") / "public.pem").read_text(), "sha1_allowed": False}
    added = operator.done(f"/merchants/{merchant}/certificates", body)
    assert (added["state"], added["purpose"], added["sha1_allowed"]) == ("active", "payout", False)
    assert len(added["fingerprint"]) == 64
    assert operator.post(f"/merchants/{merchant}/certificates", body).status == 409
    assert operator.done(f"/certificates/{added['id']}/sha1", {"allowed": True})["sha1_allowed"] is True
    # Without a body, as curl sends it.
    assert operator.ask("POST", f"/operator/v1/certificates/{added['id']}/revoke", b"").json["state"] == "revoked"
    (listed,) = operator.get(f"/merchants/{merchant}/certificates").json["certificates"]
    assert (listed["state"], listed["revoked_at"] is None) == ("revoked", False)
    private = {**body, "public_key": (archives("payout") / "private.pem").read_text()}
    refused = operator.post(f"/merchants/{merchant}/certificates", private)
    assert (refused.status, refused.error["type"]) == (400, "InvalidCertificate")
