"""Idempotency-Key: one attempt, one answer, given again byte for byte."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from operator_server import Operator, make_tokens, new_database, operator_here


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def operator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with operator_here(new_database(request.param, request, tmp_path_factory)) as here:
        yield here


@pytest.fixture
def key() -> str:
    """One of the test's own."""
    return uuid.uuid4().hex


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """On SQLite alone, for what does not depend on the engine."""
    with operator_here(f"sqlite:///{tmp_path_factory.mktemp('operator') / 'books.db'}") as here:
        yield here


def replayed(answer: Any) -> bool:
    return bool(answer.headers.get("idempotent-replayed") == "true")


def test_an_answer_is_given_again(operator: Operator, key: str) -> None:
    """Status and bytes are those of the first time, though the account has moved on; the header says so."""
    account = operator.open_account()
    body = {"amount": "5", "reference": "order-1"}
    first = operator.post(f"{account}/payment", body, key=key)
    operator.done(f"{account}/payment", {"amount": "7", "reference": "order-2"})
    again = operator.post(f"{account}/payment", body, key=key)
    assert (first.status, replayed(first)) == (201, False)
    assert (again.status, replayed(again), again.body) == (201, True, first.body)
    # Without the key it is the same event all the same, told as it stands now.
    assert operator.post(f"{account}/payment", body).json["account"]["balance"] == "12.00000000"


def test_a_refusal_by_the_books_is_given_again(operator: Operator, key: str) -> None:
    """Also when it would be granted by now; under another key it is decided afresh."""
    account = operator.open_account()
    body = {"amount": "5", "reference": "payout-1"}
    first = operator.post(f"{account}/payout_created", body, key=key)
    operator.done(f"{account}/payment", {"amount": "7", "reference": "order-1"})
    again = operator.post(f"{account}/payout_created", body, key=key)
    assert (first.status, first.error["type"]) == (422, "InsufficientFunds")
    assert (again.status, again.body, replayed(again)) == (422, first.body, True)
    assert operator.post(f"{account}/payout_created", body, key=f"{key}-2").status == 201


def test_ten_at_once_are_booked_once(operator: Operator, key: str) -> None:
    """Ten requests under one key, at the same time: one entry, ten equal answers. So with a merchant."""
    account = operator.open_account()
    body = {"amount": "5", "reference": "order-1"}
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: operator.post(f"{account}/payment", body, key=key), range(10)))
        added = list(pool.map(lambda _: operator.post("/merchants", {"name": "Ten"}, key=f"m-{key}"), range(10)))
    assert {(one.status, one.body) for one in answers} == {(201, answers[0].body)}
    assert sorted(map(replayed, answers)) == [False] + [True] * 9
    assert operator.get(f"{account}/statement").json["count"] == 1
    assert len({one.body for one in added}) == 1
    assert [one["name"] for one in operator.get("/merchants").json["merchants"]].count("Ten") == 1


def test_a_key_names_one_request(operator: Operator, key: str) -> None:
    """Another body, address or account under the same key is a conflict, and nothing is booked."""
    account, other = operator.open_account(), operator.open_account()
    body = {"amount": "5", "reference": "order-1"}
    operator.post(f"{account}/payment", body, key=key)
    others = [(f"{account}/payment", {**body, "amount": "6"}), (f"{account}/payout_created", body)]
    others += [(f"{other}/payment", body), ("/merchants", {"name": "x"})]
    for path, changed in others:
        refused = operator.post(path, changed, key=key)
        assert (refused.status, refused.error["type"]) == (409, "Conflict"), path
    assert operator.get(f"{account}/statement").json["count"] == 1
    assert operator.get(f"{other}/statement").json["count"] == 0
    assert "x" not in [one["name"] for one in operator.get("/merchants").json["merchants"]]
    # Another token's keys are others: there the same event is told again.
    (other_token, _) = asyncio.run(make_tokens(operator.database))
    again = operator.bearing(other_token).post(f"{account}/payment", body, key=key)
    assert (again.status, replayed(again)) == (200, False)


def test_what_is_malformed_is_not_kept(quick: Operator, key: str) -> None:
    """Put right, the request goes through under the same key; so it does when it was sent without a right to."""
    account = quick.open_account()
    body = {"amount": "5", "reference": "order-1"}
    assert quick.post(f"{account}/payment", {**body, "amount": "five"}, key=key).status == 400
    assert quick.post(f"{account}/payment", {**body, "reference": " "}, key=key).status == 400
    assert quick.post("/accounts", {"merchant": str(uuid.uuid4()), "currency": "rub"}, key=key).status == 400
    assert quick.bearing(quick.read_token).post(f"{account}/payment", body, key=key).status == 403
    first = quick.post(f"{account}/payment", body, key=key)
    assert (first.status, replayed(first)) == (201, False)


REGISTERED: dict[str, Callable[[Operator, str], tuple[str, Any]]] = {
    "merchant": lambda _operator, _key: ("/merchants", {"name": "Shop"}),
    "account": lambda operator, _key: (
        "/accounts",
        {"merchant": operator.get(operator.open_account()).json["merchant"], "currency": "RUB"},
    ),
    "certificate": lambda operator, key: (
        f"/merchants/{operator.get(operator.open_account()).json['merchant']}/certificates",
        {"purpose": "payout", "public_key": key},
    ),
    "no such merchant": lambda _operator, _key: ("/accounts", {"merchant": str(uuid.uuid4()), "currency": "RUB"}),
}


@pytest.mark.parametrize("what", REGISTERED.values(), ids=REGISTERED)
def test_registering_is_done_once(
    operator: Operator, key: str, archives: Callable[[str], Path], what: Callable[[Operator, str], tuple[str, Any]]
) -> None:
    """A merchant, an account, a certificate under a key is made once; a refusal is given again."""
    path, body = what(operator, (archives("payout") / "public.pem").read_text())
    first, again = (operator.post(path, body, key=key) for _ in range(2))
    assert (first.body, first.status) == (again.body, again.status)
    assert (replayed(first), replayed(again)) == (False, True)


def test_a_registration_and_its_answer_are_one_transaction(
    sqlite_url: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the answer cannot be kept, the merchant is not there either."""

    async def fails(*_: object) -> None:
        raise sqlite3.OperationalError("the disk is full")

    with operator_here(sqlite_url) as operator:
        monkeypatch.setattr("alikassa.server.operator.once.keep_answers", fails)
        assert operator.post("/merchants", {"name": "Lost"}, key=key).status == 503
        monkeypatch.undo()
        assert operator.get("/merchants").json["merchants"] == []
        assert operator.post("/merchants", {"name": "Lost"}, key=key).status == 201


def test_answers_are_kept_a_day(sqlite_url: str, key: str) -> None:
    """After 24 hours a key may name another attempt."""
    with operator_here(sqlite_url) as operator:
        first = operator.post("/merchants", {"name": "Shop"}, key=key)
        with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as books:
            books.execute("UPDATE attempts SET made_at = replace(made_at, substr(made_at, 1, 4), '2025')")
        later = operator.post("/merchants", {"name": "Other"}, key=key)
        assert (later.status, replayed(later)) == (201, False)
        assert later.json["id"] != first.json["id"]


def test_a_bulk_is_given_again(operator: Operator, key: str) -> None:
    """Every command of it has its own answer under the key, the refused one too; with other commands it conflicts."""
    account = operator.open_account().rpartition("/")[2]
    commands = [
        {"kind": "payment", "account": account, "amount": "5", "reference": "order-1"},
        {"kind": "payout_created", "account": account, "amount": "6", "reference": "payout-1"},
        {"kind": "payment", "account": account, "amount": "x", "reference": "order-2"},
    ]
    first = operator.post("/bulk", {"commands": commands[:2]}, key=key)
    again = operator.post("/bulk", {"commands": commands[:2]}, key=key)
    assert [one["status"] for one in first.json["results"]] == [201, 422]
    assert (again.body, replayed(first), replayed(again)) == (first.body, False, True)
    other = operator.post("/bulk", {"commands": [commands[1]]}, key=key).json["results"]
    assert [(one["status"], one["error"]["type"]) for one in other] == [(409, "Conflict")]
