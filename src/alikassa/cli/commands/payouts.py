"""`alikassa payout`: money on its way to the merchant's bank, and what the bank says of it."""

from __future__ import annotations

from enum import StrEnum
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
    WhyOption,
    parse_amount,
    parse_metadata,
)
from alikassa.cli.options import (
    AccountArgument,
    DatabaseOption,
    JsonOption,
)

__all__ = ["add_to"]

_payout = typer.Typer(help="Payouts to the merchant's bank, and what the bank says of them.", no_args_is_help=True)


class FinalState(StrEnum):
    """What a payout is corrected into."""

    PAID = "paid"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RETURNED = "returned"


FeeOption = Annotated[
    int | None,
    typer.Option("--fee", metavar="AMOUNT", parser=parse_amount, help="Taken from the balance beside the amount."),
]
PayoutArgument = Annotated[str, typer.Argument(metavar="REFERENCE", help="The payout's reference.")]


def add_to(app: typer.Typer) -> None:
    app.add_typer(_payout, name="payout", rich_help_panel=PANEL)


@_payout.command(epilog="Example: `alikassa payout create ACCOUNT --amount 500 --fee 5 --reference bank-1`")
def create(
    account: AccountArgument,
    amount: AmountOption,
    reference: ReferenceOption,
    database: DatabaseOption,
    fee: FeeOption = None,
    reason: ReasonOption = "",
    effective_at: EffectiveAtOption = None,
    metadata: MetadataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send money to the merchant's bank: it leaves the balance now, and is pending until the bank has spoken."""
    from alikassa.ledger.commands import PayoutCreate

    command = PayoutCreate(
        account=account,
        amount=amount,
        fee=fee or 0,
        reference=reference,
        reason=reason,
        effective_at=effective_at,
        metadata=parse_metadata(metadata),
    )
    book(command, database, as_json=as_json)


@_payout.command(epilog="Example: `alikassa payout paid ACCOUNT bank-1`")
def paid(
    account: AccountArgument,
    reference: PayoutArgument,
    database: DatabaseOption,
    reason: ReasonOption = "",
    effective_at: EffectiveAtOption = None,
    metadata: MetadataOption = None,
    as_json: JsonOption = False,
) -> None:
    """The bank has paid it: it is pending no more."""
    from alikassa.ledger.commands import PayoutPaid

    command = PayoutPaid(
        account=account,
        reference=reference,
        reason=reason,
        effective_at=effective_at,
        metadata=parse_metadata(metadata),
    )
    book(command, database, as_json=as_json)


@_payout.command(epilog="Example: `alikassa payout fail ACCOUNT bank-1 --reason 'account unknown to the bank'`")
def fail(
    account: AccountArgument,
    reference: PayoutArgument,
    database: DatabaseOption,
    reason: ReasonOption = "",
    effective_at: EffectiveAtOption = None,
    metadata: MetadataOption = None,
    as_json: JsonOption = False,
) -> None:
    """The bank did not pay it: amount and fee are in the balance again at once."""
    from alikassa.ledger.commands import PayoutFail

    command = PayoutFail(
        account=account,
        reference=reference,
        reason=reason,
        effective_at=effective_at,
        metadata=parse_metadata(metadata),
    )
    book(command, database, as_json=as_json)


@_payout.command(epilog="Example: `alikassa payout cancel ACCOUNT bank-1 --reason 'asked for by the merchant'`")
def cancel(
    account: AccountArgument,
    reference: PayoutArgument,
    database: DatabaseOption,
    reason: ReasonOption = "",
    effective_at: EffectiveAtOption = None,
    metadata: MetadataOption = None,
    as_json: JsonOption = False,
) -> None:
    """It was stopped before the bank paid it: amount and fee are in the balance again at once.

    Never cancel because the bank is silent: it may still pay.
    """
    from alikassa.ledger.commands import PayoutCancel

    command = PayoutCancel(
        account=account,
        reference=reference,
        reason=reason,
        effective_at=effective_at,
        metadata=parse_metadata(metadata),
    )
    book(command, database, as_json=as_json)


@_payout.command("return", epilog="Example: `alikassa payout return ACCOUNT bank-1 --reason 'account closed'`")
def return_(
    account: AccountArgument,
    reference: PayoutArgument,
    database: DatabaseOption,
    reason: ReasonOption = "",
    effective_at: EffectiveAtOption = None,
    metadata: MetadataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Paid, it came back: the amount is in the balance again, the fee is kept."""
    from alikassa.ledger.commands import PayoutReturn

    command = PayoutReturn(
        account=account,
        reference=reference,
        reason=reason,
        effective_at=effective_at,
        metadata=parse_metadata(metadata),
    )
    book(command, database, as_json=as_json)


@_payout.command(
    epilog="Example: `alikassa payout correct ACCOUNT bank-1 --to paid --reference fix-1 --reason 'bank statement'`"
)
def correct(
    account: AccountArgument,
    payout: Annotated[str, typer.Argument(metavar="PAYOUT", help="The payout's reference.")],
    to: Annotated[FinalState, typer.Option("--to", help="The state that it truly has.")],
    reference: ReferenceOption,
    reason: WhyOption,
    database: DatabaseOption,
    effective_at: EffectiveAtOption = None,
    metadata: MetadataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a payout that is final into the final state that it truly has, and close its discrepancies.

    This may take the balance below zero: the bank has paid, and the books say so.
    """
    from alikassa.ledger.commands import PayoutCorrect
    from alikassa.ledger.model import PayoutState

    command = PayoutCorrect(
        account=account,
        payout=payout,
        to=PayoutState(to.value),
        reference=reference,
        reason=reason,
        effective_at=effective_at,
        metadata=parse_metadata(metadata),
    )
    book(command, database, as_json=as_json)
