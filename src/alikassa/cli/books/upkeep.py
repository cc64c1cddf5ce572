"""Upkeep of the books."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from alikassa.cli.on_database import on_database
from alikassa.cli.options import DatabaseOption, JsonOption
from alikassa.cli.output import message, print_json

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the group."""
    app.command(epilog="Example: `alikassa books close --until 2026-02-01 --reason 'January is audited'`")(close)
    app.command()(sweep)


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
