"""A new file that is there whole or not at all."""

from __future__ import annotations

import io
import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from alikassa.ledger.backup.manifest import BackupError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["BESIDE", "Output", "placed"]

#: What SQLite keeps beside a database, by the ends of their names.
BESIDE = ("-wal", "-shm", "-journal")


class Output(io.FileIO):
    """A file whose errors are told as such, also within a transaction, where they would be taken for the database's."""

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content)
        except OSError as error:
            raise BackupError(f"The backup cannot be written: {error.strerror}.", remedy="Make room.") from error


@contextmanager
def placed(file: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """An empty file beside `file`, for its owner only; at the end it is on the disk, and takes its name.

    After an error it is gone. BackupError when `file` exists and is not to be overwritten, or cannot be written.
    """
    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
    try:
        if file.exists() and not overwrite:
            raise _exists(file)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        yield part
        _sync(part)
        if overwrite:
            part.replace(file)
        else:
            # Unlike a rename, a link does not take the place of what came there meanwhile.
            os.link(part, file)
        _sync(file.parent)
    except FileExistsError as error:
        raise _exists(file) from error
    except OSError as error:
        raise BackupError(f"{file} cannot be written: {error.strerror}.", remedy="Check the path.") from error
    finally:
        for suffix in ("", *BESIDE):
            part.with_name(part.name + suffix).unlink(missing_ok=True)


def _exists(file: Path) -> BackupError:
    return BackupError(f"{file} exists already.", remedy="Choose another name.")


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
