"""Fixtures for pytest: `alikassa_sandbox`, `alikassa_account`, `alikassa_client`.

The server is not loaded before a test asks for one of them, so that pytest starts as quickly as without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alikassa.client.sync import Client
    from alikassa.testing.account import SandboxAccount
    from alikassa.testing.sandbox import Sandbox


@pytest.fixture(scope="session")
def _alikassa_server() -> Iterator[Sandbox]:
    from alikassa.testing.sandbox import Sandbox

    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def alikassa_sandbox(_alikassa_server: Sandbox) -> Iterator[Sandbox]:
    """A sandbox with nothing in it. One server serves the session; books, clock and faults are each test's own."""
    _alikassa_server.reset()
    yield _alikassa_server
    _alikassa_server.clear_faults()


@pytest.fixture
def alikassa_account(alikassa_sandbox: Sandbox) -> SandboxAccount:
    """An account in RUB, with nothing on it."""
    return alikassa_sandbox.account("RUB")


@pytest.fixture
def alikassa_client(alikassa_account: SandboxAccount) -> Iterator[Client]:
    """A client for `alikassa_account`."""
    with alikassa_account.client() as client:
        yield client
