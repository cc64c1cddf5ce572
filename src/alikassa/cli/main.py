"""The command tree, and how errors become messages and exit codes."""

from __future__ import annotations

import io
import sys
import warnings

import typer

from alikassa import errors
from alikassa.cli import (
    account,
    balance,
    books,
    certificate,
    commands,
    convert,
    database,
    demo,
    doctor,
    keygen,
    merchant,
    operator,
    profile,
    sandbox,
    serve,
    whoami,
)
from alikassa.cli.output import complain, message

__all__ = ["EXIT_CODES", "app", "main"]

app = typer.Typer(
    name="alikassa",
    help="Account balance: ask for it, and keep the books that answer.",
    epilog="Exit codes: 0 done, 1 books that are not true, 2 usage, 3 configuration or key, 4 refused, 5 network,"
    " 6 server error."
    " Data goes to stdout, messages to stderr.",
    no_args_is_help=True,
    # Our errors are told in words; a traceback with variables would show secrets.
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
balance.add_to(app)
whoami.add_to(app)
doctor.add_to(app)
keygen.add_to(app)
convert.add_to(app)
demo.add_to(app)
serve.add_to(app)
sandbox.add_to(app)
app.add_typer(profile.app, name="profile")
app.add_typer(merchant.app, name="merchant")
app.add_typer(certificate.app, name="certificate")
app.add_typer(account.app, name="account")
app.add_typer(books.app, name="books")
app.add_typer(database.app, name="database")
app.add_typer(operator.app, name="operator")
commands.add_to(app)

#: The first that fits counts.
EXIT_CODES: tuple[tuple[type[errors.AlikassaError], int], ...] = (
    (errors.InvalidInputError, 2),
    (errors.DatabaseUnavailableError, 6),
    (errors.OverloadedError, 6),
    (errors.ConfigurationError, 3),
    (errors.CertificateError, 3),
    (errors.DatabaseError, 3),
    (errors.RefusedError, 4),
    (errors.NotFoundError, 4),
    (errors.ConflictError, 4),
    (errors.InsufficientFundsError, 4),
    (errors.ExceedsPaymentError, 4),
    (errors.AccountStateError, 4),
    (errors.EffectiveTimeError, 4),
    (errors.PayoutStateError, 4),
    (errors.BoundExceededError, 4),
    (errors.NetworkError, 5),
    (errors.AlikassaError, 6),
)


def main() -> None:
    """Run the command that `sys.argv` names and exit."""
    for stream in (sys.stdout, sys.stderr):
        # What a terminal cannot show must not end a command that has done its work.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = lambda text, *_, **__: message(f"warning: {text}")
    try:
        app()
    except errors.AlikassaError as error:
        complain(error)
        sys.exit(next(code for kind, code in EXIT_CODES if isinstance(error, kind)))
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _SERVER_PACKAGES:
            raise
        message(f"error: {error.name} is not installed; this command needs the server's packages.")
        message("  Install them in the source folder with: pip install '.[server]'")
        sys.exit(3)


_SERVER_PACKAGES = frozenset(
    {"aiosqlite", "alembic", "asyncpg", "granian", "greenlet", "litestar", "sqlalchemy", "structlog"}
)
