"""`alikassa operator`: who may use the operator's API."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from alikassa.cli.on_database import on_database
from alikassa.cli.options import DatabaseOption, JsonOption, parse_uuid
from alikassa.cli.output import message, print_json, print_records

if TYPE_CHECKING:
    from alikassa.ledger.tokens import OperatorToken

__all__ = ["app"]

app = typer.Typer(help="The operator's API: who may use it.", no_args_is_help=True)
token_app = typer.Typer(help="Tokens of the operator's API.", no_args_is_help=True)
app.add_typer(token_app, name="token")


class ScopeChoice(StrEnum):
    READ = "read"
    WRITE = "write"


@app.callback()
def operator() -> None:
    """The operator's API: who may use it."""


@token_app.command(epilog="Example: `TOKEN=$(alikassa operator token create --name billing --scope write)`")
def create(
    name: Annotated[str, typer.Option("--name", help="Who or what will use it.")],
    scope: Annotated[ScopeChoice, typer.Option("--scope", help="read: questions only; write: also bookings.")],
    database: DatabaseOption,
    as_json: JsonOption = False,
) -> None:
    """Make a token and print it: this once, since only its hash is kept.

    An empty database is given its tables first.
    """
    from alikassa.ledger.tokens import Scope, Tokens

    made, token = on_database(database, lambda opened: Tokens(opened).create(name, Scope(scope.value)), create=True)
    if as_json:
        print_json({**_record(made), "token": token})
    else:
        typer.echo(token)
        message(f"Made the {made.scope} token {made.name}, {made.id}. It is not shown again.")
        message("Send it with each request as: Authorization: Bearer TOKEN")


@token_app.command("list", epilog="Example: `alikassa operator token list`")
def list_(database: DatabaseOption, as_json: JsonOption = False) -> None:
    """List tokens, without the tokens themselves."""
    from alikassa.ledger.tokens import Tokens

    found = on_database(database, lambda opened: Tokens(opened).all())
    print_records(
        [_record(one) for one in found],
        as_json=as_json,
        empty="No tokens yet. Make one with: alikassa operator token create --name NAME --scope read",
    )


@token_app.command(epilog="Example: `alikassa operator token revoke ID`")
def revoke(
    token: Annotated[str, typer.Argument(metavar="ID", help="The token's id, as `list` shows it.")],
    database: DatabaseOption,
    as_json: JsonOption = False,
) -> None:
    """Refuse a token from the next request on, for good."""
    from alikassa.ledger.tokens import Tokens

    id_ = parse_uuid(token, "a token")
    revoked = on_database(database, lambda opened: Tokens(opened).revoke(id_))
    if as_json:
        print_json(_record(revoked))
    else:
        message(f"Revoked the token {revoked.name}, {revoked.id}.")


def _record(token: OperatorToken) -> dict[str, object]:
    from alikassa.clock import moment_text

    times = {"created_at": token.created_at, "revoked_at": token.revoked_at, "last_used_at": token.last_used_at}
    return {
        "id": str(token.id),
        "name": token.name,
        "scope": token.scope.value,
        **{name: None if at is None else moment_text(at) for name, at in times.items()},
    }
