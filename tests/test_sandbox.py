"""The sandbox: true books, a clock that can be moved, production's refusals, and nothing left behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from alikassa import AsyncClient, Client, NetworkError, RefusedError
from alikassa.errors import (
    AmountError,
    ConflictError,
    InsufficientFundsError,
    InvalidInputError,
)
from alikassa.server.refusals import UNIFORM
from alikassa.testing import Asked, Failing, Sandbox, SandboxAccount
from conftest import PAGE_ACCOUNT, Server, openssl_sign
from raw_http import balance_headers, chunked, connect, parse, read_all, request, shop_server, sign


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def sandbox(shared: Sandbox) -> Sandbox:
    """A sandbox with nothing in it."""
    shared.reset()
    return shared


@pytest.fixture
def account(sandbox: Sandbox) -> SandboxAccount:
    return sandbox.account("RUB")


def numbers(account: SandboxAccount) -> tuple[str, ...]:
    """The four numbers, asked for over HTTP, in short."""
    with account.client() as client:
        found = client.balance()
    four = (found.balance, found.hold, found.rolling_reserve, found.pending_payouts)
    return tuple(f"{one.normalize():f}" for one in four if one is not None)


# Books and clock


def test_numbers_are_what_was_booked(account: SandboxAccount) -> None:
    """A payment under a policy, a refund, a hold and payouts in every state leave the numbers that the rules say."""
    account.policy(fee_percent="2.9", fee_fixed=10, hold_percent="20", hold_days=2, reserve_percent=5, reserve_days=30)
    order = account.payment("1000")
    assert numbers(account) == ("711", "200", "50", "0")  # the README's own numbers
    account.refund(order, "100")
    assert numbers(account) == ("711", "100", "50", "0")
    paid, failed, cancelled = (account.payout("100", fee="1") for _ in range(3))
    assert numbers(account) == ("408", "100", "50", "300")
    account.payout_paid(paid)
    account.payout_fail(failed)
    account.payout_cancel(cancelled)
    assert numbers(account) == ("610", "100", "50", "0")
    account.hold(Decimal("10.5"))
    assert numbers(account) == ("599.5", "110.5", "50", "0")


def test_what_is_held_comes_back_when_the_clock_is_moved(sandbox: Sandbox, account: SandboxAccount) -> None:
    """A hold of two days is in the balance two days later, and not a minute before."""
    account.policy(hold_percent="20", hold_days=2)
    account.payment("100")
    sandbox.advance(days=2, minutes=-1)
    assert numbers(account) == ("80", "20", "0", "0")
    sandbox.advance(minutes=1)
    assert numbers(account) == ("100", "0", "0", "0")


def test_the_clock_never_goes_back(sandbox: Sandbox) -> None:
    """A move into the past is refused: what was released would be held again."""
    with pytest.raises(InvalidInputError):
        sandbox.advance(days=-1)


@pytest.mark.parametrize("days", [float("nan"), float("inf"), 1e300, 40_000])
def test_the_clock_cannot_be_moved_by_what_is_no_time(sandbox: Sandbox, days: float) -> None:
    """No number, and more than a hundred years, are mistakes of the test's, told in words; the clock stays."""
    with pytest.raises(InvalidInputError, match="cannot be moved"):
        sandbox.advance(days=days)
    assert abs(sandbox.now().timestamp() - time.time()) < 60


def test_what_is_no_uuid_is_told(sandbox: Sandbox) -> None:
    """An account's id, and the account of a fault, are uuids, in capitals as well."""
    with pytest.raises(InvalidInputError, match="no uuid"):
        sandbox.account(id="one")
    with pytest.raises(InvalidInputError, match="no uuid"):
        sandbox.fault(Failing(), account="one")
    assert sandbox.fault(Failing(), account=PAGE_ACCOUNT.upper()).account == PAGE_ACCOUNT


def test_the_books_say_what_a_client_is_told(account: SandboxAccount) -> None:
    """`balance()` of the account is the same as what the client is answered."""
    account.payment("93.84")
    with account.client() as client:
        assert client.balance() == account.balance()


def test_what_the_books_refuse_is_refused(account: SandboxAccount) -> None:
    """No payout of money that is not there, and no reference twice with other content."""
    with pytest.raises(InsufficientFundsError):
        account.payout("0.01")
    account.payment("1", "order-1")
    with pytest.raises(ConflictError):
        account.payment("2", "order-1")


@pytest.mark.parametrize("amount", [0.1, True])
def test_a_float_is_no_amount(account: SandboxAccount, amount: float) -> None:
    """Money as a float is refused before anything is booked."""
    with pytest.raises(AmountError):
        account.payment(amount)  # type: ignore[arg-type]
    assert account.balance().balance == 0


@pytest.mark.anyio
async def test_asyncio_uses_it_too(account: SandboxAccount) -> None:
    """An asynchronous client is answered while its own event loop runs."""
    account.payment("5")
    client = account.async_client()
    assert isinstance(client, AsyncClient)
    async with client:
        assert (await client.balance()).balance == 5


def test_tls_is_checked(tmp_path: Path) -> None:
    """With the sandbox's authority its client connects; without it the certificate is not trusted."""
    with Sandbox(tls=True) as sandbox:
        account = sandbox.account()
        assert numbers(account) == ("0", "0", "0", "0")
        with account.client(ca_bundle=None, attempts=1) as stranger, pytest.raises(NetworkError, match="certificate"):
            stranger.balance()


def test_two_sandboxes_know_nothing_of_each_other(sandbox: Sandbox, account: SandboxAccount) -> None:
    """The same uuid in two sandboxes at once is two accounts, and neither takes the other's keys."""
    with Sandbox() as other:
        twin = other.account(id=account.id)
        account.payment("1")
        twin.payment("2")
        assert (numbers(account)[0], numbers(twin)[0]) == ("1", "2")
        with twin.client(keys=account.keys) as client, pytest.raises(RefusedError):
            client.balance()


# What was asked


def test_requests_are_recorded_without_sign(sandbox: Sandbox, account: SandboxAccount) -> None:
    """Account, digest, body and status are kept; the signature is nowhere in the record."""
    for digest, body in (("sha256", b"{}"), ("sha1", b"[]")):
        with account.client(digest=digest, body=body) as client:
            client.balance()
    path = "/v1/account/balance"
    assert sandbox.requests == (
        Asked("POST", path, str(account.id), "sha256", b"{}", 200),
        Asked("POST", path, str(account.id), "sha1", b"[]", 200),
    )
    assert openssl_sign(account.keys, b"{}") not in repr(sandbox.requests)


# Refusals


def refused(client: Client) -> dict[str, tuple[str, ...]]:
    with client, pytest.raises(RefusedError) as caught:
        client.balance()
    return caught.value.errors


def test_the_payment_certificate_is_refused(account: SandboxAccount) -> None:
    """Signed with the payment certificate it is refused in the words of every wrong signature."""
    assert refused(account.client(keys=account.merchant.payment_keys)) == {"sign": (UNIFORM["sign"][0],)}


def test_a_revoked_certificate_is_refused(account: SandboxAccount) -> None:
    """A certificate that was taken a moment ago is refused once it is revoked."""
    with account.client() as client:
        client.balance()
        account.merchant.revoke()
        with pytest.raises(RefusedError):
            client.balance()


def test_sha1_can_be_switched_off(account: SandboxAccount) -> None:
    """SHA-1 is taken at first, and refused when the merchant's certificate no longer allows it."""
    with account.client(digest="sha1") as client:
        client.balance()
        account.merchant.allow_sha1(allowed=False)
        with pytest.raises(RefusedError):
            client.balance()


def test_it_can_explain() -> None:
    """With `errors="explain"` a refusal names its cause."""
    with Sandbox(errors="explain") as sandbox:
        account = sandbox.account()
        (text,) = refused(account.client(keys=account.merchant.payment_keys))["sign"]
    assert "payment certificate" in text


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, archives: Callable[[str], Path]) -> Iterator[Server]:
    with shop_server(tmp_path_factory.mktemp("real"), archives) as server:
        yield server


def changed(keys: Path, body: bytes = b"{}", **headers: str | bytes | None) -> bytes:
    """A good request with some headers in place of its own; None leaves one out."""
    kept = balance_headers(keys, body) | {name.replace("_", "-"): value for name, value in headers.items()}
    return request([(name, value) for name, value in kept.items() if value is not None], body)


def bad_requests(payout: Path, payment: Path, other: Path) -> dict[str, bytes]:
    """Requests that a server must refuse, and some at the edge that it must take."""
    good = list(balance_headers(payout).items())
    large = b'"' + b"x" * 16 * 1024 + b'"'
    nested = b"[" * 5000
    return {
        "good": request(good),
        "chunked": chunked(good, b"{", b"}"),
        "sha1": request(balance_headers(payout, b"[]", "sha1").items(), b"[]"),
        "capital uuid": changed(payout, Account=PAGE_ACCOUNT.upper()),
        "no headers": request([]),
        "no account": changed(payout, Account=None),
        "empty account": changed(payout, Account=""),
        "no uuid": changed(payout, Account="{" + PAGE_ACCOUNT + "}"),
        "unknown account": changed(payout, Account="00000000-0000-4000-8000-000000000000"),
        "two accounts": request([*good, ("Account", PAGE_ACCOUNT)]),
        "account not ASCII": changed(payout, Account="ак".encode()),
        "no sign": changed(payout, Sign=None),
        "sign not base64": changed(payout, Sign="???"),
        "sign too short": changed(payout, Sign="AAAA"),
        "sign of zeros": changed(payout, Sign="A" * 342 + "=="),
        "sign twice base64": changed(payout, Sign=sign(payout, b"{}")[:-4]),
        "two signs": request([*good, ("Sign", "AAAA")]),
        "no type": changed(payout, Content_Type=None),
        "form": changed(payout, Content_Type="application/x-www-form-urlencoded"),
        "type with charset": changed(payout, Content_Type="application/json; charset=utf-8"),
        "payment certificate": request(balance_headers(payment).items()),
        "a stranger's key": request(balance_headers(other).items()),
        "another body": request(good, b"[]"),
        "no body": request(good, b""),
        "not JSON": request(balance_headers(payout, b"{").items(), b"{"),
        "nested": request(balance_headers(payout, nested).items(), nested),
        "too large": request(good, large),
        "too large, chunked": chunked(good, large),
        "GET": request(good, method="GET"),
        "HEAD": request(good, None, method="HEAD"),
        "elsewhere": request(good, path="/v1/account"),
        "with a query": request(good, path="/v1/account/balance?x=1"),
        "with a slash": request(good, path="/v1/account/balance/"),
        "health": request([], None, method="GET", path="/healthz"),
        "ready": request([], None, method="GET", path="/readyz"),
        "health by POST": request([], path="/healthz"),
        "long headers": request([*good, ("X", "x" * 8192)]),
        "many headers": request([*good, *((f"X-{number}", "x") for number in range(100))]),
    }


def talk(port: int, data: bytes, *, head_only: bool) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body; without the headers that no two answers share."""
    server = Server(f"http://127.0.0.1:{port}", None, Path())  # type: ignore[arg-type] # for its port alone
    with connect(server) as connection:
        connection.sendall(data)
        (answer,) = parse(read_all(connection), head_only=head_only)
    own = ("date", "server", "x-alikassa-sandbox", "content-length", "connection", "x-request-id")
    return answer.status, sorted(pair for pair in answer.headers if pair[0] not in own), answer.body


def test_refuses_as_the_server_does(real: Server, sandbox: Sandbox, archives: Callable[[str], Path]) -> None:
    """Every request of a table, the bad and the good, gets status, headers and body that `alikassa serve` gives it."""
    page = sandbox.account(id=PAGE_ACCOUNT)
    page.payment("1327.84")
    page.payout("1234")
    stranger = sandbox.merchant()
    ours = bad_requests(page.keys, page.merchant.payment_keys, stranger.keys)
    theirs = bad_requests(archives("payout"), archives("payment"), stranger.keys)
    port = int(sandbox.url.rpartition(":")[2])
    for name, asked in ours.items():
        head = name == "HEAD"
        assert talk(port, asked, head_only=head) == talk(real.port, theirs[name], head_only=head), name


def test_every_answer_says_that_it_is_a_sandbox(sandbox: Sandbox) -> None:
    """The header is on answers, refusals and what is no HTTP alike."""
    port = int(sandbox.url.rpartition(":")[2])
    for data in (request([]), request([], path="/"), b"no HTTP at all\r\n\r\n", request([("X", "x" * 10_000)])):
        server = Server(f"http://127.0.0.1:{port}", None, Path())  # type: ignore[arg-type] # for its port alone
        with connect(server) as connection:
            connection.sendall(data)
            (answer,) = parse(read_all(connection))
        assert answer.header("x-alikassa-sandbox") == "1"
        assert answer.status in (400, 404, 431)


def test_a_connection_goes_on_after_a_refusal(sandbox: Sandbox, account: SandboxAccount) -> None:
    """A body that was not wanted is read past: the next request on the connection is answered, as by the server."""
    good = list(balance_headers(account.keys, account=str(account.id)).items())
    server = Server(sandbox.url, None, Path())  # type: ignore[arg-type] # for its port alone
    with connect(server) as connection:
        connection.sendall(request(good, path="/elsewhere", keep_alive=True) + request(good))
        assert [answer.status for answer in parse(read_all(connection))] == [404, 200]
