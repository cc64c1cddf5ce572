"""Whether the books are true."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the group."""
