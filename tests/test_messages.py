"""The messages of the wire, and the drift that a client survives."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alikassa.errors import ProtocolError
from alikassa.money import BOUND, from_units
from alikassa.protocol.messages import decode_balance, decode_errors, encode_balance, encode_errors
from conftest import PAGE_ANSWER

AMOUNTS = st.integers(min_value=-BOUND + 1, max_value=BOUND - 1)


def answer(**fields: str) -> bytes:
    """A 200's body from raw JSON texts; what is not given is the page's."""
    given_ = {
        "currency": '"RUB"',
        "balance": '"93.84000000"',
        "hold": '"0.00000000"',
        "rolling_reserve": '"0.00000000"',
        "pending_payouts": '"1234.00000000"',
    } | fields
    return ("{" + ",".join(f'"{name}":{text}' for name, text in given_.items()) + "}").encode()


def test_the_pages_answer_is_encoded_to_the_byte() -> None:
    """Five fields in the page's order, strings with eight decimals, no spaces."""
    assert encode_balance("RUB", "93.84000000", "0.00000000", "0.00000000", "1234.00000000") == PAGE_ANSWER


@given(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)
def test_answers_are_valid_json_and_come_back_exactly(one: int, two: int, three: int, four: int) -> None:
    """Any four amounts survive the wire to the last unit, by another JSON reader too."""
    body = encode_balance("USDT", *(from_units(units) for units in (one, two, three, four)))
    found = decode_balance(body)
    assert list(json.loads(body)) == ["currency", "balance", "hold", "rolling_reserve", "pending_payouts"]
    assert [found.balance, found.hold, found.rolling_reserve, found.pending_payouts] == [
        Decimal(from_units(units)) for units in (one, two, three, four)
    ]
    assert (found.currency, found.raw) == ("USDT", body)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("93.84", "93.84"),
        ("-1", "-1"),
        ("0", "0"),
        # Through a float each of these would come out another number.
        ("0.1", "0.1"),
        ("90071992547409.93", "90071992547409.93"),
        ("123456789012345678.12345678", "123456789012345678.12345678"),
        ("9007199254740993", "9007199254740993"),
        ('"93"', "93"),
        ('"93.8"', "93.8"),
        ('"93.123456789012"', "93.123456789012"),
    ],
)
def test_amounts_of_other_forms_are_read_exactly(text: str, value: str) -> None:
    """Bare numbers and other counts of decimals are the numbers that they spell."""
    assert decode_balance(answer(balance=text)).balance == Decimal(value)


@pytest.mark.parametrize(
    "text",
    [
        *("null", "true", "[]", "{}", '""', '" 1"', '"1 "', '"+1"', '"NaN"', '"Infinity"', '"1e3"', "1e3", "1E-3"),
        *('"1_000"', '"1,5"', '".5"', '"1."', '"0x1"', '"\u0661"', '"' + "9" * 40 + '"', "9" * 40, "1." + "0" * 30),
    ],
)
@pytest.mark.parametrize("name", ["balance", "pending_payouts"])
def test_what_is_no_amount_is_refused(name: str, text: str) -> None:
    """NaN, exponents, underscores, forty digits: the answer is refused, naming the field."""
    with pytest.raises(ProtocolError, match=name):
        decode_balance(answer(**{name: text}))


@pytest.mark.parametrize("name", ["balance", "hold", "rolling_reserve"])
def test_a_missing_amount_is_refused(name: str) -> None:
    """Three amounts must be there."""
    fields = {k: v for k, v in json.loads(answer()).items() if k != name}
    with pytest.raises(ProtocolError, match=name):
        decode_balance(json.dumps(fields).encode())


def test_pending_payouts_may_be_missing() -> None:
    """An older server leaves it out; that is None, not zero."""
    fields = {k: v for k, v in json.loads(answer()).items() if k != "pending_payouts"}
    assert decode_balance(json.dumps(fields).encode()).pending_payouts is None


def test_unknown_fields_are_passed_over_and_kept_raw() -> None:
    """More fields than these do no harm, and the raw answer keeps them."""
    body = answer(blocked='{"by":[1.5,"court"]}')
    assert decode_balance(body).raw == body


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'"x"', b"{", b"\xff\xfe", b"<html>502</html>", b"[" * 100_000, b"{}", answer(currency="1")],
    ids=repr,
)
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    """Junk is a ProtocolError, whatever it is made of, and the error keeps only its start."""
    with pytest.raises(ProtocolError) as caught:
        decode_balance(body)
    assert len(caught.value.raw) <= 200


def test_errors_go_both_ways() -> None:
    """What the server says, field by field, is what the client is told."""
    body = encode_errors("The given data was invalid.", {"sign": ["does not match", "try again"], "account": ["нет"]})
    assert json.loads(body) == {
        "message": "The given data was invalid.",
        "errors": {"sign": ["does not match", "try again"], "account": ["нет"]},
    }
    assert decode_errors(body) == (
        "The given data was invalid.",
        {"sign": ("does not match", "try again"), "account": ("нет",)},
    )


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        (b'{"message":"m"}', {}),
        (b'{"message":"m","errors":[]}', {}),
        (b'{"message":"m","errors":null}', {}),
        (b'{"message":"m","errors":{"a":"one"}}', {"a": ("one",)}),
        (b'{"message":"m","errors":{"a":[1,{"b":2}]}}', {"a": ("1", '{"b":2}')}),
        (b'{"message":"m","errors":{"a":["\\u001b[31mred"]}}', {"a": (" [31mred",)}),
    ],
)
def test_errors_of_other_forms_are_read(body: bytes, errors: dict[str, tuple[str, ...]]) -> None:
    """Refusals vary more than answers; what can be told is told, without control characters."""
    assert decode_errors(body) == ("m", errors)


def test_long_refusals_are_cut() -> None:
    """A server cannot flood a log through its error texts."""
    message, errors = decode_errors(encode_errors("m" * 9000, {str(n): ["x" * 9000] * 90 for n in range(90)}))
    assert len(message) < 600
    assert len(errors) <= 20
    assert all(len(texts) <= 20 and all(len(text) < 600 for text in texts) for texts in errors.values())
