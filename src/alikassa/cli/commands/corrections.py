"""`alikassa fee`, `alikassa reverse`: fees taken by hand, and what is undone. (`alikassa account adjust` is there.)"""

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
    OverdrawOption,
    ReferenceOption,
    WhyOption,
    parse_metadata,
)
from alikassa.cli.options import (
    AccountArgument,
    DatabaseOption,
    JsonOption,
)

__all__ = ["add_to"]


class ReversibleKind(StrEnum):
    ADJUSTMENT = "adjustment"
    FEE = "fee"


def add_to(app: typer.Typer) -> None:
    app.command(
        rich_help_panel=PANEL,
        epilog="Example: `alikassa fee ACCOUNT --amount 50 --reference month-1 --reason 'monthly fee'`",
    )(fee)
    app.command(
        rich_help_panel=PANEL,
        epilog="Example: `alikassa reverse ACCOUNT --kind fee --of month-1 --reference undo-1 --reason 'taken twice'`",
    )(reverse)


def fee(
    account: AccountArgument,
    amount: AmountOption,
    reference: ReferenceOption,
    reason: WhyOption,
    database: DatabaseOption,
    overdraw: OverdrawOption = False,
    effective_at: EffectiveAtOption = None,
    metadata: MetadataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a fee from the balance."""
    from alikassa.ledger.commands import Fee

    command = Fee(
        account=account,
        amount=amount,
        reference=reference,
        reason=reason,
        overdraw=overdraw,
        effective_at=effective_at,
        metadata=parse_metadata(metadata),
    )
    book(command, database, as_json=as_json)


def reverse(
    account: AccountArgument,
    kind: Annotated[ReversibleKind, typer.Option("--kind", help="What kind of entry is undone.")],
    of: Annotated[str, typer.Option("--of", metavar="REFERENCE", help="The reference of that entry.")],
    reference: ReferenceOption,
    reason: WhyOption,
    database: DatabaseOption,
    effective_at: EffectiveAtOption = None,
    metadata: MetadataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Undo an adjustment or a fee, once: by an entry with the opposite amounts. The first entry stays."""
    from alikassa.ledger.commands import Reversal
    from alikassa.ledger.model import Kind

    command = Reversal(
        account=account,
        of_kind=Kind(kind.value),
        of=of,
        reference=reference,
        reason=reason,
        effective_at=effective_at,
        metadata=parse_metadata(metadata),
    )
    book(command, database, as_json=as_json)
