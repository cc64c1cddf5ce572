"""What can be asked of the control API: one entry a route, each a few lines over the sandbox."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from alikassa.clock import moment_text
from alikassa.errors import NotFoundError
from alikassa.protocol.archive import PASSPHRASE, PRIVATE, PUBLIC
from alikassa.testing import control_bodies as bodies

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable

    from alikassa.testing.account import Merchant, SandboxAccount
    from alikassa.testing.sandbox import Sandbox

__all__ = ["ROUTES", "Call", "Route", "Zip"]


@dataclass(frozen=True)
class Call:
    """One call: the sandbox, what stands in the path in place of {...}, and the body, read as the route says."""

    sandbox: Sandbox
    names: tuple[str, ...]
    body: Any

    @property
    def account(self) -> SandboxAccount:
        wanted = self.names[0].lower()
        for account in self.sandbox.accounts:
            if str(account.id) == wanted:
                return account
        raise NotFoundError(f"There is no account {wanted[:64]}.", remedy="List them: GET /accounts")


@dataclass(frozen=True)
class Zip:
    """An answer that is no JSON."""

    content: bytes


@dataclass(frozen=True)
class Route:
    """`path` has {...} in place of names; `body` is the shape that is taken, None for none."""

    method: str
    path: str
    about: str
    run: Callable[[Call], object]
    body: type[msgspec.Struct] | None = None


def _add_merchant(call: Call) -> object:
    merchant = call.sandbox.merchant(call.body.name)
    return bodies.TellMerchant(merchant.id, str(merchant.keys))


def _open_account(call: Call) -> object:
    body: bodies.NewAccount = call.body
    merchant = _merchant(call.sandbox, body.merchant) if body.merchant else None
    return _tell(call.sandbox, call.sandbox.account(body.currency, id=body.id, merchant=merchant))


def _merchant(sandbox: Sandbox, wanted: uuid.UUID) -> Merchant:
    for merchant in sandbox.merchants:
        if merchant.id == wanted:
            return merchant
    raise NotFoundError(f"There is no merchant {wanted}.", remedy="Make one: POST /merchants")


def _tell(sandbox: Sandbox, account: SandboxAccount) -> bodies.TellAccount:
    bundle = str(sandbox.ca_bundle) if sandbox.ca_bundle else None
    return bodies.TellAccount(account.id, account.currency, account.merchant.id, str(account.keys), sandbox.url, bundle)


def _archive(call: Call) -> Zip:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in (PRIVATE, PASSPHRASE, PUBLIC):
            archive.write(call.account.keys / name, name)
    return Zip(content.getvalue())


def _balance(call: Call) -> object:
    return msgspec.Raw(call.account.balance().raw)


def _named(book: Callable[[SandboxAccount, Any], str]) -> Callable[[Call], object]:
    return lambda call: bodies.TellReference(book(call.account, call.body))


def _callback(book: Callable[[SandboxAccount, str], str]) -> Callable[[Call], object]:
    return lambda call: bodies.TellReference(book(call.account, call.names[1]))


def _advance(call: Call) -> object:
    body: bodies.Advance = call.body
    now = call.sandbox.advance(days=body.days, hours=body.hours, minutes=body.minutes, seconds=body.seconds)
    return bodies.TellClock(moment_text(now))


def _set_fault(call: Call) -> object:
    body: bodies.SetFault = call.body
    active = call.sandbox.fault(body.fault, times=body.times, account=body.account)
    return bodies.TellFault(active.fault, active.left, active.account)


def _nothing(do: Callable[[Sandbox], object]) -> Callable[[Call], object]:
    def run(call: Call) -> object:
        do(call.sandbox)
        return None

    return run


_OF = "/accounts/{account}"
ROUTES: tuple[Route, ...] = (
    Route("POST", "/merchants", "a merchant with a payout certificate", _add_merchant, bodies.NewMerchant),
    Route("POST", "/accounts", "an account; without a merchant, of a new one", _open_account, bodies.NewAccount),
    Route("GET", "/accounts", "all accounts", lambda call: [_tell(call.sandbox, one) for one in call.sandbox.accounts]),
    Route("GET", f"{_OF}/balance", "the four numbers, from the books themselves", _balance),
    Route("GET", f"{_OF}/archive", "private.pem, password.txt and public.pem, as a zip", _archive),
    Route(
        "POST",
        f"{_OF}/policy",
        "terms, for payments from now on",
        _named(lambda account, body: account.policy(**msgspec.structs.asdict(body))),
        bodies.Terms,
    ),
    Route(
        "POST",
        f"{_OF}/payments",
        "a customer paid",
        _named(lambda account, body: account.payment(body.amount, body.reference)),
        bodies.AmountOf,
    ),
    Route(
        "POST",
        f"{_OF}/refunds",
        "a payment, or a part of it, goes back",
        _named(lambda account, body: account.refund(body.payment, body.amount, body.reference)),
        bodies.OfPayment,
    ),
    Route(
        "POST",
        f"{_OF}/chargebacks",
        "the customer's bank takes it back",
        _named(lambda account, body: account.chargeback(body.payment, body.amount, body.reference)),
        bodies.OfPayment,
    ),
    Route(
        "POST",
        f"{_OF}/holds",
        "hold a part of the balance",
        _named(lambda account, body: account.hold(body.amount, body.reference)),
        bodies.AmountOf,
    ),
    Route(
        "POST",
        f"{_OF}/payouts",
        "send money to the merchant's bank",
        _named(lambda account, body: account.payout(body.amount, body.reference, fee=body.fee)),
        bodies.Payout,
    ),
    *(
        Route("POST", f"{_OF}/payouts/{{reference}}/{name}", about, _callback(book))
        for name, about, book in (
            ("paid", "the bank paid it", lambda account, payout: account.payout_paid(payout)),
            ("fail", "the bank did not pay", lambda account, payout: account.payout_fail(payout)),
            ("cancel", "it was stopped", lambda account, payout: account.payout_cancel(payout)),
            ("return", "paid, it came back", lambda account, payout: account.payout_return(payout)),
        )
    ),
    Route("GET", "/clock", "what time it is here", lambda call: bodies.TellClock(moment_text(call.sandbox.now()))),
    Route("POST", "/clock", "move the clock forward", _advance, bodies.Advance),
    Route("POST", "/faults", "do this wrong from now on", _set_fault, bodies.SetFault),
    Route(
        "GET",
        "/faults",
        "the faults that are set, the next one first",
        lambda call: [bodies.TellFault(one.fault, one.left, one.account) for one in call.sandbox.faults],
    ),
    Route("DELETE", "/faults", "clear all faults", _nothing(lambda sandbox: sandbox.clear_faults())),
    Route(
        "GET",
        "/requests",
        "the last 1,000 balance requests, without Sign; `body` is base64",
        lambda call: list(call.sandbox.requests),
    ),
    Route("DELETE", "/requests", "forget them", _nothing(lambda sandbox: sandbox.clear_requests())),
    Route("POST", "/reset", "begin anew, with nothing", _nothing(lambda sandbox: sandbox.reset())),
)
