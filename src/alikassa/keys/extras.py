"""Packages that only some places of a key need."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from alikassa.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["extra"]


@contextmanager
def extra(name: str, package: str, what: str) -> Iterator[None]:
    """Imports within it: a `package` that is not installed is a ConfigurationError that says how to get it.

    `what` is what needs it, `name` the extra of this project that brings it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise ConfigurationError(
            f"{what} needs a package that is not installed ({package}).",
            remedy=f"Install it with: pip install 'alikassa[{name}]'",
        ) from None
