"""`alikassa demo`: the whole way of one request, on this machine."""

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

# The account and the numbers of the provider's page.
ACCOUNT = "93d5df06-996c-48c3-9847-348d6b580b80"
ENTRIES = (
    ("balance", "1327.84", "demo-1", "opening balance"),
    ("balance", "-1234", "demo-2", "payout order 1 leaves the balance"),
    ("pending_payouts", "1234", "demo-3", "payout order 1 waits for the bank"),
)


def add_to(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the server running until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option("--port", help="Port of the server; 0 takes a free one.")] = 0,
) -> None:
    """Start a server with a merchant and an account, and ask it for the balance with a signed request.

    Everything is made in a temporary folder. The account stands at the numbers of the provider's page.
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
        message(f"1. A key pair for payouts, and books in {folder}/books.db: merchant, certificate, account")
        on_database(database, lambda opened: _make_books(opened, folder / "payout"), create=True)
        message("2. Journal entries that bring the account to the numbers of the page:")
        for bucket, amount, reference, reason in ENTRIES:
            message(f"     {reference}  {bucket:<16} {amount:>9}  {reason}")
        on_database(database, _book)
        message("3. The server")
        server = _start(database, port, folder / "server.log")
        try:
            url = _wait_for_url(server, folder / "server.log")
            message(f"     answers on {url}")
            message(f"4. POST {url}/v1/account/balance, signed with the payout certificate\n")
            with Client(ACCOUNT, folder / "payout", base_url=url) as client:
                found = client.balance()
            print_balance(found, Output.TABLE)
            typer.echo(found.raw.decode())
            if keep:
                message(f"\nThe server keeps running on {url}. Ask it yourself:")
                message(f"  alikassa balance --account {ACCOUNT} --keys {folder}/payout --base-url {url}")
                message("Ctrl-C stops it and removes the folder.")
                server.wait()
        except KeyboardInterrupt:
            message("Stopped.")
        finally:
            server.terminate()
            server.wait(timeout=30)


async def _make_books(database: Database, keys: Path) -> None:
    from alikassa.ledger.model import Purpose
    from alikassa.ledger.registry import Registry
    from alikassa.protocol import archive

    files = archive.generate()
    archive.write(keys, files)
    registry = Registry(database)
    merchant = await registry.add_merchant("Demo shop")
    await registry.add_certificate(merchant.id, Purpose.PAYOUT, files.public_key)
    await registry.open_account(merchant.id, "RUB", parse_uuid(ACCOUNT, "an account"))


async def _book(database: Database) -> None:
    from alikassa.ledger.books import Books
    from alikassa.ledger.commands import Adjustment
    from alikassa.ledger.model import Bucket
    from alikassa.money import to_units

    account, books = parse_uuid(ACCOUNT, "an account"), Books(database)
    for bucket, amount, reference, reason in ENTRIES:
        await books.book(Adjustment(account, Bucket(bucket), to_units(amount), reference, reason))


def _start(database: str, port: int, log: Path) -> subprocess.Popen[bytes]:
    import subprocess

    command = [sys.executable, "-m", "alikassa", "serve", "--database", database, "--port", str(port)]
    with log.open("wb") as file:
        return subprocess.Popen([*command, "--shutdown-seconds", "3"], stderr=file)  # noqa: S603 - our own command


def _wait_for_url(server: subprocess.Popen[bytes], log: Path) -> str:
    import http.client

    from alikassa.errors import ServerError

    for text in _lines(server, log):
        if '"event": "serving"' in text:
            url = str(json.loads(text)["url"])
            break
    else:
        raise ServerError(f"The server did not start:\n{log.read_text()}", status=0, retryable=False)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
            connection.request("GET", "/healthz")
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
