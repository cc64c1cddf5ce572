"""Every fault that a sandbox can be told, and what the real client makes of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal

import pytest

from alikassa import (
    Balance,
    Client,
    DeadlineExceededError,
    NetworkError,
    ProtocolError,
    RateLimitedError,
    RefusedError,
    ServerError,
)
from alikassa.errors import InvalidInputError
from alikassa.testing import (
    Drifting,
    Dripping,
    Failing,
    Fault,
    OnlyDigest,
    RateLimited,
    Refused,
    Reset,
    Sandbox,
    SandboxAccount,
    Silent,
    Truncated,
)


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def sandbox(shared: Sandbox) -> Sandbox:
    shared.reset()
    return shared


@pytest.fixture
def account(sandbox: Sandbox) -> SandboxAccount:
    account = sandbox.account()
    account.payment("93.84")
    return account


@pytest.fixture
def client(account: SandboxAccount) -> Iterator[Client]:
    """A client that does not try again, so that one fault is one outcome."""
    with account.client(attempts=1, attempt_timeout=0.4, timeout=2) as client:
        yield client


def test_refused(sandbox: Sandbox, client: Client) -> None:
    """400 comes with the field and the text that were asked for."""
    with sandbox.fault(Refused(field="account", text="Frozen.")), pytest.raises(RefusedError) as caught:
        client.balance()
    assert caught.value.errors == {"account": ("Frozen.",)}


def test_rate_limited(sandbox: Sandbox, client: Client) -> None:
    """429 comes with Retry-After."""
    with sandbox.fault(RateLimited(retry_after=7)), pytest.raises(RateLimitedError) as caught:
        client.balance()
    assert caught.value.retry_after == 7


def test_the_client_waits_out_a_limit(sandbox: Sandbox, account: SandboxAccount) -> None:
    """A client that may try again waits as long as it was told, and has its balance then."""
    sandbox.fault(RateLimited(retry_after=1), times=1)
    begun = time.monotonic()
    with account.client() as client:
        assert client.balance().balance == Decimal("93.84")
    assert time.monotonic() - begun >= 1
    assert [one.status for one in sandbox.requests] == [429, 200]


@pytest.mark.parametrize("status", [500, 503])
def test_failing(sandbox: Sandbox, client: Client, status: int) -> None:
    """A 5xx is a ServerError with that status, and may be tried again."""
    with sandbox.fault(Failing(status=status)), pytest.raises(ServerError) as caught:
        client.balance()
    assert (caught.value.status, caught.value.retryable) == (status, True)


@pytest.mark.by_the_clock
@pytest.mark.parametrize("fault", [Silent(), Dripping(seconds=0.05)])
def test_late(sandbox: Sandbox, client: Client, fault: Fault) -> None:
    """No answer, and one that takes its time byte by byte, end with the attempt's time."""
    begun = time.monotonic()
    with sandbox.fault(fault), pytest.raises(NetworkError):
        client.balance()
    assert 0.3 < time.monotonic() - begun < 1.5


def test_the_whole_call_has_a_deadline(sandbox: Sandbox, account: SandboxAccount) -> None:
    """A server that never answers is given up when the call's own time is over."""
    sandbox.fault(Silent())
    with account.client(timeout=0.5) as client, pytest.raises(DeadlineExceededError):
        client.balance()


def test_a_patient_client_outlasts_a_drip(sandbox: Sandbox, account: SandboxAccount) -> None:
    """The dripping answer is whole: who waits has the true balance."""
    sandbox.fault(Dripping(seconds=0.0001))
    with account.client() as client:
        assert client.balance() == account.balance()


def test_silence_of_its_own_end(sandbox: Sandbox, client: Client) -> None:
    """A silence that ends before the client's patience is a connection closed without an answer."""
    with sandbox.fault(Silent(seconds=0.01)), pytest.raises(NetworkError):
        client.balance()
    assert sandbox.requests[-1].status == 0


def test_reset(sandbox: Sandbox, client: Client) -> None:
    """The connection is reset: the client says so, and a call that tries again succeeds."""
    with sandbox.fault(Reset()), pytest.raises(NetworkError) as caught:
        client.balance()
    assert isinstance(caught.value.__cause__, Exception)
    assert "reset" in f"{caught.value} {caught.value.__cause__}".lower()


def test_a_reset_is_survived(sandbox: Sandbox, account: SandboxAccount) -> None:
    """A client that may try again asks once more."""
    sandbox.fault(Reset(), times=1)
    with account.client() as client:
        assert client.balance() == account.balance()


def test_truncated(sandbox: Sandbox, client: Client) -> None:
    """Half a body is no JSON, and not tried again as if the network had failed."""
    with sandbox.fault(Truncated()), pytest.raises(ProtocolError, match="not JSON"):
        client.balance()


@pytest.mark.parametrize(
    ("fault", "raw"),
    [
        pytest.param(
            Drifting(numbers=True),
            b'{"currency":"RUB","balance":93.84000000,"hold":0.00000000,"rolling_reserve":0.00000000,'
            b'"pending_payouts":0.00000000}',
            id="bare numbers",
        ),
        pytest.param(
            Drifting(pending_payouts=False, decimals=2),
            b'{"currency":"RUB","balance":"93.84","hold":"0.00","rolling_reserve":"0.00"}',
            id="no pending_payouts, two decimals",
        ),
        pytest.param(
            Drifting(extra={"note": "new"}, decimals=0),
            b'{"currency":"RUB","balance":"93.84","hold":"0","rolling_reserve":"0","pending_payouts":"0","note":"new"}',
            id="another field, as few decimals as there may be",
        ),
        pytest.param(
            Drifting(decimals=10, pending_payouts=False),
            b'{"currency":"RUB","balance":"93.8400000000","hold":"0.0000000000","rolling_reserve":"0.0000000000"}',
            id="ten decimals",
        ),
    ],
)
def test_drifting(sandbox: Sandbox, account: SandboxAccount, client: Client, fault: Drifting, raw: bytes) -> None:
    """The body is of the other form, to the byte, and the client reads the same balance from it."""
    with sandbox.fault(fault):
        found = client.balance()
    assert found.raw == raw
    assert isinstance(found, Balance)
    assert (found.balance, found.hold) == (account.balance().balance, account.balance().hold)
    assert (found.pending_payouts is None) == (not fault.pending_payouts)


@pytest.mark.parametrize(("taken", "other"), [("sha1", "sha256"), ("sha256", "sha1")])
def test_only_one_digest(sandbox: Sandbox, account: SandboxAccount, taken: str, other: str) -> None:
    """A server that takes one digest answers it, refuses the other, and `digest="auto"` finds out."""
    sandbox.fault(OnlyDigest(taken))  # type: ignore[arg-type] # as it comes in JSON
    with account.client(digest=taken) as client:
        client.balance()
    with account.client(digest=other) as client, pytest.raises(RefusedError):
        client.balance()
    with account.client(digest="auto") as client:
        assert client.balance() == account.balance()


@pytest.mark.parametrize("fault", [Drifting(numbers=True), Truncated(), OnlyDigest()])
def test_a_fault_lets_nobody_in(sandbox: Sandbox, account: SandboxAccount, fault: Fault) -> None:
    """Who would be refused without the fault is not given a balance with it."""
    sandbox.fault(fault)
    stranger = sandbox.merchant()
    with account.client(keys=stranger.keys) as client, pytest.raises((RefusedError, ServerError, ProtocolError)):
        client.balance()
    assert sandbox.requests[-1].status == 400


def test_faults_of_one_account_spare_the_others(sandbox: Sandbox, account: SandboxAccount) -> None:
    """A fault for one account is met by that one alone."""
    other = sandbox.account()
    sandbox.fault(Refused(), account=account)
    with other.client() as client:
        client.balance()
    with account.client() as client, pytest.raises(RefusedError):
        client.balance()


def test_faults_come_in_order_and_end(sandbox: Sandbox, account: SandboxAccount) -> None:
    """Two faults for one request each, then the truth; the record says which was met."""
    sandbox.fault(Failing(status=500), times=1)
    sandbox.fault(Reset(), times=1)
    with account.client() as client:
        client.balance()
    assert [(one.fault, one.status) for one in sandbox.requests] == [("failing", 500), ("reset", 0), ("", 200)]
    assert sandbox.faults == []


def test_faults_can_be_cleared(sandbox: Sandbox, client: Client) -> None:
    """After clearing, the next request is answered."""
    sandbox.fault(Refused())
    sandbox.clear_faults()
    client.balance()


@pytest.mark.parametrize("fault", [Failing(status=200), RateLimited(retry_after=-1), Drifting(decimals=99), "silent"])
def test_what_is_no_fault_is_refused(sandbox: Sandbox, fault: Fault) -> None:
    """A fault that cannot be is told when it is set, not when it is met."""
    with pytest.raises(InvalidInputError):
        sandbox.fault(fault)
    with pytest.raises(InvalidInputError):
        sandbox.fault(Refused(), times=0)
