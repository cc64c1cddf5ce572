"""Whose request it is, as far as the network tells."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Protocol

from alikassa.errors import ConfigurationError

__all__ = ["UNREADABLE", "UNTOLD", "Addresses", "parse_networks"]

#: Stands for a header's value that is not plain ASCII, which the web server does not hand over.
UNREADABLE = b"\xff"
#: Who is charged when the word of a trusted proxy cannot be read: all such visitors together.
UNTOLD = "untold"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MOST_HOPS = 16
# More is no address: an IPv6 one with a zone is shorter.
_LONGEST = 64


def parse_networks(text: str) -> tuple[Network, ...]:
    """Addresses and networks, separated by commas. ConfigurationError for anything else."""
    try:
        return tuple(ipaddress.ip_network(one.strip()) for one in text.split(",") if one.strip())
    except ValueError as error:
        raise ConfigurationError(
            f"A trusted proxy is no address: {str(error)[:200]}.",
            remedy="Give --trusted-proxy addresses or networks without ports: 127.0.0.1 or 10.0.0.0/24,::1.",
        ) from None


class Headers(Protocol):
    """A request's headers. Names in small letters."""

    def get_all(self, name: str, /) -> list[str]: ...

    def __contains__(self, name: str, /) -> bool: ...


class Addresses:
    """The address of a request: the connection's, or, when that is a trusted proxy's, the last one in X-Forwarded-For
    that is none. A stranger may write whatever comes before it; when that makes all of it unreadable, the address is
    UNTOLD: the proxy's own may be one that is never charged."""

    def __init__(self, trusted: tuple[Network, ...]) -> None:
        self._trusted = trusted
        self.trusts = bool(trusted)
        self.is_trusted = lru_cache(maxsize=4096)(self._find_trusted)

    def of_request(self, scope: object, headers: Headers) -> str:
        """Of a request as the web server hands it over."""
        forwarded = headers.get_all("x-forwarded-for") if self.trusts else []
        if self.trusts and not forwarded and "x-forwarded-for" in headers:
            forwarded = [UNREADABLE.decode("latin-1")]
        return self.of(getattr(scope, "client", ""), forwarded)

    def of(self, client: str, forwarded: list[str]) -> str:
        """`client` as the web server has it, with or without a port; "" when nobody can tell."""
        address = client_address(client)
        if not self.trusts or not self.is_trusted(address):
            return address
        if forwarded and not forwarded[-1].isascii():
            return UNTOLD
        hops = ",".join(forwarded).split(",")[-_MOST_HOPS:]
        for hop in reversed(hops):
            told = parse_address(hop.strip())
            if not told:
                break
            address = told
            if not self.is_trusted(told):
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
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


@lru_cache(maxsize=4096)
def client_address(client: str) -> str:
    """Of a connection, without the port and the brackets; "" for what is no address."""
    host, colon, _ = client.rpartition(":")
    return parse_address((host if colon and (":" not in host or host.startswith("[")) else client).strip("[]"))


def parse_address(text: str) -> str:
    """An address in its one writing, an IPv4 one also where a listener on :: sees it; "" for anything else."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0]) if len(text) <= _LONGEST else None
    except ValueError:
        return ""
    return str(getattr(found, "ipv4_mapped", None) or found or "")
