"""`alikassa books`: what the books say, whether they are true, and their upkeep."""

import typer

from alikassa.cli.books import export, questions, upkeep, verify

__all__ = ["app"]

app = typer.Typer(help="The books: what they say, whether they are true, and their upkeep.", no_args_is_help=True)
for part in (questions, verify, export, upkeep):
    part.add_to(app)
