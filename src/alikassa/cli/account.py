"""`alikassa account`: accounts, their state and their four buckets."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from alikassa.cli.commands.booking import book
from alikassa.cli.commands.options import (
    EffectiveAtOption,
    MetadataOption,
    OverdrawOption,
    ReferenceOption,
    WhyOption,
    parse_amount,
    parse_metadata,
)
from alikassa.cli.commands.records import account_record
from alikassa.cli.on_database import on_database
from alikassa.cli.options import (
    AccountArgument,
    DatabaseOption,
    JsonOption,
    parse_uuid,
)
from alikassa.cli.output import message, print_id, print_json, print_records

if TYPE_CHECKING:
    from alikassa.ledger.model import Account

__all__ = ["app"]

app = typer.Typer(help="Accounts: their four numbers, their state, and corrections by hand.", no_args_is_help=True)


def _setting_record(account: Account) -> dict[str, object]:
    return {**account_record(account), "requires_fresh": account.requires_fresh}


class BucketChoice(StrEnum):
    BALANCE = "balance"
    HOLD = "hold"
    ROLLING_RESERVE = "rolling_reserve"
    PENDING_PAYOUTS = "pending_payouts"


@app.command("open", epilog="Example: `alikassa account open --merchant ID --currency RUB`")
def open_(
    merchant: Annotated[str, typer.Option("--merchant", metavar="ID", help="Whose account it is.")],
    currency: Annotated[str, typer.Option("--currency", help="Its currency, such as RUB.")],
    database: DatabaseOption,
    uuid: Annotated[str | None, typer.Option("--uuid", help="Its uuid, when it is to have a certain one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Open an account with nothing on it."""
    from alikassa.ledger.registry import Registry

    owner = parse_uuid(merchant, "a merchant")
    id_ = None if uuid is None else parse_uuid(uuid, "an account")

    account = on_database(database, lambda opened: Registry(opened).open_account(owner, currency, id_))
    if as_json:
        print_json(account_record(account))
    else:
        print_id(account.id)
        message(f"Opened account {account.id} in {account.currency}.")


@app.command("list", epilog="Example: `alikassa account list --json`")
def list_(
    database: DatabaseOption,
    merchant: Annotated[str | None, typer.Option("--merchant", metavar="ID", help="Only this merchant's.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List accounts with their state and their four numbers."""
    from alikassa.ledger.questions.accounts import find_accounts

    owner = None if merchant is None else parse_uuid(merchant, "a merchant")

    found = on_database(database, lambda opened: find_accounts(opened, owner))
    print_records(
        [_setting_record(one) for one in found],
        as_json=as_json,
        empty="No accounts yet. Open one with: alikassa account open --merchant ID --currency RUB",
        right=[bucket.value for bucket in BucketChoice],
    )


@app.command(epilog="Example: `alikassa account fresh ACCOUNT --require`")
def fresh(
    account: AccountArgument,
    require: Annotated[
        bool, typer.Option("--require/--allow", help="Take only requests that are good once, or any signed request.")
    ],
    database: DatabaseOption,
    as_json: JsonOption = False,
) -> None:
    """Take only signed requests that are good once: with account, timestamp and nonce in the signed body.

    Such a stamp is checked wherever there is one. The page's own programs send none, and are refused where it is
    required.
    """
    from alikassa.ledger.registry import Registry

    changed = on_database(database, lambda opened: Registry(opened).require_fresh(account, required=require))
    if as_json:
        print_json(_setting_record(changed))
    else:
        kind = "only requests that are good once" if changed.requires_fresh else "any signed request"
        message(f"Account {changed.id} takes {kind}.")


@app.command(
    epilog="Example: `alikassa account adjust ACCOUNT --bucket balance --amount 93.84 --reference fix-1"
    " --reason 'opening balance'`"
)
def adjust(
    account: AccountArgument,
    bucket: Annotated[BucketChoice, typer.Option("--bucket", help="Which of the four numbers.")],
    amount: Annotated[
        int,
        typer.Option(
            "--amount",
            metavar="AMOUNT",
            parser=parse_amount,
            help="What is added; with a minus, what is taken away.",
        ),
    ],
    reference: ReferenceOption,
    reason: WhyOption,
    database: DatabaseOption,
    overdraw: OverdrawOption = False,
    effective_at: EffectiveAtOption = None,
    metadata: MetadataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Correct one of an account's numbers by an entry against the system account for adjustments.

    In hold and rolling_reserve this makes a held sum that only hands release, or draws on held sums; in
    pending_payouts it makes a payout by hand, or draws on those.
    """
    from alikassa.ledger.commands import Adjustment
    from alikassa.ledger.model import Bucket

    command = Adjustment(
        account=account,
        bucket=Bucket(bucket.value),
        amount=amount,
        reference=reference,
        reason=reason,
        overdraw=overdraw,
        effective_at=effective_at,
        metadata=parse_metadata(metadata),
    )
    book(command, database, as_json=as_json)


@app.command(epilog="Example: `alikassa account freeze ACCOUNT --reference risk-1 --reason 'sales under review'`")
def freeze(
    account: AccountArgument,
    reference: ReferenceOption,
    reason: WhyOption,
    database: DatabaseOption,
    effective_at: EffectiveAtOption = None,
    metadata: MetadataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take no new payouts and no early releases until the account is unfrozen. All else goes on."""
    from alikassa.ledger.commands import Freeze

    command = Freeze(
        account=account,
        reference=reference,
        reason=reason,
        effective_at=effective_at,
        metadata=parse_metadata(metadata),
    )
    book(command, database, as_json=as_json)


@app.command(epilog="Example: `alikassa account unfreeze ACCOUNT --reference risk-2 --reason 'review ended'`")
def unfreeze(
    account: AccountArgument,
    reference: ReferenceOption,
    reason: WhyOption,
    database: DatabaseOption,
    effective_at: EffectiveAtOption = None,
    metadata: MetadataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take payouts and early releases again."""
    from alikassa.ledger.commands import Unfreeze

    command = Unfreeze(
        account=account,
        reference=reference,
        reason=reason,
        effective_at=effective_at,
        metadata=parse_metadata(metadata),
    )
    book(command, database, as_json=as_json)


@app.command(epilog="Example: `alikassa account close ACCOUNT --reference end-1 --reason 'contract ended'`")
def close(
    account: AccountArgument,
    reference: ReferenceOption,
    reason: WhyOption,
    database: DatabaseOption,
    effective_at: EffectiveAtOption = None,
    metadata: MetadataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close an account on which nothing is left. It takes only what banks send all the same, and corrections."""
    from alikassa.ledger.commands import CloseAccount

    command = CloseAccount(
        account=account,
        reference=reference,
        reason=reason,
        effective_at=effective_at,
        metadata=parse_metadata(metadata),
    )
    book(command, database, as_json=as_json)
