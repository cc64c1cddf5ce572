"""`alikassa account`: accounts and their four buckets."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from alikassa.cli.on_database import on_database
from alikassa.cli.options import DatabaseOption, JsonOption, parse_uuid
from alikassa.cli.output import message, print_id, print_json, print_records

if TYPE_CHECKING:
    from alikassa.ledger.model import Account

__all__ = ["app"]

app = typer.Typer(help="Accounts: the four numbers, and corrections by hand.", no_args_is_help=True)


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
        print_json(_record(account))
    else:
        print_id(account.id)
        message(f"Opened account {account.id} in {account.currency}.")


@app.command("list")
def list_(
    database: DatabaseOption,
    merchant: Annotated[str | None, typer.Option("--merchant", metavar="ID", help="Only this merchant's.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List accounts with their four numbers."""
    from alikassa.ledger.registry import Registry

    owner = None if merchant is None else parse_uuid(merchant, "a merchant")

    found = on_database(database, lambda opened: Registry(opened).accounts(owner))
    print_records(
        [_record(one) for one in found],
        as_json=as_json,
        empty="No accounts yet. Open one with: alikassa account open --merchant ID --currency RUB",
        right=[bucket.value for bucket in BucketChoice],
    )


@app.command(
    epilog="Example: `alikassa account adjust UUID --bucket balance --amount 93.84 --reference fix-1"
    " --reason 'opening balance'`"
)
def adjust(
    account: Annotated[str, typer.Argument(metavar="UUID", help="The account's uuid.")],
    bucket: Annotated[BucketChoice, typer.Option("--bucket", help="Which of the four numbers.")],
    amount: Annotated[str, typer.Option("--amount", help="What is added; with a minus, what is taken away.")],
    reference: Annotated[
        str, typer.Option("--reference", help="Names this event once: repeated, it is booked only once.")
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why, for whoever reads the books.")],
    database: DatabaseOption,
    as_json: JsonOption = False,
) -> None:
    """Correct one of an account's numbers by an entry against the system account for adjustments."""
    from alikassa.ledger.books import Books
    from alikassa.ledger.commands import Adjustment
    from alikassa.ledger.model import Bucket
    from alikassa.money import from_units, to_units

    command = Adjustment(
        account=parse_uuid(account, "an account"),
        bucket=Bucket(bucket.value),
        amount=to_units(amount),
        reference=reference,
        reason=reason,
    )

    booked = on_database(database, lambda opened: Books(opened).book(command))
    now = from_units(booked.account.buckets[command.bucket])
    if as_json:
        print_json(
            {
                "entry": str(booked.entry.id),
                "sequence": booked.entry.sequence,
                "repeated": booked.repeated,
                **_record(booked.account),
            }
        )
    elif booked.repeated:
        message(f"Booked before, as entry {booked.entry.sequence}; nothing changed. {bucket.value} is {now}.")
    else:
        message(f"Booked as entry {booked.entry.sequence}. {bucket.value} is now {now} {booked.account.currency}.")


def _record(account: Account) -> dict[str, object]:
    from alikassa.money import from_units

    return {
        "account": str(account.id),
        "merchant": str(account.merchant),
        "currency": account.currency,
        **{bucket.value: from_units(amount) for bucket, amount in account.buckets.items()},
    }
