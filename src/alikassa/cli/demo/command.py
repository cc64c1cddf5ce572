"""The demo, step by step."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alikassa.cli.balance import print_balance
from alikassa.cli.on_database import on_database
from alikassa.cli.options import parse_uuid
from alikassa.cli.output import Output, message

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from alikassa.ledger.database import Database

__all__ = ["add_to"]

#: The account of the provider's page, and the one of a shop that trades today.
PAGE, LIVE = "93d5df06-996c-48c3-9847-348d6b580b80", "4f1c2d7e-5a0b-4c3d-9e8f-60718293a4b5"


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: `alikassa demo`")(demo)


def demo(
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Leave the server running until Ctrl-C, with the cabinet, and a login for it."),
    ] = False,
    port: Annotated[int, typer.Option("--port", help="Port of the server; 0 takes a free one.")] = 0,
) -> None:
    """Book two shops' months, start a server, and ask it for both balances with signed requests.

    Everything is made in a temporary folder. One account stands at the numbers of the provider's page, by a month of
    payments that have all been paid out but for these; another trades up to today.
    """
    import tempfile

    import alikassa.server.serve  # noqa: F401 - is it installed? Say so before anything is begun.
    from alikassa.client.sync import Client

    # Ended from outside, or with its terminal, it stops its server and removes its folder all the same.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="alikassa-demo-") as name:
        folder = Path(name)
        database = f"sqlite:///{folder / 'books.db'}"
        message(f"1. A key pair for payouts, and books in {folder}/books.db: merchant, certificate, two accounts")
        on_database(database, lambda opened: _make_books(opened, folder / "payout"), create=True)
        message("2. Two shops' months: payments under a policy, refunds, a chargeback, payouts in every state")
        booked = on_database(database, _book)
        message(f"     {booked} commands booked; what was held and fell due has come back by itself")
        message("3. The server")
        password = on_database(database, _add_users) if keep else ""
        server = _start(database, port, folder / "server.log", operator=keep)
        try:
            url = _wait_for_url(server, folder / "server.log")
            message(f"     answers on {url}")
            for title, account in (("the page's account", PAGE), ("the shop that trades today", LIVE)):
                message(f"4. POST {url}/v1/account/balance for {title}, signed with the payout certificate\n")
                with Client(account, folder / "payout", base_url=url) as client:
                    found = client.balance()
                print_balance(found, Output.TABLE)
                typer.echo(found.raw.decode())
            _ask_the_books(database)
            if keep:
                message(f"\nThe server keeps running on {url}. Ask it yourself:")
                message(f"  alikassa balance --account {LIVE} --keys {folder}/payout --base-url {url}")
                cabinet = _wait_for_url(server, folder / "server.log", "operator serving", "/operator/healthz")
                message(
                    f"The cabinet, for a browser on this machine: {cabinet.replace('127.0.0.1', 'localhost')}/cabinet/"
                )
                message(f"  as the merchant: login shop,     password {password}")
                message(f"  as the operator: login operator, password {password}")
                message("Ctrl-C stops it and removes the folder.")
                server.wait()
            else:
                message("\nalikassa demo --keep leaves the server running, and shows all of this in a browser.")
        except KeyboardInterrupt:
            message("Stopped.")
        finally:
            server.terminate()
            server.wait(timeout=30)


async def _make_books(database: Database, keys: Path) -> None:
    from alikassa import clock
    from alikassa.cli.demo.story import StoryClock, live_start, page_start
    from alikassa.ledger.model import Purpose
    from alikassa.ledger.registry import Registry
    from alikassa.protocol import archive

    files = archive.generate()
    archive.write(keys, files)
    now = clock.now()
    story = StoryClock(page_start(now))
    registry = Registry(database, story)
    merchant = await registry.add_merchant("Demo shop")
    await registry.add_certificate(merchant.id, Purpose.PAYOUT, files.public_key)
    await registry.open_account(merchant.id, "RUB", parse_uuid(PAGE, "an account"))
    story.go_to(live_start(now))
    await registry.open_account(merchant.id, "RUB", parse_uuid(LIVE, "an account"))


async def _add_users(database: Database) -> str:
    """The merchant's owner and an operator; the password that both have."""
    import secrets

    from alikassa.cabinet.passwords import Passwords
    from alikassa.cabinet.users import Role, Users
    from alikassa.ledger.registry import Registry

    password = secrets.token_urlsafe(12)
    hash_ = await Passwords().hash(password)
    merchant = (await Registry(database).merchants())[0]
    await Users(database).add("shop", Role.OWNER, hash_, merchant=merchant.id, language=_language())
    await Users(database).add("operator", Role.OPERATOR, hash_, language=_language())
    return password


def _language() -> str:
    """Of the pages: this terminal's."""
    import os

    return "ru" if (os.environ.get("LC_ALL") or os.environ.get("LANG") or "").startswith("ru") else "en"


async def _book(database: Database) -> int:
    from alikassa import clock
    from alikassa.cli.demo.story import StoryClock, live_start, page_start, tell_live, tell_page
    from alikassa.ledger.books import Books

    now = clock.now()
    story = StoryClock(page_start(now))
    told = await tell_page(Books(database, story), story, parse_uuid(PAGE, "an account"), now)
    story = StoryClock(live_start(now))
    return told + await tell_live(Books(database, story), story, parse_uuid(LIVE, "an account"), now)


def _ask_the_books(database: str) -> None:
    """Why the live shop's numbers are what they are, when what is held comes back, and what was booked last."""
    from alikassa.cli.books.telling import print_explanation, print_schedule, print_statement
    from alikassa.ledger.questions import explain, schedule, statement

    account = parse_uuid(LIVE, "an account")
    message("\n5. The shop that trades today: what its numbers are made up of (alikassa books explain)\n")
    print_explanation(on_database(database, lambda opened: explain.explain(opened, account, limit=5)))
    message("\n6. When the rest comes back, in the account's time zone (alikassa books schedule)\n")
    print_schedule(on_database(database, lambda opened: schedule.schedule(opened, account)))
    message("\n7. What was booked last (alikassa books statement --last 8)\n")
    found = on_database(database, lambda opened: statement.statement(opened, account, limit=8, newest=True))
    found.lines.reverse()
    print_statement(found)


def _start(database: str, port: int, log: Path, *, operator: bool) -> subprocess.Popen[bytes]:
    import subprocess

    beside = ["--operator-port", "0"] if operator else ["--no-operator"]
    command = [sys.executable, "-m", "alikassa", "serve", "--database", database, "--port", str(port), *beside]
    with log.open("wb") as file:
        return subprocess.Popen([*command, "--shutdown-seconds", "3"], stderr=file)  # noqa: S603 - our own command


def _wait_for_url(server: subprocess.Popen[bytes], log: Path, event: str = "serving", healthy: str = "/healthz") -> str:
    import http.client

    from alikassa.errors import ServerError

    for text in _lines(server, log):
        if f'"event": "{event}"' in text:
            url = str(json.loads(text)["url"])
            break
    else:
        raise ServerError(f"The server did not start:\n{log.read_text()}", status=0, retryable=False)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
            connection.request("GET", healthy)
            if connection.getresponse().status == 200:
                return url
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise ServerError(f"The server on {url} does not answer.", status=0)


def _lines(server: subprocess.Popen[bytes], log: Path) -> Iterator[str]:
    """The log's lines as they come, until the server ends."""
    with log.open() as file:
        while True:
            line = file.readline()
            if line:
                yield line
            elif server.poll() is not None:
                return
            else:
                time.sleep(0.02)
