"""The root of the command tree."""

from __future__ import annotations

import typer

__all__ = ["new_root"]


def new_root() -> typer.Typer:
    """The tree without its commands."""
    return typer.Typer(
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
