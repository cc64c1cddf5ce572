"""`alikassa books export`: the books for other programs."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO

import typer

from alikassa.cli.on_database import on_database
from alikassa.cli.options import DatabaseOption, parse_uuid
from alikassa.cli.output import message

__all__ = ["add_to"]


class FormChoice(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"
    HLEDGER = "hledger"
    BEANCOUNT = "beancount"


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the group."""
    app.command(
        "export", epilog="Example: `alikassa books export --format hledger | hledger -f - balance Liabilities`"
    )(export)


def export(
    form: Annotated[FormChoice, typer.Option("--format", help="What the other program reads.")],
    database: DatabaseOption,
    account: Annotated[str | None, typer.Option("--account", metavar="ID", help="Only this account.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Where to; without it, to stdout.")
    ] = None,
) -> None:
    """Write out the journal: every entry, exact to the last decimal.

    CSV and JSON lines say all that the books say. For hledger and beancount, merchants' money is a liability, and
    negative; what each account comes to is asserted at its end.
    """
    from alikassa.ledger.export import Form
    from alikassa.ledger.export import export as write

    only = None if account is None else parse_uuid(account, "an account")
    with _opened(output) as out:
        done = on_database(database, lambda opened: write(opened, Form(form.value), out, account=only))
    message(f"Exported {done.entries} entries of {done.accounts} accounts.")


class _Ended(Exception):  # noqa: N818 - nothing went wrong
    """The reader of stdout has seen enough."""


class _Out(io.TextIOBase):
    """What goes wrong with the file is not to be taken for something of the database's."""

    def __init__(self, file: TextIO, name: str) -> None:
        self._file, self._name = file, name

    def write(self, text: str) -> int:
        with self._watched():
            return self._file.write(text)

    def flush(self) -> None:
        with self._watched():
            self._file.flush()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        from alikassa.errors import ConfigurationError

        try:
            yield
        except BrokenPipeError:
            raise _Ended from None
        except OSError as error:
            raise ConfigurationError(f"{self._name} cannot be written: {error}.", remedy="Check --output.") from None


@contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    from alikassa.errors import ConfigurationError

    if output is not None:
        try:
            file = output.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise ConfigurationError(f"{output} cannot be written: {error}.", remedy="Check --output.") from None
        with file:
            out = _Out(file, str(output))
            yield out  # type: ignore[misc]
            out.flush()
        return
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file of the format, not a text for this terminal.
        sys.stdout.reconfigure(encoding="utf-8", newline="")
    try:
        out = _Out(sys.stdout, "stdout")
        yield out  # type: ignore[misc]
        out.flush()
    except _Ended:
        # What is still in the buffer must not be written at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
