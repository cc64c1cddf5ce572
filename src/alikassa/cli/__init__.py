"""The `alikassa` command: one module a command group. What takes long to import is imported inside commands."""

from __future__ import annotations

from alikassa.cli.main import main

__all__ = ["main"]
