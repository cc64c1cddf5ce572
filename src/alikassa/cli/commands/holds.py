"""`alikassa hold`, `alikassa reserve`: held sums, placed and released by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from alikassa.cli.commands.booking import book
from alikassa.cli.commands.options import (
    PANEL,
    AmountOption,
    EffectiveAtOption,
    MetadataOption,
    ReferenceOption,
    WhyOption,
    parse_amount,
    parse_lot,
    parse_metadata,
)
from alikassa.cli.options import (
    AccountArgument,
    DatabaseOption,
    JsonOption,
)

__all__ = ["add_to"]

_hold = typer.Typer(help="Money held by hand, and held money released early.", no_args_is_help=True)
_reserve = typer.Typer(help="Reserved money released early.", no_args_is_help=True)

LotOption = Annotated[
    str | None, typer.Option("--lot", metavar="LOT", help="One held sum, by its entry and posting: 17.2.")
]
PaymentOption = Annotated[
    str | None, typer.Option("--payment", metavar="REFERENCE", help="What is still held of this payment.")
]
PartOption = Annotated[
    int | None,
    typer.Option("--amount", metavar="AMOUNT", parser=parse_amount, help="How much of it; left out, all of it."),
]


def add_to(app: typer.Typer) -> None:
    app.add_typer(_hold, name="hold", rich_help_panel=PANEL)
    app.add_typer(_reserve, name="reserve", rich_help_panel=PANEL)


@_hold.command(epilog="Example: `alikassa hold place ACCOUNT --amount 100 --reference risk-1 --reason 'unusual sales'`")
def place(
    account: AccountArgument,
    amount: AmountOption,
    reference: ReferenceOption,
    reason: WhyOption,
    database: DatabaseOption,
    effective_at: EffectiveAtOption = None,
    metadata: MetadataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold money of the balance until it is released by hand."""
    from alikassa.ledger.commands import HoldPlace

    command = HoldPlace(
        account=account,
        amount=amount,
        reference=reference,
        reason=reason,
        effective_at=effective_at,
        metadata=parse_metadata(metadata),
    )
    book(command, database, as_json=as_json)


@_hold.command(
    epilog="Example: `alikassa hold release ACCOUNT --hold risk-1 --reference clear-1 --reason 'sales explained'`"
)
def release(
    account: AccountArgument,
    reference: ReferenceOption,
    reason: WhyOption,
    database: DatabaseOption,
    lot: LotOption = None,
    payment: PaymentOption = None,
    hold: Annotated[
        str | None, typer.Option("--hold", metavar="REFERENCE", help="A hold that was placed by hand.")
    ] = None,
    amount: PartOption = None,
    effective_at: EffectiveAtOption = None,
    metadata: MetadataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Release held money into the balance before it is due. Say of what: --lot, --payment or --hold."""
    from alikassa.ledger.commands import HoldRelease

    command = HoldRelease(
        account=account,
        lot=None if lot is None else parse_lot(lot),
        payment=payment,
        hold=hold,
        amount=amount,
        reference=reference,
        reason=reason,
        effective_at=effective_at,
        metadata=parse_metadata(metadata),
    )
    book(command, database, as_json=as_json)


@_reserve.callback()
def reserve() -> None:
    """Reserved money released early."""


@_reserve.command(
    "release",
    epilog="Example: `alikassa reserve release ACCOUNT --payment order-17 --reference early-1 --reason 'good record'`",
)
def release_reserve(
    account: AccountArgument,
    reference: ReferenceOption,
    reason: WhyOption,
    database: DatabaseOption,
    lot: LotOption = None,
    payment: PaymentOption = None,
    amount: PartOption = None,
    effective_at: EffectiveAtOption = None,
    metadata: MetadataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Release reserved money into the balance before it is due. Say of what: --lot or --payment."""
    from alikassa.ledger.commands import ReserveRelease

    command = ReserveRelease(
        account=account,
        lot=None if lot is None else parse_lot(lot),
        payment=payment,
        amount=amount,
        reference=reference,
        reason=reason,
        effective_at=effective_at,
        metadata=parse_metadata(metadata),
    )
    book(command, database, as_json=as_json)
