"""`alikassa keygen`: a new archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alikassa.cli.options import JsonOption
from alikassa.cli.output import message, print_json

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    app.command(
        epilog="Example: `alikassa keygen cert/payout`, then register cert/payout/public.pem with the provider."
    )(keygen)


def keygen(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where the three files go; made if needed.")],
    pkcs8: Annotated[
        bool, typer.Option("--pkcs8", help="PKCS#8 for private.pem. The page's Java and Go programs do not read it.")
    ] = False,
    bits: Annotated[int, typer.Option("--bits", help="Size of the RSA key, 2048 to 8192.")] = 2048,
    as_json: JsonOption = False,
) -> None:
    """Make a key pair: private.pem, password.txt and public.pem.

    Nothing is ever overwritten. Only public.pem is given away; the other two stay with you.
    """
    from alikassa.protocol import archive

    files = archive.generate(bits, pkcs8=pkcs8)
    archive.write(directory, files)
    if as_json:
        print_json({"directory": str(directory), "fingerprint": files.public_key.fingerprint, "bits": bits})
        return
    message(f"Made {directory}/private.pem, password.txt and public.pem (RSA {bits}).")
    message(f"Fingerprint of the public half: {files.public_key.fingerprint}")
    message("Register public.pem with the provider. Keep private.pem and password.txt to yourself.")
