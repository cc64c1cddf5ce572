"""`alikassa convert`: an archive's private key in its other form."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from alikassa.cli.options import JsonOption
from alikassa.cli.output import message, print_json
from alikassa.errors import CertificateError
from alikassa.protocol.forms import Form

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: `alikassa convert cert/payout --to traditional --output cert/for-java`")(convert)


def convert(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of private.pem and password.txt.")],
    to: Annotated[Form, typer.Option("--to", help="The form of the new private.pem.")] = Form.TRADITIONAL,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="Where the new archive goes. [default: in place]")
    ] = None,
    trim: Annotated[
        bool, typer.Option("--trim-passphrase", help="Take the newline off the end of password.txt.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Rewrite private.pem: traditional, which programs in all languages read, or PKCS#8.

    The key and its passphrase stay the same; the new file is encrypted with AES-256. Either form is read. Nothing is
    overwritten without --force.
    """
    from alikassa.keys.conversion import converted, readers, write_over
    from alikassa.protocol import archive

    target = output or directory
    if output is None:
        # In place, what does not change is left alone.
        names = (archive.PRIVATE, *((archive.PASSPHRASE,) if trim else ()))
    else:
        names = (archive.PRIVATE, archive.PASSPHRASE, archive.PUBLIC)
    present = [name for name in names if os.path.lexists(target / name)]
    files = converted(directory, to, trim=trim)
    if present and not force:
        raise CertificateError(
            f"{target} already holds {', '.join(present)}; nothing was written.",
            remedy="Name another folder with --output DIR, or overwrite it with --force.",
        )
    if present:
        write_over(target, files, names=names)
    else:
        archive.write(target, files)
    able, unable = readers(files)
    if as_json:
        print_json({"directory": str(target), "form": to, "read_by": able, "not_read_by": unable})
        return
    message(f"Wrote {', '.join(names)} in {target} ({to}, AES-256).")
    message(f"The page's programs in {', '.join(able) or 'no language'} read it{_not(unable)}.")
    if "Java" in unable and to is Form.TRADITIONAL:
        message("password.txt ends with a newline, which they take for a part of the passphrase: --trim-passphrase")


def _not(unable: list[str]) -> str:
    return f"; those in {', '.join(unable)} do not" if unable else ""
