"""Behind a reverse proxy: who a visitor is, is what the proxy says. From anybody else it is nobody's word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alikassa.server.limits.addresses import Addresses, client_address, parse_networks

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Receive, Scope, Send

__all__ = ["Proxied"]


class Proxied:
    """Around an application. Of a request from one of `proxies` it takes the visitor's address from X-Forwarded-For,
    and the scheme from X-Forwarded-Proto; what is neither is passed over, and an address that cannot be read at all is
    that of all such visitors."""

    def __init__(self, app: ASGIApp, proxies: str) -> None:
        self._app = app
        self._addresses = Addresses(parse_networks(proxies))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Without a client there is nobody to trust: what is no request has none.
        client = scope.get("client")
        if client and self._addresses.is_trusted(client_address(client[0])):
            told = [(name, value.decode("latin-1")) for name, value in scope["headers"]]
            forwarded = [text for name, text in told if name == b"x-forwarded-for"]
            scope["client"] = (self._addresses.of(client[0], forwarded), 0)
            for name, text in told:
                if name == b"x-forwarded-proto" and text in ("http", "https"):
                    scope["scheme"] = text
        await self._app(scope, receive, send)
