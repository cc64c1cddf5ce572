"""An account's statement: on the page, as CSV, and to print; and one entry with its postings."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec
from litestar.response import Stream

from alikassa.cabinet.formats import zone_of
from alikassa.cabinet.pages.accounts import id_of
from alikassa.cabinet.routing import page
from alikassa.clock import moment_text
from alikassa.errors import InvalidInputError, NotFoundError
from alikassa.ledger.model import BUCKETS, Kind
from alikassa.ledger.questions.entry import find_entry
from alikassa.ledger.questions.policies import find_policies
from alikassa.ledger.questions.statement import MOST_LINES, statement
from alikassa.ledger.rules.checks import LONGEST_REFERENCE
from alikassa.money import from_units

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from zoneinfo import ZoneInfo

    from litestar.response import Response

    from alikassa.cabinet.visits import Visit
    from alikassa.ledger.database import Database
    from alikassa.ledger.model import Account
    from alikassa.ledger.questions.statement import Statement

__all__ = ["ROUTES"]

_LINES = 50
_PRINTED = 2000
# Where a cell begins: some spreadsheets part them at other characters than ours, whatever is quoted.
_FORMULA = re.compile(r"(^|[;|\t]\s*)(?=[=+\-@\t\r])")


class _Asked(msgspec.Struct):
    """What the form asks for; `problem` names the first field that cannot be read. Days are the account's."""

    first: date | None
    last: date | None
    kind: Kind | None
    reference: str
    after: str
    problem: str

    @classmethod
    def of(cls, visit: Visit) -> _Asked:
        given = visit.request.query_params
        problem = ""

        def read(name: str, convert: Any) -> Any:
            nonlocal problem
            text = given.get(name, "").strip()
            try:
                return convert(text) if text else None
            except ValueError:
                problem = problem or name
                return None

        first, last = read("from", date.fromisoformat), read("to", date.fromisoformat)
        kind, reference = read("kind", Kind), given.get("reference", "").strip()
        if len(reference) > LONGEST_REFERENCE or not reference.isprintable():
            reference, problem = "", problem or "reference"
        if first is not None and last is not None and last < first:
            first, last, problem = None, None, problem or "order"
        return cls(first, last, kind, reference, given.get("after", ""), problem)

    def period(self, zone: ZoneInfo) -> dict[str, Any]:
        return {
            "start": None if self.first is None else _midnight(self.first, zone),
            "end": None if self.last is None else _midnight(self.last, zone, after=True),
        }

    def chosen(self) -> dict[str, Any]:
        return {"kinds": () if self.kind is None else (self.kind,), "reference": self.reference or None}

    def query(self, **changes: str) -> str:
        """The address's part after the question mark, to ask the same again."""
        fields = {
            "from": "" if self.first is None else self.first.isoformat(),
            "to": "" if self.last is None else self.last.isoformat(),
            "kind": "" if self.kind is None else self.kind.value,
            "reference": self.reference,
        } | changes
        return urlencode({name: value for name, value in fields.items() if value})


def _midnight(day: date, zone: ZoneInfo, *, after: bool = False) -> datetime | None:
    """When a day begins in the zone, or when it is over. None where the calendar ends."""
    try:
        return datetime.combine(day + timedelta(days=after), time(), zone).astimezone(UTC)
    except OverflowError:
        return None


async def zone_of_account(database: Database, account: Account) -> ZoneInfo:
    """The time zone of its present terms; UTC without any."""
    if not account.policy:
        return zone_of("UTC")
    versions = await find_policies(database, account.id)
    return zone_of(next((one.policy.time_zone for one in versions if one.version == account.policy), "UTC"))


@page("/accounts/{account:uuid}/statement")
async def _statement(visit: Visit) -> Response[Any]:
    database = visit.office.desk.database
    account = await visit.account(id_of(visit))
    zone, asked = await zone_of_account(database, account), _Asked.of(visit)
    found = await _found(database, account, zone, asked)
    return visit.page(
        "statement.html",
        zone=zone,
        account=account,
        asked=asked,
        statement=found,
        kinds=list(Kind),
        next_query=asked.query(after=found.cursor) if found.cursor else "",
        query=asked.query(),
    )


async def _found(database: Database, account: Account, zone: ZoneInfo, asked: _Asked) -> Statement:
    """The page that was asked for; from its beginning when the cursor is of another question."""
    question = {**asked.period(zone), **asked.chosen(), "limit": _LINES, "newest": True}
    if asked.after:
        try:
            return await statement(database, account.id, after=asked.after, **question)
        except InvalidInputError:
            asked.problem = asked.problem or "after"
    return await statement(database, account.id, **question)


@page("/accounts/{account:uuid}/statement/print")
async def _print(visit: Visit) -> Response[Any]:
    database = visit.office.desk.database
    account = await visit.account(id_of(visit))
    zone, asked = await zone_of_account(database, account), _Asked.of(visit)
    lines: list[Any] = []
    found: Statement | None = None
    async for found in _pages(database, account, asked.period(zone)):
        lines += found.lines
        if len(lines) >= _PRINTED:
            break
    assert found is not None  # noqa: S101 - there is one page at least
    whole = len(lines) == found.count
    return visit.page(
        "statement_print.html",
        zone=zone,
        account=account,
        asked=asked,
        statement=found,
        lines=lines[:_PRINTED],
        whole=whole,
        head=lines[-1].entry.hash if lines and whole else None,
    )


@page("/accounts/{account:uuid}/statement.csv")
async def _csv(visit: Visit) -> Response[Any]:
    database = visit.office.desk.database
    account = await visit.account(id_of(visit))
    zone, asked = await zone_of_account(database, account), _Asked.of(visit)
    days = "-".join(one.isoformat() for one in (asked.first, asked.last) if one) or "all"
    return Stream(
        _lines(database, account, zone, asked),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="statement-{account.id}-{days}.csv"'},
    )


async def _lines(database: Database, account: Account, zone: ZoneInfo, asked: _Asked) -> AsyncIterator[bytes]:
    """Exact amounts with their eight decimals and a point, times in UTC: for programs, and for any spreadsheet."""
    names = [bucket.value for bucket in BUCKETS]
    head = ["sequence", "id", "kind", "reference", "effective_at", "recorded_at", "currency"]
    head += [f"{name}_change" for name in names] + [f"{name}_after" for name in names] + ["reason"]
    yield _row(head)
    async for part in _pages(database, account, {**asked.period(zone), **asked.chosen()}):
        text = bytearray()
        for line in part.lines:
            entry = line.entry
            text += _row(
                [
                    *(str(entry.sequence), str(entry.id), entry.kind.value, _plain(entry.reference)),
                    *(moment_text(entry.effective_at), moment_text(entry.recorded_at), account.currency),
                    *(from_units(line.changes.get(bucket, 0)) for bucket in BUCKETS),
                    *(from_units(line.balances[bucket]) for bucket in BUCKETS),
                    _plain(entry.reason),
                ]
            )
        yield bytes(text)


async def _pages(database: Database, account: Account, question: dict[str, Any]) -> AsyncIterator[Statement]:
    """Each by a read of its own: whoever stalls in the middle of a download must not hold a connection meanwhile."""
    after: str | None = None
    while True:
        found = await statement(database, account.id, after=after, limit=MOST_LINES, **question)
        yield found
        after = found.cursor
        if after is None:
            return


def _row(values: list[str]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(values)
    return buffer.getvalue().encode()


def _plain(text: str) -> str:
    """A text that a spreadsheet would take for a formula gets an apostrophe before it: others may have written it."""
    return _FORMULA.sub(r"\1'", text)


@page("/accounts/{account:uuid}/entries/{sequence:int}")
async def _entry(visit: Visit) -> Response[Any]:
    database = visit.office.desk.database
    account = await visit.account(id_of(visit))
    sequence: int = visit.request.path_params["sequence"]
    entry = await find_entry(database, account.id, sequence)
    if entry is None:
        raise NotFoundError(f"There is no entry {sequence}.")
    zone = await zone_of_account(database, account)
    return visit.page(
        "entry.html", zone=zone, account=account, entry=entry, metadata=msgspec.json.decode(entry.metadata)
    )


ROUTES = [_statement, _print, _csv, _entry]
