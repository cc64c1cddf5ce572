"""Data to stdout, messages to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import uuid

    from alikassa.errors import AlikassaError

__all__ = ["Output", "complain", "message", "print_csv", "print_id", "print_json", "print_records", "print_table"]


class Output(StrEnum):
    """Forms of output."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def message(text: str) -> None:
    """For a person, on stderr."""
    typer.echo(text, err=True)


def complain(error: AlikassaError) -> None:
    """An error: what happened, field by field where the server said so, and what to do."""
    fields = getattr(error, "errors", None)
    if fields:
        message(f"error: {getattr(error, 'message', error)}")
        for field, texts in fields.items():
            for text in texts:
                message(f"  {field}: {text}")
    else:
        message(f"error: {error}")
    if error.remedy:
        message(f"  {error.remedy}")


def print_id(id_: uuid.UUID) -> None:
    """The id of something new, alone, so that a script can take it: ID=$(alikassa ...)."""
    typer.echo(str(id_))


def print_json(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value)
    typer.echo(text)


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """A table for a person; amounts are aligned at the right and never cut."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console = Console(markup=False, highlight=False, soft_wrap=True, width=10_000)
    console.print(table)


def print_records(
    records: Sequence[dict[str, object]], *, as_json: bool, empty: str, right: Sequence[str] = ()
) -> None:
    """Records as one JSON array, or as a table; `empty` says what to do when there are none."""
    if as_json:
        print_json(records)
    elif not records:
        message(empty)
    else:
        columns = list(records[0])
        print_table(
            columns, [["" if v is None else str(v) for v in record.values()] for record in records], right=right
        )
