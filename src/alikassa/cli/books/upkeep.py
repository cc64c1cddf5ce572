"""Upkeep of the books."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alikassa.cli.on_database import on_database
from alikassa.cli.options import DatabaseOption, JsonOption
from alikassa.cli.output import message, print_json, print_records

if TYPE_CHECKING:
    from datetime import datetime

    from alikassa.ledger.backup import Manifest

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the group."""
    app.command(epilog="Example: `alikassa books close --until 2026-02-01 --reason 'January is audited'`")(close)
    app.command(epilog="Example: `alikassa books sweep`")(sweep)
    app.command(epilog="Example: `alikassa books backup books-2026-02-01.backup`")(backup)
    app.command(epilog="Example: `alikassa books restore books-2026-02-01.backup --database sqlite:///new.db`")(restore)
    app.command("import", epilog="Example: `alikassa books import opening.csv --reference migration-2026 --dry-run`")(
        import_
    )


def close(
    until: Annotated[
        str,
        typer.Option("--until", metavar="DATE", help="The first day that stays open (UTC): 2026-02-01."),
    ],
    database: DatabaseOption,
    reference: Annotated[
        str | None, typer.Option("--reference", help="Names this event once. [default: until- and the date]")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why, for whoever reads the books.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Close a period: nothing is booked any more with effect before that day, on any account.

    Ended half-way, it goes on when the same command is given again.
    """
    from alikassa.ledger.periods import close_period

    end = _midnight(until)

    def progress(done: int, left: int) -> None:
        message(f"{done} of {left} accounts ...")

    period = on_database(
        database,
        lambda opened: close_period(
            opened, until=end, reference=reference or f"until-{until}", reason=reason, progress=progress
        ),
    )
    if as_json:
        print_json(
            {
                "reference": period.reference,
                "until": end.isoformat(),
                "accounts": period.accounts,
                "closed": period.closed,
            }
        )
    before = period.accounts - period.closed
    known = f" {before} were closed that far before." if before else ""
    message(f"Closed until {until} 00:00 UTC on {period.closed} accounts.{known}")


def sweep(database: DatabaseOption, as_json: JsonOption = False) -> None:
    """Release the held sums that are due.

    Housekeeping: due money counts as released whether or not it was swept. It keeps the first payment after a quiet
    time from having much to release.
    """
    from alikassa.ledger import sweeping

    swept = on_database(database, sweeping.sweep)
    if as_json:
        print_json({"accounts": swept.accounts, "lots": swept.lots})
    message(f"Released {swept.lots} held sums of {swept.accounts} accounts." if swept.lots else "Nothing was due.")


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV or JSON, up to 64 MiB.")],
    reference: Annotated[str, typer.Option("--reference", help="Names the import: repeated, it changes nothing.")],
    database: DatabaseOption,
    effective_at: Annotated[
        str | None, typer.Option("--effective-at", metavar="TIME", help="When the balances were so. [default: now]")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check the file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Import opening balances of a running business: all accounts of the file, or none.

    CSV, one row an item. The first line names the columns **account, item, amount, due_at, reference, fee**; the last
    three may be left out or empty. The account (a uuid) has to be open, and nothing booked on it. The items are:

    - **balance**: once an account, 0 when there is none;

    - **hold**, **rolling_reserve**: one held sum. due_at says when it is released: 2026-02-01 (its first moment in
    UTC), 2026-02-01T12:00:00Z, or empty for a sum that is released by hand. reference says what it was held from;

    - **payout**: one payout on its way to the bank, with its reference, its amount without the fee, and its fee;

    - **hold_total**, **rolling_reserve_total**, **pending_payouts_total**: if given, what the account's rows sum to.

    JSON: {"accounts": [{"account": "UUID", "balance": "93.84", "hold": "1.00", "rolling_reserve": "0",
    "pending_payouts": "0", "lots": [{"bucket": "hold", "amount": "1.00", "due_at": "2026-02-01", "source": "order-1"}],
    "payouts": [{"reference": "payout-1", "amount": "5", "fee": "0.50"}]}]}
    """
    from alikassa.clock import parse_moment
    from alikassa.ledger.imports import import_openings
    from alikassa.money import from_units

    moment = None if effective_at is None else parse_moment(effective_at, days=True)
    imported = on_database(
        database,
        lambda opened: import_openings(opened, file, reference=reference, effective_at=moment, dry_run=dry_run),
    )
    totals: list[dict[str, object]] = [
        {
            "currency": total.currency,
            "accounts": total.accounts,
            **{bucket.value: from_units(amount) for bucket, amount in total.buckets.items()},
            "lots": total.lots,
            "payouts": total.payouts,
        }
        for total in imported.totals
    ]
    if as_json:
        print_json({"totals": totals, "booked": imported.booked, "repeated": imported.repeated})
    else:
        print_records(totals, as_json=False, empty="", right=list(totals[0])[1:])
    if dry_run:
        message("The file is good. Nothing was booked.")
    else:
        again = f" {imported.repeated} had been booked before." if imported.repeated else ""
        message(f"Booked {imported.booked} opening balances.{again}")


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to: a new file, for its owner only.")],
    database: DatabaseOption,
    logical: Annotated[
        bool, typer.Option("--logical", help="From SQLite too, an archive that either engine restores.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Take the place of a file of that name.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Back the books up while they are in use: one state of them, with everything acknowledged before.

    From SQLite the backup is a copy of the database; from PostgreSQL it is an archive, which can also be restored to
    SQLite. Books that are spread over nodes have no one state that could be read: refused, with what to do instead.
    """
    from alikassa.ledger import backup as backups

    manifest = on_database(database, lambda opened: backups.backup(opened, file, logical=logical, overwrite=overwrite))
    if as_json:
        print_json(_manifest(manifest))
    rows = {name: one.rows for name, one in manifest.tables.items()}
    message(f"Wrote {file}: {rows['accounts']} accounts, {rows['journal_entries']} entries.")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `alikassa books backup` wrote.")],
    database: DatabaseOption,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup: into a SQLite file that is not there yet, or an empty PostgreSQL database.

    A damaged backup is refused, and nothing of it is kept. What was restored is verified: the exit code is 4 when the
    books are not true.
    """
    import asyncio

    from alikassa.ledger import backup as backups

    restored = asyncio.run(backups.restore(file, database))
    found = restored.verified
    if as_json:
        print_json({**_manifest(restored.manifest), "wrong": found.wrong})
    message(f"Restored {found.accounts} accounts, {found.entries} entries, {found.postings} postings.")
    if found.wrong:
        for problem in found.problems:
            message(f"  {problem}")
        message(f"error: the books are not true: {found.wrong} problems. They are as they were backed up.")
        raise typer.Exit(4)
    message("Verified: the books are true.")


def _manifest(manifest: Manifest) -> dict[str, object]:
    return {
        "revision": manifest.revision,
        "made_at": manifest.made_at.isoformat(),
        "tables": {name: one.rows for name, one in manifest.tables.items()},
    }


def _midnight(text: str) -> datetime:
    from datetime import UTC, date, datetime, time

    from alikassa.errors import InvalidInputError

    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise InvalidInputError(f"{text[:64]!r} is not a date.", remedy="Write it as 2026-02-01.")
    return datetime.combine(day, time(), UTC)
