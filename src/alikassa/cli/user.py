"""`alikassa user`: who may log in to the cabinet."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from alikassa.cli.on_database import on_database
from alikassa.cli.options import DatabaseOption, JsonOption, parse_uuid
from alikassa.cli.output import message, print_json, print_records
from alikassa.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from alikassa.cabinet.users import User
    from alikassa.ledger.database import Database

__all__ = ["app"]

app = typer.Typer(help="The cabinet's users: who may log in.", no_args_is_help=True)

_LONGEST_LINE = 1024

MerchantOption = Annotated[str | None, typer.Option("--merchant", metavar="ID", help="The merchant they belong to.")]
LoginArgument = Annotated[str, typer.Argument(metavar="LOGIN", help="Such as an e-mail address.")]
PasswordStdinOption = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from the first line of standard input.")
]


class RoleChoice(StrEnum):
    OWNER = "owner"
    VIEWER = "viewer"
    OPERATOR = "operator"


class LanguageChoice(StrEnum):
    RU = "ru"
    EN = "en"


@app.callback()
def user() -> None:
    """The cabinet's users: who may log in."""


@app.command(epilog="Example: `alikassa user add olga@shop.example --merchant ID --role owner`")
def add(
    login: LoginArgument,
    database: DatabaseOption,
    merchant: MerchantOption = None,
    role: Annotated[
        RoleChoice,
        typer.Option(
            "--role", help="owner: sees everything and changes keys; viewer: sees; operator: sees every merchant."
        ),
    ] = RoleChoice.VIEWER,
    language: Annotated[LanguageChoice, typer.Option("--language", help="Of the pages, until they choose.")] = (
        LanguageChoice.RU
    ),
    password_stdin: PasswordStdinOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add a user of the cabinet. Without --password-stdin a password is made and printed: this once.

    Owners and viewers belong to a merchant, operators to none. The cabinet is at /cabinet of the operator's address.
    """
    from alikassa.cabinet.users import Role, Users

    belongs = None if merchant is None else parse_uuid(merchant, "a merchant")
    password, made = _password(login, asked=password_stdin)

    async def work(opened: Database) -> User:
        hash_ = await _hash(password)
        return await Users(opened).add(login, Role(role.value), hash_, merchant=belongs, language=language.value)

    added = on_database(database, work)
    if as_json:
        print_json({**_record(added), **({"password": password} if made else {})})
        return
    if made:
        typer.echo(password)
    message(f"Added the {added.role} {added.login}.{' The password is not shown again.' if made else ''}")


@app.command("list", epilog="Example: `alikassa user list --merchant ID`")
def list_(database: DatabaseOption, merchant: MerchantOption = None, as_json: JsonOption = False) -> None:
    """List users, all or a merchant's."""
    from alikassa.cabinet.users import Users

    belongs = None if merchant is None else parse_uuid(merchant, "a merchant")
    found = on_database(database, lambda opened: Users(opened).all(belongs))
    print_records(
        [_record(one) for one in found],
        as_json=as_json,
        empty="No users yet. Make one with: alikassa user add LOGIN --merchant ID --role owner",
    )


@app.command(epilog="Example: `alikassa user password olga@shop.example`")
def password(
    login: LoginArgument,
    database: DatabaseOption,
    password_stdin: PasswordStdinOption = False,
    reset_codes: Annotated[
        bool, typer.Option("--reset-codes", help="Switch one-time codes off too: the phone is lost.")
    ] = False,
) -> None:
    """Give a user a new password, for one that is lost. They are logged out everywhere."""
    from alikassa.cabinet.users import Users

    new, made = _password(login, asked=password_stdin)

    async def work(opened: Database) -> None:
        users = Users(opened)
        found = await users.by_login(login)
        if found is None:
            raise NotFoundError(f"There is no user {login}.", remedy="List them: alikassa user list")
        await users.set_password(found.id, await _hash(new))
        if reset_codes:
            await users.set_codes(found.id, None, None)

    on_database(database, work)
    if made:
        typer.echo(new)
    message(f"{login} has a new password.{' It is not shown again.' if made else ''}")


@app.command(epilog="Example: `alikassa user disable olga@shop.example`")
def disable(login: LoginArgument, database: DatabaseOption) -> None:
    """Keep a user out from the next request on. What they did stays as it is."""
    from alikassa.cabinet.users import Users

    on_database(database, lambda opened: Users(opened).disable(login))
    message(f"{login} is disabled, and logged out everywhere.")


def _password(login: str, *, asked: bool) -> tuple[str, bool]:
    """The password, and whether it was made here."""
    import secrets

    from alikassa.cabinet.passwords import check_password

    if not asked:
        return secrets.token_urlsafe(15), True
    given = sys.stdin.readline(_LONGEST_LINE).rstrip("\r\n")
    if not given:
        raise InvalidInputError("Standard input has no password.", remedy="Send it as the first line.")
    check_password(given, login)
    return given, False


async def _hash(password: str) -> str:
    from alikassa.cabinet.passwords import Passwords

    return await Passwords().hash(password)


def _record(user: User) -> dict[str, object]:
    from alikassa.clock import moment_text

    return {
        "login": user.login,
        "role": user.role.value,
        "merchant": None if user.merchant is None else str(user.merchant),
        "codes": user.totp_secret is not None,
        "created_at": moment_text(user.created_at),
        "disabled_at": None if user.disabled_at is None else moment_text(user.disabled_at),
    }
