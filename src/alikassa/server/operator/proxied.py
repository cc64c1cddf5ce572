"""Behind a reverse proxy: who a visitor is, is what the proxy says. From anybody else it is nobody's word."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Receive, Scope, Send

__all__ = ["Proxied"]

# More is no address: an IPv6 one with a zone is shorter.
_LONGEST = 64


class Proxied:
    """Around an application. Of a request from `proxy` (an address) it takes the visitor's address, the last one in
    X-Forwarded-For, and the scheme from X-Forwarded-Proto; what cannot be read is passed over."""

    def __init__(self, app: ASGIApp, proxy: str) -> None:
        self._app = app
        self._proxy = ipaddress.ip_address(proxy)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Without a client there is nobody to trust: what is no request has none.
        client = scope.get("client")
        if client and _address(client[0]) == self._proxy:
            for name, value in scope["headers"]:
                text = value.decode("latin-1")
                # The last is what the proxy itself saw; those before it, a visitor may have made up.
                if name == b"x-forwarded-for" and (visitor := _address(text.rpartition(",")[2].strip())):
                    scope["client"] = (str(visitor), 0)
                elif name == b"x-forwarded-proto" and text in ("http", "https"):
                    scope["scheme"] = text
        await self._app(scope, receive, send)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if len(text) > _LONGEST:
        return None
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A listener on :: sees IPv4 visitors so.
    return getattr(found, "ipv4_mapped", None) or found
