"""The commands that book: each names one event and makes one journal entry."""

import typer

from alikassa.cli.commands import corrections, holds, payments, payouts, policy

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Adds the commands and their groups to the tree."""
    for part in (payments, holds, payouts, corrections, policy):
        part.add_to(app)
