"""Whatever the operator's API does not do, it says so in one shape."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from operator_server import API, Answered, Operator, operator_here

NOBODY = str(uuid.uuid4())
PAYMENT = {"amount": "1", "reference": "order-1"}


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with operator_here(f"sqlite:///{tmp_path_factory.mktemp('operator') / 'books.db'}") as here:
        yield here


@pytest.fixture(scope="module")
def account(operator: Operator) -> str:
    """10.00, a payment of 10, a payout that is paid; 5.00 are left."""
    account = operator.open_account()
    operator.done(f"{account}/payment", {"amount": "10", "reference": "order-1"})
    operator.done(f"{account}/payout_created", {"amount": "5", "reference": "payout-1"})
    operator.done(f"{account}/payout_paid", {"reference": "payout-1"})
    return account


def check(answer: Answered, status: int, kind: str) -> dict[str, str]:
    """The shape of every refusal."""
    assert answer.status == status, answer.body
    error = answer.error
    assert error["type"] == kind
    assert error["message"]
    assert "remedy" in error
    assert set(error) <= {"type", "message", "remedy", "bucket", "asked", "available", "payout", "state", "claimed"}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    return error


MALFORMED: dict[str, tuple[str, Any, str]] = {
    "unknown field": ("payment", PAYMENT | {"note": "x"}, "InvalidInput"),
    "missing field": ("payment", {"amount": "1"}, "InvalidInput"),
    "a list": ("payment", [], "InvalidInput"),
    "an amount that is no amount": ("payment", PAYMENT | {"amount": "1e3"}, "InvalidAmount"),
    "nine decimals": ("payment", PAYMENT | {"amount": "0.000000001"}, "InvalidAmount"),
    "nothing": ("payment", PAYMENT | {"amount": "0"}, "InvalidAmount"),
    "an empty reference": ("payment", PAYMENT | {"reference": ""}, "InvalidInput"),
    "a reference with a line end": ("payment", PAYMENT | {"reference": "a\nb"}, "InvalidInput"),
    "a time without a zone": ("payment", PAYMENT | {"effective_at": "2026-01-01T00:00:00"}, "InvalidInput"),
    "a time out of every calendar": (
        "payment",
        PAYMENT | {"effective_at": "0001-01-01T00:00:00+14:00"},
        "InvalidInput",
    ),
    # It has no local time in New York, whose day has not begun.
    "the first moment of the calendar": ("payment", PAYMENT | {"effective_at": "0001-01-01T00:00:00Z"}, "InvalidInput"),
    "a sum due at the end of the calendar": (
        "opening",
        {
            "balance": "1",
            "hold": "5",
            "reference": "x",
            "lots": [{"bucket": "hold", "amount": "5", "due_at": "9999-12-31T23:30:00Z"}],
        },
        "InvalidInput",
    ),
    "a lot that is none": ("hold_released", {"lot": "17", "reference": "x", "reason": "y"}, "InvalidInput"),
    "a lot beyond all numbers": (
        "hold_released",
        {"lot": "9999999999999999999.1", "reference": "x", "reason": "y"},
        "InvalidInput",
    ),
    "a fee without a reason": ("fee", PAYMENT | {"reason": ""}, "InvalidInput"),
    "terms that cannot be kept": ("policy_set", {"policy": {"fee_percent": "101"}, "reference": "x"}, "InvalidInput"),
    "a zone that is none": ("policy_set", {"policy": {"time_zone": "Mars"}, "reference": "x"}, "InvalidInput"),
}


@pytest.mark.parametrize(("kind", "body", "type_"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_commands(operator: Operator, account: str, kind: str, body: Any, type_: str) -> None:
    """400, whatever the account is."""
    check(operator.post(f"{account}/{kind}", body), 400, type_)


@pytest.mark.parametrize("number", [1, 1.5, -0.0])
def test_a_number_for_an_amount_is_refused_in_words(operator: Operator, account: str, number: float) -> None:
    """The message names the field and says that amounts are strings."""
    error = check(operator.post(f"{account}/payment", PAYMENT | {"amount": number}), 400, "InvalidInput")
    assert "amount" in error["message"]
    assert "strings" in error["remedy"]


def test_a_number_for_a_percentage_is_refused_too(operator: Operator, account: str) -> None:
    """Also deep inside a body."""
    body = {"policy": {"fee_percent": 2.9}, "reference": "terms"}
    error = check(operator.post(f"{account}/policy_set", body), 400, "InvalidInput")
    assert "policy.fee_percent" in error["message"]


REFUSED: dict[str, tuple[str, Any, int, str]] = {
    "no such payment": ("refund", {"payment": "?", "amount": "1", "reference": "x"}, 404, "NotFound"),
    "another event of that name": ("payment", {"amount": "2", "reference": "order-1"}, 409, "Conflict"),
    "a payout that is paid": ("payout_failed", {"reference": "payout-1"}, 409, "PayoutState"),
    "an account that is not empty": ("account_closed", {"reference": "x", "reason": "y"}, 409, "AccountState"),
    "short of money": ("payout_created", {"amount": "99", "reference": "x"}, 422, "InsufficientFunds"),
    "more than was paid": ("refund", {"payment": "order-1", "amount": "11", "reference": "x"}, 422, "ExceedsPayment"),
    "past the bound": ("payment", {"amount": "999999999999999999", "reference": "x"}, 422, "BoundExceeded"),
    "in the future": (
        "payment",
        PAYMENT | {"reference": "x", "effective_at": "2999-01-01T00:00:00Z"},
        422,
        "EffectiveTime",
    ),
}


@pytest.mark.parametrize(("kind", "body", "status", "type_"), REFUSED.values(), ids=REFUSED)
def test_what_the_books_refuse(operator: Operator, account: str, kind: str, body: Any, status: int, type_: str) -> None:
    """Against what is there, or against the rules: 404, 409 and 422."""
    check(operator.post(f"{account}/{kind}", body), status, type_)


def test_a_refusal_for_want_of_money_says_how_much_there_is(operator: Operator, account: str) -> None:
    """The bucket, what was asked and what is there, as amounts."""
    error = operator.post(f"{account}/payout_created", {"amount": "99", "reference": "x"}).error
    assert (error["bucket"], error["asked"], error["available"]) == ("balance", "99.00000000", "5.00000000")


ADDRESSES: dict[str, tuple[str, str, int, str]] = {
    "nothing there": ("GET", "/nowhere", 404, "NotFound"),
    "no uuid": ("GET", "/accounts/17", 404, "NotFound"),
    "no such account": ("GET", f"/accounts/{NOBODY}", 404, "NotFound"),
    "no such account's balance": ("GET", f"/accounts/{NOBODY}/balance", 404, "NotFound"),
    "no such account's policies": ("GET", f"/accounts/{NOBODY}/policies", 404, "NotFound"),
    "no such account to verify": ("GET", f"/verify?account={NOBODY}", 404, "NotFound"),
    "no such merchant": ("GET", f"/merchants/{NOBODY}", 404, "NotFound"),
    "no such merchant's accounts": ("GET", f"/accounts?merchant={NOBODY}", 404, "NotFound"),
    "another method": ("DELETE", "/merchants", 405, "MethodNotAllowed"),
    "a method of no use": ("PUT", f"/accounts/{NOBODY}/payment", 405, "MethodNotAllowed"),
    "a parameter that is none": ("GET", "/merchants?limit=many", 400, "InvalidInput"),
    "a parameter too large": ("GET", "/merchants?limit=1001", 400, "InvalidInput"),
    "a parameter there is not": ("GET", "/merchants?limits=1", 400, "InvalidInput"),
    "a parameter twice": ("GET", "/merchants?limit=1&limit=2", 400, "MalformedRequest"),
    "a time without a zone": ("GET", f"/accounts/{NOBODY}/balance?at=2026-01-01T00:00:00", 400, "InvalidInput"),
    "an unknown kind": ("GET", f"/accounts/{NOBODY}/statement?kinds=gift", 400, "InvalidInput"),
    "somebody else's cursor": ("GET", "/payouts?after=abc", 400, "InvalidInput"),
}


@pytest.mark.parametrize(("method", "path", "status", "type_"), ADDRESSES.values(), ids=ADDRESSES)
def test_addresses(operator: Operator, method: str, path: str, status: int, type_: str) -> None:
    """What the framework would refuse in its own words has the same shape."""
    check(operator.ask(method, API + path), status, type_)


@pytest.mark.parametrize("body", [b"", b"{", b'{"name": "\xff"}', b'{"name": "\\ud800"}', b"{} {}", b"[" * 2000])
def test_bodies_that_are_no_json(operator: Operator, body: bytes) -> None:
    """400, without a word of what was sent."""
    check(operator.ask("POST", f"{API}/merchants", body, content_type="application/json"), 400, "InvalidInput")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=cp1251"]
)
def test_bodies_of_another_type(operator: Operator, kind: str) -> None:
    """Only JSON in UTF-8 is read."""
    check(operator.ask("POST", f"{API}/merchants", b'{"name": "x"}', content_type=kind), 415, "UnsupportedMediaType")
    good = operator.ask("POST", f"{API}/merchants", b'{"name": "x"}', content_type='application/json; charset="UTF-8"')
    assert good.status == 201


def test_a_body_that_is_too_large(operator: Operator) -> None:
    """More than a mebibyte is not read."""
    name = json.dumps({"name": "x" * (1024 * 1024)}).encode()
    check(operator.ask("POST", f"{API}/merchants", name, content_type="application/json"), 413, "TooLarge")


@pytest.mark.parametrize("key", ["", "a\tb", "k" * 129])
def test_keys_that_cannot_be_kept(operator: Operator, key: str) -> None:
    """1 to 128 printable ASCII characters."""
    answer = operator.ask(
        "POST", f"{API}/merchants", b'{"name": "x"}', content_type="application/json", idempotency_key=key
    )
    check(answer, 400, "MalformedRequest")


def test_tokens(operator: Operator, account: str) -> None:
    """401 without a known token, with a challenge; 403 for a reader who would write."""
    for token in ("", "alk_unknown", "x" * 5000):
        answer = operator.bearing(token).get("/merchants")
        check(answer, 401, "Unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer ")
    reader = operator.bearing(operator.read_token)
    assert reader.get(account).status == 200
    check(reader.post(f"{account}/payment", PAYMENT), 403, "Forbidden")
    # Who may not ask learns nothing of what is wrong with the question.
    check(operator.bearing("").post(f"{account}/payment", {}), 401, "Unauthorized")


def test_another_scheme_than_bearer(operator: Operator) -> None:
    """A token that is sent under another name is none."""
    answer = operator.bearing("").ask("GET", f"{API}/merchants", authorization=f"Basic {operator.token}")
    check(answer, 401, "Unauthorized")


def test_certificates_that_cannot_be_used(operator: Operator) -> None:
    """A key that cannot be read is malformed; a merchant that is not there is not found."""
    body = {"purpose": "payout", "public_key": "-----BEGIN PUBLIC KEY-----"}
    check(operator.post(f"/merchants/{NOBODY}/certificates", body), 400, "InvalidCertificate")
    check(operator.post(f"/certificates/{NOBODY}/revoke", {}), 404, "NotFound")
    check(operator.post(f"/certificates/{NOBODY}/sha1", {"allowed": True}), 404, "NotFound")
    check(operator.post(f"/accounts/{NOBODY}/fresh", {"required": True}), 404, "NotFound")
    check(operator.post("/accounts", {"merchant": NOBODY, "currency": "rub"}), 400, "InvalidInput")
    check(operator.post("/accounts", {"merchant": NOBODY, "currency": "RUB"}), 404, "NotFound")


def test_a_database_that_is_gone(tmp_path: Path) -> None:
    """503 with a time to come back, and nothing of where the database was."""
    folder = tmp_path / "books"
    folder.mkdir()
    with operator_here(f"sqlite:///{folder / 'books.db'}") as operator:
        assert operator.get("/merchants").status == 200
        folder.rename(tmp_path / "away")
        answer = operator.get("/merchants")
        error = check(answer, 503, "DatabaseUnavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert "books.db" not in json.dumps(error)


def test_a_defect_says_nothing_of_itself(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """500 in the same shape; the cause is in the log, the token is not."""

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a secret of ours")

    monkeypatch.setattr("alikassa.server.operator.questions.schedule", broken)
    with operator_here(sqlite_url) as operator:
        answer = operator.get(f"/accounts/{NOBODY}/schedule")
        check(answer, 500, "Internal")
        assert b"secret" not in answer.body
    said = capfd.readouterr().err
    assert "a secret of ours" in said
    assert operator.token not in said


def test_methods_that_ask_about_an_address(operator: Operator) -> None:
    """HEAD is GET without its body; OPTIONS and 405 say what may be done."""
    head = operator.ask("HEAD", f"{API}/merchants")
    assert (head.status, head.body) == (200, b"")
    options = operator.ask("OPTIONS", f"{API}/merchants")
    assert (options.status, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    assert operator.ask("DELETE", f"{API}/merchants").headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert operator.bearing("").ask("GET", "/operator/healthz").json == {"status": "ok"}
