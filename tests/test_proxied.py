"""Who a visitor is, behind a reverse proxy."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from alikassa.server.limits.addresses import charged_name
from alikassa.server.operator.proxied import Proxied
from conftest import run_cli


def seen(proxy: str, client: str, **headers: str) -> tuple[str, str]:
    """Address and scheme, as an application behind `proxy` sees them."""
    found: dict[str, Any] = {}

    async def application(scope: Any, _receive: Any, _send: Any) -> None:
        found.update(scope)

    scope = {
        "type": "http",
        "scheme": "http",
        "client": (client, 50000),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    nothing: Any = None
    asyncio.run(Proxied(application, proxy)(scope, nothing, nothing))  # type: ignore[arg-type]
    return found["client"][0], found["scheme"]


def test_the_proxys_word_counts() -> None:
    """What it says of address and scheme is what the application sees."""
    assert seen("127.0.0.1", "127.0.0.1", x_forwarded_for="198.51.100.7", x_forwarded_proto="https") == (
        "198.51.100.7",
        "https",
    )


def test_nobody_elses_word_counts() -> None:
    """A visitor who reaches the port directly cannot choose an address."""
    assert seen("127.0.0.1", "192.0.2.1", x_forwarded_for="198.51.100.7", x_forwarded_proto="https") == (
        "192.0.2.1",
        "http",
    )


def test_the_last_address_is_the_proxys_own() -> None:
    """One that a visitor sent stands before it, where a proxy adds to the list."""
    assert seen("127.0.0.1", "127.0.0.1", x_forwarded_for="10.0.0.1, 198.51.100.7")[0] == "198.51.100.7"


@pytest.mark.parametrize("value", ["", "unknown", "198.51.100.7:80", "1" * 1000, "198.51.100.7,"])
def test_what_is_no_address_is_passed_over(value: str) -> None:
    """The proxy's own address stays: a limit by address still holds."""
    assert seen("127.0.0.1", "127.0.0.1", x_forwarded_for=value)[0] == "127.0.0.1"


@pytest.mark.parametrize("value", ["caf\xe9", "\xe9, 198.51.100.7", "\xff"])
def test_a_visitor_cannot_pass_for_the_proxy(value: str) -> None:
    """Whoever makes the whole header unreadable is charged as one with all others who do: the proxy's own address may
    be one that is never charged."""
    address = seen("127.0.0.1", "127.0.0.1", x_forwarded_for=value)[0]
    assert address not in ("127.0.0.1", "198.51.100.7")
    assert charged_name(address) == address


def test_one_address_has_one_writing() -> None:
    """Limits by address count a visitor once, however the address is written."""
    assert seen("127.0.0.1", "::ffff:127.0.0.1", x_forwarded_for="::ffff:198.51.100.7")[0] == "198.51.100.7"
    assert seen("::1", "::1", x_forwarded_for="2001:DB8:0:0::7")[0] == "2001:db8::7"


def test_a_scheme_is_one_of_two() -> None:
    """Anything else is passed over."""
    assert seen("127.0.0.1", "127.0.0.1", x_forwarded_proto="gopher")[1] == "http"


def test_a_proxy_that_is_no_address_is_refused_at_the_start() -> None:
    """A name or a port would be trusted never, and nobody would know why."""
    done = run_cli("serve", "--database", "sqlite:////tmp/none/books.db", "--trusted-proxy", "localhost:80")
    assert done.returncode == 3
    assert "trusted proxy is no address" in done.stderr
