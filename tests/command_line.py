"""The command line without a process for each call, which would take a second."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from alikassa.cli import main
from conftest import nobodys_environment

USAGE, CONFIGURATION, REFUSED, NETWORK, SERVER = 2, 3, 4, 5, 6  # exit codes


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


def call(*arguments: str | Path, env: dict[str, str] | None = None) -> Done:
    """Run the entry point of `alikassa` in this process, without the caller's ALIKASSA_ settings and configuration.

    As at the end of a process, threads that it leaves are waited for, and what they die of is on stderr.
    """
    settings = nobodys_environment() | (env or {})
    threads = set(threading.enumerate())
    with (
        mock.patch.object(warnings, "showwarning"),
        mock.patch.object(threading, "excepthook", threading.__excepthook__),
        mock.patch.dict(os.environ, settings, clear=True),
        mock.patch.object(sys, "argv", ["alikassa", *map(str, arguments)]),
        contextlib.redirect_stdout(io.StringIO()) as stdout,
        contextlib.redirect_stderr(io.StringIO()) as stderr,
    ):
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        for thread in set(threading.enumerate()) - threads:
            thread.join(timeout=10)
    assert code is None or isinstance(code, int)
    return Done(code or 0, stdout.getvalue(), stderr.getvalue())


def printed(*arguments: str | Path, env: dict[str, str] | None = None) -> Any:
    """What a command that succeeds prints with --json."""
    done = call(*arguments, "--json", env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def complaint(code: int, *arguments: str | Path, env: dict[str, str] | None = None) -> str:
    """What a command says that fails with this exit code, on stderr alone and in words. One line, without frames."""
    done = call(*arguments, env=env)
    assert done.returncode == code, done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    words = " ".join(done.stderr.replace("│", " ").split())
    assert words
    return words
