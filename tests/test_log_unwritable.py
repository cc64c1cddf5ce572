"""A log that cannot be written is lost, and nothing else is."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TextIO

import pytest
import structlog

from alikassa.server.log import RequestLog, configure_logging


@contextmanager
def full_disk() -> Iterator[TextIO]:
    with suppress(OSError), Path("/dev/full").open("w") as file:
        yield file


@contextmanager
def closed_pipe() -> Iterator[TextIO]:
    reading, writing = os.pipe()
    os.close(reading)
    with suppress(OSError), os.fdopen(writing, "w") as file:
        yield file


@pytest.mark.parametrize("place", [full_disk, closed_pipe])
def test_what_cannot_be_written_ends_no_request(
    place: Callable[[], AbstractContextManager[TextIO]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its level; nor when the file is closed."""
    before = structlog.get_config()
    problem: Exception | None = None
    with place() as file, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", file)
        configure_logging()
        try:
            log = RequestLog()
            log.stopped()
            log.requests_lost(1, "a test")
            log.failed()
            with suppress(OSError):
                file.close()
            log.stopped()
        except Exception as error:  # not to be taken for what closing the file says
            problem = error
        finally:
            structlog.configure(**before)
    assert problem is None
