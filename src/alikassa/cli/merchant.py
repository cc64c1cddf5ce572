"""`alikassa merchant`: who has accounts."""

from __future__ import annotations

from typing import Annotated

import typer

from alikassa.cli.on_database import on_database
from alikassa.cli.options import DatabaseOption, JsonOption
from alikassa.cli.output import message, print_id, print_json

__all__ = ["app"]

app = typer.Typer(help="Merchants.", no_args_is_help=True)


@app.callback()
def merchant() -> None:
    """Merchants."""


@app.command(epilog="Example: `alikassa merchant add 'Corner Shop' --database sqlite:///books.db`")
def add(
    name: Annotated[str, typer.Argument(help="The merchant's name.")],
    database: DatabaseOption,
    as_json: JsonOption = False,
) -> None:
    """Add a merchant. An empty database is given its tables first."""
    from alikassa.ledger.registry import Registry

    added = on_database(database, lambda opened: Registry(opened).add_merchant(name), create=True)
    if as_json:
        print_json({"merchant": str(added.id), "name": added.name})
    else:
        print_id(added.id)
        message(f"Added {added.name}, merchant {added.id}.")
        message(f"Next: alikassa certificate add --merchant {added.id} --purpose payout PUBLIC_PEM")
