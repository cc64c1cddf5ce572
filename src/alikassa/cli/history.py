"""`alikassa history`: what was seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alikassa.cli.output import Output, message, print_csv, print_table
from alikassa.cli.watch import HistoryOption

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from alikassa.monitor.snapshots import Snapshot

__all__ = ["add_to"]

_LONGEST_TABLE = 1000
_TIMES = "A date or a time with its zone, or a span back from now: 2026-01-31, 2026-01-31T12:00:00Z, 7d."


def add_to(app: typer.Typer) -> None:
    app.command(
        epilog="Examples: `alikassa history shop --since 7d`, `alikassa history --output csv > history.csv`,"
        " `alikassa history shop --png shop.png`"
    )(history)


def history(
    profile: Annotated[str | None, typer.Argument(metavar="[PROFILE]", help="A profile. [default: all]")] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help=f"From this time on. {_TIMES}")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Before this time, as --since.")] = None,
    output: Annotated[Output, typer.Option("--output", help="Form of the output.")] = Output.TABLE,
    png: Annotated[
        Path | None, typer.Option("--png", metavar="FILE", help="Draw one profile's four numbers (extra: plots).")
    ] = None,
    size: Annotated[str, typer.Option("--size", metavar="WxH", help="Of the picture, in pixels.")] = "1200x700",
    file: HistoryOption = None,
) -> None:
    """Print, export or draw the balances that `alikassa watch` and `alikassa exporter` have seen."""
    from alikassa.monitor.history import History, default_history

    first, last = (None if text is None else _moment(text) for text in (since, until))
    with History(file or default_history(), create=False) as opened:
        if png is not None:
            from alikassa.monitor.plot import draw, parse_size

            draw(opened.between(profile, first, last), png, parse_size(size))
            message(f"Drawn: {png}")
        else:
            newest = _LONGEST_TABLE + 1 if output is Output.TABLE else None
            _print(opened.between(profile, first, last, newest=newest), output)


def _moment(text: str) -> datetime:
    from alikassa import clock
    from alikassa.errors import InvalidInputError
    from alikassa.monitor.durations import parse_duration

    try:
        return clock.now() - parse_duration(text)
    except InvalidInputError:
        return clock.parse_moment(text, days=True)


def _print(found: Iterable[Snapshot], output: Output) -> None:
    from alikassa.monitor.records import COLUMNS, record

    records = (record(snapshot) for snapshot in found)
    if output is Output.JSON:
        _print_array(records)
        return
    rows: Iterator[list[str]] = (
        ["" if value is None else str(value) for value in fields.values()] for fields in records
    )
    if output is Output.CSV:
        print_csv(COLUMNS, ([*row[:-1], _harmless(row[-1])] for row in rows))
        return
    table = list(rows)
    if len(table) > _LONGEST_TABLE:
        table = table[1:]
        message(f"The last {_LONGEST_TABLE}; for more give --until, or --output csv or json.")
    if table:
        print_table(COLUMNS, table, right=COLUMNS[4:9])
    else:
        message("Nothing was seen of that in that time. Look with: alikassa watch")


def _harmless(text: str) -> str:
    """A server's words as a cell: a spreadsheet takes some beginnings for a formula, and runs it."""
    return f"'{text}" if text.lstrip()[:1] in {"=", "+", "-", "@"} else text


def _print_array(records: Iterable[dict[str, object]]) -> None:
    """One array, an element a line, without holding a year of them."""
    separator = "["
    for fields in records:
        typer.echo(separator + json.dumps(fields), nl=False)
        separator = ",\n"
    typer.echo("[]" if separator == "[" else "]")
