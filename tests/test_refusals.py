"""Headers and bodies that are refused as malformed, and those that look odd and are right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import PAGE_ACCOUNT, PAGE_ANSWER, Server
from raw_http import Headers, ask, balance_headers, chunked, refusal, request, shop_server, sign

BOUND = 16 * 1024


@pytest.fixture(scope="module")
def payout(archives: Callable[[str], Path]) -> Path:
    return archives("payout")


@pytest.fixture(scope="module")
def server(archives: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """As it is started in production."""
    with shop_server(tmp_path_factory.mktemp("server"), archives) as running:
        yield running


def non_canonical(signature: str) -> str:
    """The same bytes by a lenient decoder: bits that the last character does not need are set."""
    assert signature.endswith("==")
    return signature[:-3] + chr(ord(signature[-3]) + 1) + "=="


# Headers

ACCOUNT: list[tuple[str, list[str | bytes], str]] = [
    ("missing", [], "missing"),
    ("empty", [""], "missing"),
    ("not a uuid", ["shop"], "uuid"),
    ("one digit short", [PAGE_ACCOUNT[:-1]], "uuid"),
    ("in braces", [f"{{{PAGE_ACCOUNT}}}"], "braces"),
    ("as urn", [f"urn:uuid:{PAGE_ACCOUNT}"], "uuid"),
    ("without hyphens", [PAGE_ACCOUNT.replace("-", "")], "uuid"),
    ("not ASCII", ["счёт".encode()], "ASCII"),
    ("not UTF-8", [PAGE_ACCOUNT.encode() + b"\xff"], "ASCII"),
    ("list of two", [f"{PAGE_ACCOUNT}, {PAGE_ACCOUNT}"], "uuid"),
    ("sent twice", [PAGE_ACCOUNT, PAGE_ACCOUNT], "once"),
    ("two different ones", [PAGE_ACCOUNT, "00000000-0000-4000-8000-000000000000"], "once"),
]


@pytest.mark.parametrize(("values", "said"), [pytest.param(*row[1:], id=row[0]) for row in ACCOUNT])
def test_malformed_account_is_refused(server: Server, payout: Path, values: list[str | bytes], said: str) -> None:
    """A request whose Account header is not one uuid gets 400 under `account`, and is told what is wrong."""
    headers = balance_headers(payout)
    del headers["Account"]
    answer = ask(server, request([*headers.items(), *(("Account", value) for value in values)]))
    (text,) = refusal(answer, 400, "account")["account"]
    assert said in text


SIGN: list[tuple[str, Callable[[str], list[str | bytes]], str]] = [
    ("missing", lambda good: [], "missing"),
    ("empty", lambda good: [""], "missing"),
    ("space inside", lambda good: [f"{good[:76]} {good[76:]}"], "space"),
    ("tab inside", lambda good: [f"{good[:76]}\t{good[76:]}"], "space"),
    ("URL-safe alphabet", lambda good: [good.replace("+", "-").replace("/", "_")], "URL-safe"),
    ("junk", lambda good: ["nonsense!"], "base64"),
    ("hexadecimal", lambda good: ["0x" + "ab" * 256], "base64"),
    ("missing padding", lambda good: [good.rstrip("=")], "padding"),
    ("too much padding", lambda good: [f"{good}="], "base64"),
    ("non-canonical", lambda good: [non_canonical(good)], "base64"),
    ("not ASCII", lambda good: ["подпись".encode()], "ASCII"),
    ("longer than any", lambda good: [good * 10], "long"),
    ("in quotes", lambda good: [f'"{good}"'], "base64"),
    ("sent twice", lambda good: [good, good], "once"),
    ("two different ones", lambda good: [good, good[::-1]], "once"),
]


@pytest.mark.parametrize(("values", "said"), [pytest.param(*row[1:], id=row[0]) for row in SIGN])
def test_malformed_sign_is_refused(
    server: Server, payout: Path, values: Callable[[str], list[str | bytes]], said: str
) -> None:
    """A request whose Sign header is not one standard base64 gets 400 under `sign`, and is told what is wrong."""
    headers = balance_headers(payout)
    del headers["Sign"]
    answer = ask(server, request([*headers.items(), *(("Sign", value) for value in values(sign(payout, b"{}")))]))
    (text,) = refusal(answer, 400, "sign")["sign"]
    assert said in text


CONTENT_TYPE = [
    ("missing", []),
    ("empty", [""]),
    ("text", ["text/plain"]),
    ("form", ["application/x-www-form-urlencoded"]),
    ("starts like it", ["application/jsonp"]),
    ("only a parameter", ["text/plain; x=application/json"]),
    ("two different ones", ["application/json", "text/plain"]),
]


@pytest.mark.parametrize("values", [pytest.param(values, id=name) for name, values in CONTENT_TYPE])
def test_wrong_content_type_is_refused(server: Server, payout: Path, values: list[str]) -> None:
    """A request that does not say that its body is JSON gets 400 under `content_type`, and is told what to send."""
    headers = balance_headers(payout)
    del headers["Content-Type"]
    answer = ask(server, request([*headers.items(), *(("Content-Type", value) for value in values)]))
    (text,) = refusal(answer, 400, "content_type")["content_type"]
    assert "application/json" in text or "once" in text


def test_all_that_is_wrong_is_said_at_once(server: Server) -> None:
    """A request without any of the three headers is told of all three."""
    refusal(ask(server, request([])), 400, "account", "sign", "content_type")


ODD: list[tuple[str, dict[str, str]]] = [
    ("uuid in upper case", {"Account": PAGE_ACCOUNT.upper()}),
    ("blanks around the uuid", {"Account": f" \t{PAGE_ACCOUNT} "}),
    ("charset", {"Content-Type": "application/json; charset=utf-8"}),
    ("charset without a space", {"Content-Type": "application/json;charset=UTF-8"}),
    ("type in upper case", {"Content-Type": "APPLICATION/JSON"}),
]


@pytest.mark.parametrize("changed", [pytest.param(changed, id=name) for name, changed in ODD])
def test_harmless_spelling_is_accepted(server: Server, payout: Path, changed: dict[str, str]) -> None:
    """A spelling that means the same is answered with the balance."""
    answer = ask(server, request((balance_headers(payout) | changed).items()))
    assert (answer.status, answer.body) == (200, PAGE_ANSWER)


@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_header_names_are_taken_in_any_case(server: Server, payout: Path, case: Callable[[str], str]) -> None:
    """Header names in small or in capital letters are the same headers."""
    headers: Headers = [(case(name), value) for name, value in balance_headers(payout).items()]
    assert ask(server, request(headers)).body == PAGE_ANSWER


# Bodies

BODIES = [
    b"[]",
    b"null",
    b"1.50",
    b'"text"',
    b'{"unknown":["\xd1\x84"]}',
    b"\r\n {} \t",
    b"{}" + b" " * (BOUND - 2),
]


@pytest.mark.parametrize("body", [pytest.param(body, id=f"{body[:20]!r} ({len(body)})") for body in BODIES])
def test_any_signed_json_value_is_a_body(server: Server, payout: Path, body: bytes) -> None:
    """Any JSON value, known fields or not, up to the bound, is a good body when its exact bytes are signed."""
    answer = ask(server, request(balance_headers(payout, body).items(), body))
    assert (answer.status, answer.body) == (200, PAGE_ANSWER)


NOT_JSON = {
    "empty": b"",
    "only blanks": b"  ",
    "invalid UTF-8": b'"\xff\xfe"',
    "UTF-16": "{}".encode("utf-16"),
    "not JSON": b"balance please",
    "two values": b"{}{}",
    "cut off": b'{"a":',
    "NaN": b"NaN",
    "nested deeply": b"[" * 8000 + b"]" * 8000,
    "nested deeply and cut off": b'{"a":' * 3000,
}


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in NOT_JSON.items()])
def test_signed_body_that_is_not_json_is_refused(server: Server, payout: Path, body: bytes) -> None:
    """A body that is no JSON text gets 400 under `body`, even when it is properly signed."""
    refusal(ask(server, request(balance_headers(payout, body).items(), body)), 400, "body")


def test_empty_chunked_body_is_refused_as_a_body(server: Server, payout: Path) -> None:
    """A signed body of no chunks is as empty as one of 0 bytes."""
    refusal(ask(server, chunked(balance_headers(payout, b"").items())), 400, "body")


@pytest.mark.parametrize("name", ["empty", "not JSON", "nested deeply"])
def test_unsigned_body_is_not_looked_into(server: Server, payout: Path, name: str) -> None:
    """The signature is checked before the body is parsed: a stranger learns nothing of what the body lacks."""
    refusal(ask(server, request(balance_headers(payout, b"{}").items(), NOT_JSON[name])), 400, "sign")


def test_chunked_body_is_put_together(server: Server, payout: Path) -> None:
    """What is signed is the body without its framing."""
    assert ask(server, chunked(balance_headers(payout, b"[ ]").items(), b"[", b" ", b"]")).body == PAGE_ANSWER


TOO_LARGE = b"{}" + b" " * (BOUND - 1)


def test_body_over_the_bound_is_refused(server: Server, payout: Path) -> None:
    """One byte more than 16 KiB is 413, although it is properly signed JSON."""
    answer = ask(server, request(balance_headers(payout, TOO_LARGE).items(), TOO_LARGE))
    refusal(answer, 413, "body")


def test_chunked_body_over_the_bound_is_refused(server: Server, payout: Path) -> None:
    """The bound holds for a body that does not say its length."""
    chunks = [TOO_LARGE[start : start + 1000] for start in range(0, len(TOO_LARGE), 1000)]
    answer = ask(server, chunked(balance_headers(payout, TOO_LARGE).items(), *chunks))
    refusal(answer, 413, "body")
