"""Questions to the books."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from alikassa.cli.books.records import (
    amounts,
    balance_record,
    discrepancy_record,
    explanation_record,
    line_record,
    payout_record,
    schedule_record,
    statement_record,
)
from alikassa.cli.books.telling import (
    moment,
    print_discrepancies,
    print_explanation,
    print_payouts,
    print_schedule,
    print_statement,
)
from alikassa.cli.on_database import on_database
from alikassa.cli.options import (
    AccountArgument,
    DatabaseOption,
    JsonOption,
    parse_account,
)
from alikassa.cli.output import message, print_json, print_records, print_table
from alikassa.clock import parse_moment

if TYPE_CHECKING:
    from alikassa.ledger.model import Kind
    from alikassa.ledger.questions.statement import Statement

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the group."""
    app.command(epilog="Example: `alikassa books balance ACCOUNT --at 2026-01-31T12:00:00Z`")(balance)
    app.command(epilog="Example: `alikassa books statement ACCOUNT --from 2026-01-01 --to 2026-02-01 --csv`")(statement)
    app.command(epilog="Example: `alikassa books schedule ACCOUNT`")(schedule)
    app.command(epilog="Example: `alikassa books explain ACCOUNT --limit 5`")(explain)
    app.command(epilog="Example: `alikassa books payouts --state pending --older-than-hours 24`")(payouts)
    app.command(epilog="Example: `alikassa books discrepancies --account ACCOUNT --all`")(discrepancies)
    app.command("trial-balance", epilog="Example: `alikassa books trial-balance`")(trial_balance)


class StateChoice(StrEnum):
    PENDING = "pending"
    PAID = "paid"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RETURNED = "returned"


def parse_time(text: str) -> datetime:
    return parse_moment(text, days=True)


AccountOption = Annotated[
    uuid.UUID | None, typer.Option("--account", metavar="ACCOUNT", parser=parse_account, help="Only this one's.")
]
AfterOption = Annotated[
    str | None, typer.Option("--after", metavar="CURSOR", help="Go on where the answer before ended.")
]
LimitOption = Annotated[int, typer.Option("--limit", help="How many at most, 1 to 1000.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print CSV.")]


def balance(
    account: AccountArgument,
    database: DatabaseOption,
    at: Annotated[
        datetime | None,
        typer.Option("--at", metavar="TIME", parser=parse_time, help="A date or a time, past or future; now if none."),
    ] = None,
    effective: Annotated[
        bool, typer.Option("--effective", help="Count entries from when they took effect, not from when booked.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """What the four numbers were, are or will be: as they were answered then, and as far as is known."""
    from alikassa.ledger.questions.balance_at import Basis, balance_at

    by = Basis.EFFECTIVE if effective else Basis.RECORDED
    found = on_database(database, lambda opened: balance_at(opened, account, at=at, by=by))
    if as_json:
        print_json(balance_record(found))
        return
    numbers = amounts(found.buckets)
    print_table(["currency", *numbers], [[found.currency, *numbers.values()]], right=list(numbers))
    how = "By what took effect" if effective else "As answered"
    message(f"{how} by {moment(found.at)}. The last entry recorded by then is number {found.sequence}.")


def statement(
    account: AccountArgument,
    database: DatabaseOption,
    start: Annotated[
        datetime | None, typer.Option("--from", metavar="TIME", parser=parse_time, help="Recorded then or later.")
    ] = None,
    end: Annotated[
        datetime | None, typer.Option("--to", metavar="TIME", parser=parse_time, help="Recorded before then.")
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Only such entries: payment, refund ... May be repeated.")
    ] = None,
    reference: Annotated[str | None, typer.Option("--reference", help="Only entries with this reference.")] = None,
    limit: Annotated[int, typer.Option("--limit", help="How many lines at most, 1 to 1000; CSV has all.")] = 100,
    after: AfterOption = None,
    newest: Annotated[bool, typer.Option("--newest", help="The newest entry first.")] = False,
    last: Annotated[
        int | None, typer.Option("--last", metavar="N", help="Only the last N, in the order of booking.")
    ] = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """An account's entries of a period, between what it stood at before and after."""
    from alikassa.errors import InvalidInputError
    from alikassa.ledger.questions import statement as asked

    if as_csv and (as_json or after or newest or last):
        raise InvalidInputError("CSV has the whole period.", remedy="Leave out --json, --after, --newest and --last.")
    if last is not None and (after or newest):
        raise InvalidInputError("--last stands alone.", remedy="Leave out --after and --newest.")
    kinds = _kinds(kind or ())
    if as_csv:
        on_database(
            database,
            lambda opened: _print_csv(
                asked.statement_pages(opened, account, start=start, end=end, kinds=kinds, reference=reference)
            ),
        )
        return
    found = on_database(
        database,
        lambda opened: asked.statement(
            opened,
            account,
            start=start,
            end=end,
            kinds=kinds,
            reference=reference,
            after=after,
            limit=limit if last is None else last,
            newest=newest or last is not None,
        ),
    )
    if last is not None:
        found.lines.reverse()
    if as_json:
        # What `--last` shows has no next page.
        print_json(statement_record(found) | ({} if last is None else {"cursor": None}))
        return
    print_statement(found, newest=newest)
    message(f"In {found.currency}: {len(found.lines)} of the period's {found.count} entries.")
    if last is None:
        _tell_cursor(found.cursor)


def _kinds(texts: Sequence[str]) -> list[Kind]:
    from alikassa.errors import InvalidInputError
    from alikassa.ledger.model import Kind

    known = {kind.value: kind for kind in Kind}
    for text in texts:
        if text not in known:
            raise InvalidInputError(f"{text[:64]!r} is no kind of entry.", remedy=f"Write one of: {', '.join(known)}.")
    return [known[text] for text in texts]


async def _print_csv(pages: AsyncIterator[Statement]) -> None:
    """Page by page: a period may be longer than memory."""
    import csv
    import sys

    from alikassa.ledger.model import BUCKETS

    writer = csv.writer(sys.stdout, lineterminator="\n")
    names = [bucket.value for bucket in BUCKETS]
    about = ["sequence", "recorded_at", "effective_at", "kind", "reference", "reason"]
    writer.writerow([*about, *names, *(f"{name}_after" for name in names)])
    async for page in pages:
        for line in page.lines:
            record, changes, after = line_record(line), amounts(line.changes), amounts(line.balances)
            writer.writerow(
                [*(record[name] for name in about), *(changes.get(name, "") for name in names), *after.values()]
            )


def schedule(account: AccountArgument, database: DatabaseOption, as_json: JsonOption = False) -> None:
    """When held money is released, day by day."""
    from alikassa.ledger.questions import schedule as asked

    found = on_database(database, lambda opened: asked.schedule(opened, account))
    if as_json:
        print_json(schedule_record(found))
        return
    print_schedule(found)
    message(f"In {found.currency}; days are those of {found.time_zone}.")


def explain(
    account: AccountArgument,
    database: DatabaseOption,
    limit: Annotated[int, typer.Option("--limit", help="Items a number at most; the rest is summed up.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """What each of the four numbers is made up of, and until when money is held."""
    from alikassa.ledger.questions import explain as asked

    found = on_database(database, lambda opened: asked.explain(opened, account, limit=limit))
    if as_json:
        print_json(explanation_record(found))
        return
    print_explanation(found)
    message(f"As of {moment(found.at)}, after entry {found.sequence}.")


def payouts(
    database: DatabaseOption,
    account: AccountOption = None,
    state: Annotated[StateChoice | None, typer.Option("--state", help="Only payouts in this state.")] = None,
    older_than_hours: Annotated[
        float | None, typer.Option("--older-than-hours", min=0, help="Only payouts made so long ago.")
    ] = None,
    limit: LimitOption = 100,
    after: AfterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Payouts and their states, account by account."""
    from alikassa.ledger.model import PayoutState
    from alikassa.ledger.questions import payouts as asked

    page = on_database(
        database,
        lambda opened: asked.payouts(
            opened,
            account,
            state=None if state is None else PayoutState(state.value),
            older_than=_hours(older_than_hours),
            after=after,
            limit=limit,
        ),
    )
    if as_json:
        print_json({"payouts": [payout_record(one) for one in page.payouts], "cursor": page.cursor})
    elif page.payouts:
        print_payouts(page.payouts)
        _tell_cursor(page.cursor)
    else:
        message("No such payouts.")


def _hours(hours: float | None) -> timedelta | None:
    from alikassa.errors import InvalidInputError

    try:
        return None if hours is None else timedelta(hours=hours)
    except (OverflowError, ValueError):
        raise InvalidInputError(f"{hours} hours are no time.", remedy="Write a number such as 24.") from None


def discrepancies(
    database: DatabaseOption,
    account: AccountOption = None,
    every: Annotated[bool, typer.Option("--all", help="Those too that a correction has closed.")] = False,
    limit: LimitOption = 100,
    after: AfterOption = None,
    as_json: JsonOption = False,
) -> None:
    """What banks said against the final states of payouts, and nobody has settled yet."""
    from alikassa.ledger.questions import payouts as asked

    page = on_database(
        database,
        lambda opened: asked.discrepancies(opened, account, open_only=not every, after=after, limit=limit),
    )
    if as_json:
        print_json({"discrepancies": [discrepancy_record(one) for one in page.discrepancies], "cursor": page.cursor})
    elif page.discrepancies:
        print_discrepancies(page.discrepancies)
        _tell_cursor(page.cursor)
        message("Ask the bank about open ones, then settle each with: alikassa payout correct")
    else:
        message("No discrepancies.")


def _tell_cursor(cursor: str | None) -> None:
    if cursor is not None:
        message(f"Go on with: --after {cursor}")


def trial_balance(database: DatabaseOption, as_json: JsonOption = False) -> None:
    """Every bucket and system account over all accounts: each currency sums to zero."""
    from alikassa.ledger.questions import trial_balance as asked
    from alikassa.money import from_units

    found = on_database(database, asked.trial_balance)
    rows: list[dict[str, object]] = [
        {"currency": one.currency, "place": one.place.value, "total": from_units(one.total)} for one in found.rows
    ]
    print_records(rows, as_json=as_json, empty="No accounts yet.", right=["total"])
    if rows and not as_json:
        message(f"The books balance: zero in {', '.join(found.currencies)}.")
