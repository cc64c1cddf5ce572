"""Whose request it is, as far as the network tells."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Protocol

from alikassa.errors import ConfigurationError

__all__ = ["Addresses", "parse_networks"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MOST_HOPS = 16


def parse_networks(text: str) -> tuple[Network, ...]:
    """Addresses and networks, separated by commas. ConfigurationError for anything else."""
    try:
        return tuple(ipaddress.ip_network(one.strip()) for one in text.split(",") if one.strip())
    except ValueError as error:
        raise ConfigurationError(
            f"{text!r} does not name proxies: {error}.",
            remedy="Write addresses or networks, such as 10.0.0.5 or 10.0.0.0/24, separated by commas.",
        ) from None


class Headers(Protocol):
    """A request's headers. Names in small letters."""

    def get_all(self, name: str, /) -> list[str]: ...


class Addresses:
    """The address of a request: the connection's, or, when that is a trusted proxy's, the last one in X-Forwarded-For
    that is none. A stranger may write whatever comes before it."""

    def __init__(self, trusted: tuple[Network, ...]) -> None:
        self._trusted = trusted
        self.trusts = bool(trusted)
        self._is_trusted = lru_cache(maxsize=4096)(self._find_trusted)

    def of_request(self, scope: object, headers: Headers) -> str:
        """Of a request as the web server hands it over."""
        forwarded = headers.get_all("x-forwarded-for") if self.trusts else []
        return self.of(getattr(scope, "client", ""), forwarded)

    def of(self, client: str, forwarded: list[str]) -> str:
        """`client` as the web server has it, with or without a port; "" when nobody can tell."""
        address = client_address(client)
        if not self.trusts or not self._is_trusted(address):
            return address
        hops = ",".join(forwarded).split(",")[-_MOST_HOPS:]
        for hop in reversed(hops):
            told = client_address(hop.strip())
            if not told:
                break
            address = told
            if not self._is_trusted(told):
                break
        return address

    def _find_trusted(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._trusted)


@lru_cache(maxsize=4096)
def charged_name(address: str) -> str:
    """Who is charged for it: an IPv4 address, an IPv6 network of 64 bits, nobody ("") for this machine itself: a proxy
    on it that is not trusted would stand for all merchants together."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.is_loopback:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return charged_name(str(parsed.ipv4_mapped))
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


@lru_cache(maxsize=4096)
def client_address(client: str) -> str:
    """Without the port and the brackets; "" for what is no address."""
    text = client.rpartition(":")[0] if client.count(":") == 1 or client.startswith("[") else client
    text = text.strip("[]") or client
    try:
        return str(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return ""
