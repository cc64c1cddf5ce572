"""`alikassa database`: the schema and who may write to it."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from alikassa.cli.options import DatabaseOption
from alikassa.cli.output import message

__all__ = ["app"]

app = typer.Typer(help="The database: its schema, and who may write to it.", no_args_is_help=True)


@app.command()
def migrate(database: DatabaseOption) -> None:
    """Bring the schema up to date. Back the database up first."""
    from alikassa.ledger.database import Database
    from alikassa.ledger.schema import REVISION

    async def run() -> None:
        async with await Database.open(database, create=True, migrate=True):
            pass

    asyncio.run(run())
    message(f"The schema is at revision {REVISION}.")


@app.command(epilog="Example: `alikassa database grant alikassa_server --database postgresql://owner@host/books`")
def grant(
    role: Annotated[str, typer.Argument(help="An existing PostgreSQL role.")],
    database: DatabaseOption,
) -> None:
    """Let a role serve and book, and change nothing that is booked (PostgreSQL).

    Migrate with the role that owns the tables, serve with this one: it may add journal entries, and has no right to
    update, delete or truncate them.
    """
    from alikassa.ledger.database import Database
    from alikassa.ledger.privileges import grant_server

    async def run() -> None:
        async with await Database.open(database) as opened:
            await grant_server(opened, role)

    asyncio.run(run())
    message(f"{role} may serve and book now; it has no right to change what is booked.")
