"""The command tree, with all its commands."""

from __future__ import annotations

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
    exporter,
    history,
    keygen,
    merchant,
    operator,
    profile,
    sandbox,
    serve,
    user,
    watch,
    whoami,
)
from alikassa.cli.root import new_root

__all__ = ["app"]

app = new_root()
balance.add_to(app)
whoami.add_to(app)
doctor.add_to(app)
watch.add_to(app)
history.add_to(app)
exporter.add_to(app)
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
app.add_typer(user.app, name="user")
commands.add_to(app)
