"""`alikassa balance`: ask for the balance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alikassa.cli.options import DigestChoice, KeysOption, parse_uuid
from alikassa.cli.output import Output, print_csv, print_json, print_table

if TYPE_CHECKING:
    from alikassa.protocol.messages import Balance

__all__ = ["add_to", "print_balance"]


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: `alikassa balance --account 93d5df06-996c-48c3-9847-348d6b580b80 --keys cert/payout`")(
        balance
    )


def balance(
    account: Annotated[
        str, typer.Option("--account", envvar="ALIKASSA_ACCOUNT", metavar="UUID", help="The account's uuid.")
    ],
    keys: KeysOption,
    base_url: Annotated[
        str, typer.Option("--base-url", envvar="ALIKASSA_BASE_URL", metavar="URL", help="The server's address.")
    ] = "https://api-merchant.alikassa.com",
    digest: Annotated[
        DigestChoice, typer.Option("--digest", envvar="ALIKASSA_DIGEST", help="The digest under the signature.")
    ] = DigestChoice.SHA256,
    body: Annotated[str, typer.Option("--body", help="The signed body: {}, [] or null.")] = "{}",
    timeout: Annotated[float, typer.Option("--timeout", help="For the whole call with its retries, in seconds.")] = 30,
    ca_bundle: Annotated[
        Path | None,
        typer.Option(
            "--ca-bundle", envvar="ALIKASSA_CA_BUNDLE", help="PEM file to trust instead of the system's store."
        ),
    ] = None,
    proxy: Annotated[
        str | None, typer.Option("--proxy", metavar="URL", help="Instead of what HTTPS_PROXY says.")
    ] = None,
    output: Annotated[Output, typer.Option("--output", help="Form of the output.")] = Output.TABLE,
) -> None:
    """Ask for an account's balance with a signed request.

    Sign with the payout certificate, not with the payment one. Options may come from the environment:
    ALIKASSA_ACCOUNT, ALIKASSA_KEYS, ALIKASSA_BASE_URL, ALIKASSA_DIGEST, ALIKASSA_CA_BUNDLE.
    """
    from alikassa.client.sync import Client

    with Client(
        parse_uuid(account, "an account"),
        keys,
        base_url=base_url,
        digest=digest.value,
        body=body,
        timeout=timeout,
        ca_bundle=ca_bundle,
        proxy=proxy,
    ) as client:
        print_balance(client.balance(), output)


def print_balance(found: Balance, output: Output) -> None:
    """The five fields, amounts as exactly as they came."""
    amounts = {
        name: None if amount is None else format(amount, "f")
        for name, amount in (
            ("balance", found.balance),
            ("hold", found.hold),
            ("rolling_reserve", found.rolling_reserve),
            ("pending_payouts", found.pending_payouts),
        )
    }
    fields = {"currency": found.currency, **amounts}
    if output is Output.JSON:
        print_json(fields)
        return
    row = ["" if value is None else value for value in fields.values()]
    if output is Output.CSV:
        print_csv(list(fields), [row])
    else:
        print_table(list(fields), [row], right=list(amounts))
