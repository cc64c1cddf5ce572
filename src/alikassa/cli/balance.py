"""`alikassa balance`: ask for the balance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from alikassa.cli.connection import (
    AccountOption,
    AttemptTimeoutOption,
    BaseUrlOption,
    BodyOption,
    CaBundleOption,
    DigestOption,
    FreshOption,
    Http2Option,
    KeysOption,
    ProfileOption,
    ProxyOption,
    TimeoutOption,
    connection,
    given_options,
)
from alikassa.cli.output import Output, print_csv, print_json, print_table

if TYPE_CHECKING:
    from alikassa.protocol.messages import Balance

__all__ = ["add_to", "print_balance"]


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: `alikassa balance --account 93d5df06-996c-48c3-9847-348d6b580b80 --keys cert/payout`")(
        balance
    )


def balance(
    context: typer.Context,
    profile: ProfileOption = None,
    account: AccountOption = None,
    keys: KeysOption = None,
    base_url: BaseUrlOption = None,
    digest: DigestOption = None,
    body: BodyOption = None,
    fresh: FreshOption = None,
    timeout: TimeoutOption = None,
    attempt_timeout: AttemptTimeoutOption = None,
    ca_bundle: CaBundleOption = None,
    proxy: ProxyOption = None,
    http2: Http2Option = None,
    output: Annotated[Output, typer.Option("--output", help="Form of the output.")] = Output.TABLE,
) -> None:
    """Ask for an account's balance with a signed request.

    Sign with the payout certificate, not with the payment one. An option comes before the environment, that before
    the profile.
    """
    from alikassa.profiles.connect import open_client

    given = given_options(context)
    with open_client(connection(context, profile, given).settings) as client:
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
