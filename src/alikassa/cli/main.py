"""From the words of a command line to a command, and from its errors to messages and exit codes."""

from __future__ import annotations

import io
import sys
import warnings
from typing import TYPE_CHECKING

from alikassa import errors
from alikassa.cli.output import complain, message

if TYPE_CHECKING:
    import typer

__all__ = ["EXIT_CODES", "main"]

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
        _find_app(sys.argv[1:])()
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


def _find_app(words: list[str]) -> typer.Typer:
    """The command tree; without its other commands for `balance`, which scripts start again and again."""
    if words[:1] != ["balance"]:
        from alikassa.cli.tree import app

        return app
    from alikassa.cli import balance
    from alikassa.cli.root import new_root

    alone = new_root()
    balance.add_to(alone)
    # A tree of one command would otherwise be that command, and its name one word too many.
    alone.callback()(_nothing)
    return alone


def _nothing() -> None:
    pass


_SERVER_PACKAGES = frozenset(
    {
        *("aiosqlite", "alembic", "argon2", "asyncpg", "babel", "granian", "greenlet", "jinja2", "limits"),
        *("litestar", "markupsafe", "pyotp", "segno", "sqlalchemy", "structlog"),
    }
)
