"""`alikassa payment`, `refund`, `chargeback`, `chargeback-reversal`: money from customers, and back to them."""

from __future__ import annotations

from typing import Annotated

import typer

from alikassa.cli.commands.booking import book
from alikassa.cli.commands.options import (
    PANEL,
    AmountOption,
    EffectiveAtOption,
    MetadataOption,
    ReasonOption,
    ReferenceOption,
    parse_metadata,
)
from alikassa.cli.options import (
    AccountArgument,
    DatabaseOption,
    JsonOption,
)

__all__ = ["add_to"]

PaymentOption = Annotated[str, typer.Option("--payment", metavar="REFERENCE", help="The payment's reference.")]

_payment = typer.Typer(help="What customers paid.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    app.add_typer(_payment, name="payment", rich_help_panel=PANEL)
    app.command(
        rich_help_panel=PANEL,
        epilog="Example: `alikassa refund ACCOUNT --payment order-17 --amount 300 --reference refund-1`",
    )(refund)
    app.command(
        rich_help_panel=PANEL,
        epilog="Example: `alikassa chargeback ACCOUNT --payment order-17 --amount 700 --reference dispute-1`",
    )(chargeback)
    app.command(
        rich_help_panel=PANEL,
        epilog="Example: `alikassa chargeback-reversal ACCOUNT --chargeback dispute-1 --reference won-1`",
    )(chargeback_reversal)


@_payment.callback()
def payment() -> None:
    """What customers paid."""


@_payment.command(epilog="Example: `alikassa payment record ACCOUNT --amount 1000 --reference order-17`")
def record(
    account: AccountArgument,
    amount: AmountOption,
    reference: ReferenceOption,
    database: DatabaseOption,
    reason: ReasonOption = "",
    effective_at: EffectiveAtOption = None,
    metadata: MetadataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Book what a customer paid: fee, reserve and hold are taken by the account's policy, the rest may be spent.

    The reserve and the hold come back by themselves when they are due.
    """
    from alikassa.ledger.commands import Payment

    command = Payment(
        account=account,
        amount=amount,
        reference=reference,
        reason=reason,
        effective_at=effective_at,
        metadata=parse_metadata(metadata),
    )
    book(command, database, as_json=as_json)


def refund(
    account: AccountArgument,
    payment: PaymentOption,
    amount: AmountOption,
    reference: ReferenceOption,
    database: DatabaseOption,
    reason: ReasonOption = "",
    effective_at: EffectiveAtOption = None,
    metadata: MetadataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give money of a payment back: from what is held of it, hold first, then reserve, then from the balance.

    Refused when these are short. The fee is kept.
    """
    from alikassa.ledger.commands import Refund

    command = Refund(
        account=account,
        payment=payment,
        amount=amount,
        reference=reference,
        reason=reason,
        effective_at=effective_at,
        metadata=parse_metadata(metadata),
    )
    book(command, database, as_json=as_json)


def chargeback(
    account: AccountArgument,
    payment: PaymentOption,
    amount: AmountOption,
    reference: ReferenceOption,
    database: DatabaseOption,
    reason: ReasonOption = "",
    effective_at: EffectiveAtOption = None,
    metadata: MetadataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Book what the customer's bank took back of a payment. Never refused for lack of money.

    It is taken from what is held of the payment, then from the balance, then from the oldest reserves; what is still
    missing, the balance owes.
    """
    from alikassa.ledger.commands import Chargeback

    command = Chargeback(
        account=account,
        payment=payment,
        amount=amount,
        reference=reference,
        reason=reason,
        effective_at=effective_at,
        metadata=parse_metadata(metadata),
    )
    book(command, database, as_json=as_json)


def chargeback_reversal(
    account: AccountArgument,
    chargeback: Annotated[
        str, typer.Option("--chargeback", metavar="REFERENCE", help="The reference of the chargeback that was won.")
    ],
    reference: ReferenceOption,
    database: DatabaseOption,
    reason: ReasonOption = "",
    effective_at: EffectiveAtOption = None,
    metadata: MetadataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Book that a chargeback was won: its whole amount comes back into the balance."""
    from alikassa.ledger.commands import ChargebackReversal

    command = ChargebackReversal(
        account=account,
        chargeback=chargeback,
        reference=reference,
        reason=reason,
        effective_at=effective_at,
        metadata=parse_metadata(metadata),
    )
    book(command, database, as_json=as_json)
