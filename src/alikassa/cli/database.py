"""`alikassa database`: the schema and who may write to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from alikassa.cli.on_database import on_database
from alikassa.cli.options import DatabaseOption
from alikassa.cli.output import message

if TYPE_CHECKING:
    from alikassa.ledger.database import Database

__all__ = ["app"]

app = typer.Typer(help="The database: its schema, and who may write to it.", no_args_is_help=True)


@app.command(epilog="Example: `alikassa database migrate --database postgresql://owner@host/books`")
def migrate(database: DatabaseOption) -> None:
    """Bring the schema up to date. Back the database up first."""

    async def revision(opened: Database) -> str | None:
        return await opened.revision()

    message(f"The schema is at revision {on_database(database, revision, create=True, migrate=True)}.")


@app.command(epilog="Example: `alikassa database grant alikassa_server --database postgresql://owner@host/books`")
def grant(
    role: Annotated[str, typer.Argument(help="An existing PostgreSQL role.")],
    database: DatabaseOption,
) -> None:
    """Let a role serve and book, and change nothing that is booked (PostgreSQL).

    Migrate with the role that owns the tables, serve with this one: it may add journal entries, and has no right to
    update, delete or truncate them.
    """
    from alikassa.ledger.privileges import grant_server

    on_database(database, lambda opened: grant_server(opened, role))
    message(f"{role} may serve and book now; it has no right to change what is booked.")
