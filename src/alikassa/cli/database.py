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


@app.command(epilog="Example: `alikassa database distribute --database postgresql://owner@coordinator/books`")
def distribute(
    database: DatabaseOption,
    shards: Annotated[
        int, typer.Option(min=1, max=512, help="Shards of each distributed table. It cannot be changed easily later.")
    ] = 128,
) -> None:
    """Spread the books over the nodes of a PostgreSQL cluster with the citus extension.

    Small tables are copied to every node; those that grow are spread by the accounts' lane, all of an account on one
    node. The extension refuses triggers: from then on only the serving role's rights keep what is booked as it is, so
    grant them again afterwards. Back up first, and stop all servers: it is one transaction that locks every table.
    There is no way back but a restored backup.
    """
    from alikassa.ledger.distribution.distributing import distribute as spread

    done = on_database(database, lambda opened: spread(opened, shards))
    message(f"On each of {done.nodes} nodes: {', '.join(done.reference)}.")
    message(f"Spread by lane over {done.shards} shards: {', '.join(done.distributed)}.")
    message(f"Dropped, since the extension refuses them: the triggers {', '.join(done.triggers)}.")
    message("Now run alikassa database grant ROLE for the role that serves: its rights stand in for the triggers.")
