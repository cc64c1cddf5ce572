"""Whose request it is: the connection's address, and X-Forwarded-For."""

from __future__ import annotations

import ipaddress

from alikassa.server.limits.addresses import UNTOLD, Addresses, charged_name, parse_address, parse_networks

_BEHIND = Addresses(parse_networks("127.0.0.1,10.0.0.0/8,::1"))
_OPEN = Addresses(())


def seeds() -> list[bytes]:
    return [
        *(b"127.0.0.1:5000\n1.2.3.4", b"127.0.0.1:5000\n6.6.6.6, 1.2.3.4, 10.0.0.7", b"[::1]:80\n2001:db8::7"),
        *(b"1.2.3.4:80\n9.9.9.9", b"::ffff:127.0.0.1\n1.2.3.4\n5.6.7.8", b"fe80::1%eth0\nfe80::1%eth0", b"\n"),
        *(b"127.0.0.1\n" + b"1.1.1.1," * 40, b"127.0.0.1\n1.2.3.4:5555", b"127.0.0.1\nunknown, _hidden", b"[]:\n[]"),
        *(b"127.0.0.1:5000\n\xe9, 1.2.3.4", b"127.0.0.1:5000\n\xff\n1.2.3.4"),
    ]


def check(data: bytes) -> None:
    """Always an address in its one writing, or nothing; what a stranger writes counts only behind a proxy of ours."""
    client, *forwarded = data.decode("latin-1").split("\n")
    for addresses in (_BEHIND, _OPEN):
        found = addresses.of(client, forwarded)
        if found == UNTOLD:
            assert addresses is _BEHIND
            assert not forwarded[-1].isascii()
            assert charged_name(found) == UNTOLD
            continue
        _see(found)
        if not addresses.trusts or not addresses.is_trusted(addresses.of(client, [])):
            assert found == addresses.of(client, []), "a stranger chose his address"
    _see(parse_address(client))
    charged = charged_name(found)
    assert charged == "" or str(ipaddress.ip_network(charged)).removesuffix("/32") == charged


def _see(address: str) -> None:
    if address:
        assert str(ipaddress.ip_address(address)) == address
        assert parse_address(address) == address
