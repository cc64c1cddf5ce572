"""`alikassa sandbox`: a provider of one's own, for tests in any language."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from alikassa.cli.output import message

if TYPE_CHECKING:
    from alikassa.testing.account import SandboxAccount
    from alikassa.testing.sandbox import Sandbox

__all__ = ["add_to"]

_PAGE = "93d5df06-996c-48c3-9847-348d6b580b80"


class Seed(StrEnum):
    """What a sandbox begins with."""

    PAGE = "page"


class ErrorsChoice(StrEnum):
    UNIFORM = "uniform"
    EXPLAIN = "explain"


def add_to(app: typer.Typer) -> None:
    app.command(
        epilog="Examples: `alikassa sandbox --seed page` · `alikassa sandbox --port 0 --control-port 0 --tls > env`"
    )(sandbox)


def sandbox(
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port for balance requests; 0 takes a free one.")
    ] = 8080,
    control_port: Annotated[
        int, typer.Option("--control-port", min=0, max=65535, help="Port of the control API; 0 takes a free one.")
    ] = 8089,
    seed: Annotated[
        Seed | None, typer.Option("--seed", help="page: the account of the provider's page, at its numbers.")
    ] = None,
    tls: Annotated[bool, typer.Option("--tls", help="Serve over TLS, with an authority of its own.")] = False,
    errors: Annotated[
        ErrorsChoice,
        typer.Option("--errors", help="uniform: refuse in production's words; explain: tell each refusal's cause."),
    ] = ErrorsChoice.UNIFORM,
) -> None:
    """Refuse what production refuses, and keep true books, for tests. On 127.0.0.1, until Ctrl-C.

    The control API makes accounts, books payments and payouts, moves the clock and sets faults: GET / on its port
    lists what there is. Settings are printed on stdout as a shell reads them. Everything is gone at the end.
    """
    import signal
    import threading

    from alikassa.testing.control import Control
    from alikassa.testing.sandbox import Sandbox

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A terminal that closes does not end what was started with nohup.
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: ended.set())
    with Sandbox(tls=tls, port=port, errors=errors.value) as running:
        control = running.run(running.serve_beside(Control(running).answer, control_port))
        account = _seed_page(running) if seed is Seed.PAGE else None
        _tell(running, f"http://127.0.0.1:{control}", account)
        ended.wait()
    message("Stopped.")


def _seed_page(running: Sandbox) -> SandboxAccount:
    """A payment, and a payout of most of it that is not final: 93.84 is left, and 1234 is pending."""
    account = running.account("RUB", id=_PAGE)
    account.payment("1327.84", "order-1")
    account.payout("1234", "payout-1")
    return account


def _tell(running: Sandbox, control: str, account: SandboxAccount | None) -> None:
    """Settings on stdout, for a shell; on stderr what to do with them."""
    import shlex

    settings = {"ALIKASSA_BASE_URL": running.url, "ALIKASSA_CONTROL_URL": control}
    if running.ca_bundle is not None:
        settings["ALIKASSA_CA_BUNDLE"] = str(running.ca_bundle)
    if account is not None:
        settings |= {"ALIKASSA_ACCOUNT": str(account.id), "ALIKASSA_KEYS": str(account.keys)}
    for name, value in settings.items():
        typer.echo(f"{name}={shlex.quote(value)}")
    message(f"A sandbox, not production, answers on {running.url}. Control API: {control}")
    if account is None:
        message("Make an account, which answers with its uuid and the folder of its keys:")
        message(f"  curl -s -X POST {control}/accounts -H 'Content-Type: application/json' -d '{{}}'")
        asked, keys = "ACCOUNT", "FOLDER"
    else:
        message(f"The page's account is there; its archive is in {account.keys}")
        asked, keys = str(account.id), str(account.keys)
    bundle = f" --ca-bundle {running.ca_bundle}" if running.ca_bundle else ""
    message("Ask for the balance:")
    message(f"  alikassa balance --account {asked} --keys {keys} --base-url {running.url}{bundle}")
    message("Ctrl-C ends it, and its folder goes with it.")
