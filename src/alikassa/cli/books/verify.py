"""`alikassa books verify`: whether the books are true."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alikassa.cli.on_database import on_database
from alikassa.cli.options import DatabaseOption, JsonOption, parse_uuid
from alikassa.cli.output import message, print_json

if TYPE_CHECKING:
    from alikassa.errors import DatabaseError
    from alikassa.ledger.database import Database
    from alikassa.ledger.verify import Heads, Progress, Verified

__all__ = ["add_to"]

_UNTRUE = 1
#: Problems that are shown to a person; programs are given all that were kept.
_SHOWN = 20


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the group."""
    app.command(
        "verify",
        epilog="Example: `alikassa books verify --heads heads.jsonl --write-heads heads.jsonl`; kept elsewhere",
    )(verify)


def verify(
    database: DatabaseOption,
    account: Annotated[str | None, typer.Option("--account", metavar="ID", help="Only this account.")] = None,
    heads: Annotated[
        Path | None,
        typer.Option("--heads", metavar="FILE", help="Chain heads written earlier: their entries must still be there."),
    ] = None,
    write_heads: Annotated[
        Path | None,
        typer.Option("--write-heads", metavar="FILE", help="Write each account's chain head, if all is true."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Work out the books again from the journal, and compare. Exits with 1 when they are not true."""
    from alikassa import clock
    from alikassa.ledger.verify import note_verification, read_heads, verify

    only = None if account is None else parse_uuid(account, "an account")
    known = None if heads is None else _read(heads)

    async def work(opened: Database) -> tuple[Heads, Verified, DatabaseError | None]:
        # Read first: what is verified after that has all their entries.
        started_at, now = clock.now(), await read_heads(opened, only)
        with _progress() as tell:
            verified = await verify(opened, account=only, heads=known, progress=tell)
        unnoted = None if only else await note_verification(opened, started_at, verified)
        return now, verified, unnoted

    now, verified, unnoted = on_database(database, work)
    if write_heads is not None and not verified.wrong:
        _write(write_heads, now)
    if as_json:
        print_json(_record(verified))
    _tell(verified)
    if unnoted is not None:
        message(f"warning: The date of this verification was not kept for the operator's view. {unnoted}")
    if verified.wrong:
        raise typer.Exit(_UNTRUE)


def _tell(verified: Verified) -> None:
    message(
        f"Checked {verified.accounts} accounts, {verified.entries} entries, {verified.postings} postings,"
        f" {verified.lots} lots, {verified.payouts} payouts and {verified.chains} hash chains."
    )
    if not verified.wrong:
        message("The books are true.")
        return
    message(f"error: The books are not true: {verified.wrong} problems, the first of them here.")
    for problem in verified.problems[:_SHOWN]:
        message(f"  {problem}")


def _record(verified: Verified) -> dict[str, object]:
    return {
        "true": not verified.wrong,
        "accounts": verified.accounts,
        "entries": verified.entries,
        "postings": verified.postings,
        "lots": verified.lots,
        "payouts": verified.payouts,
        "chains": verified.chains,
        "wrong": verified.wrong,
        "problems": [
            {"account": None if one.account is None else str(one.account), "sequence": one.sequence, "what": one.what}
            for one in verified.problems
        ],
    }


def _read(file: Path) -> Heads:
    from alikassa.errors import ConfigurationError
    from alikassa.ledger.verify import parse_heads

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}.", remedy="Check --heads.") from None
    return parse_heads(text)


def _write(file: Path, heads: Heads) -> None:
    """All or nothing: the file may be the one that was just read."""
    from alikassa.errors import ConfigurationError
    from alikassa.ledger.verify import format_heads

    beside = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        beside.write_text(format_heads(heads), encoding="utf-8")
        beside.replace(file)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error}.", remedy="Check --write-heads.") from None
    message(f"Wrote {len(heads)} chain heads to {file}.")


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None] | None]:
    """A bar on stderr, for a person at a terminal."""
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (
        progress.TextColumn("Entries"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)

        def tell(now: Progress) -> None:
            bar.update(task, completed=now.entries, total=now.all_entries)

        yield tell
