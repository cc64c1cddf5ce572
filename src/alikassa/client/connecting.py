"""How connections are made: which certificates are trusted, through which proxy, whether HTTP/2 is offered."""

from __future__ import annotations

import ssl
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore2

from alikassa.errors import ConfigurationError

if TYPE_CHECKING:
    import os

__all__ = ["check_http2", "find_proxy", "tls_context"]


def tls_context(ca_bundle: str | os.PathLike[str] | None) -> ssl.SSLContext:
    """The system's trust store, or the given file instead of it. There is no way not to check."""
    context = httpcore2.default_ssl_context() if ca_bundle is None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_bundle is not None:
        try:
            context.load_verify_locations(ca_bundle)
        except (OSError, ValueError, TypeError) as error:  # ssl.SSLError is an OSError
            reason = getattr(error, "strerror", None) or error
            raise ConfigurationError(
                f"The CA bundle {ca_bundle!s} cannot be used: {reason}.",
                remedy="Name a PEM file with the certificates that are trusted.",
            ) from error
    return context


def find_proxy(url: str, proxy: str | None, ca_bundle: str | os.PathLike[str] | None = None) -> httpcore2.Proxy | None:
    """The proxy that is asked for, or the environment's (HTTPS_PROXY, NO_PROXY) for this address.

    An https proxy is trusted by the system's store and by the CA bundle: it need not be of the server's CA.
    """
    target = urlsplit(url)
    if target.scheme == "http":
        # To this machine itself. Through a proxy, `Sign` would travel where everybody on the way can read it.
        if proxy:
            raise ConfigurationError("A proxy is for https only.", remedy="Leave proxy out, or write https://.")
        return None
    if proxy is None:
        proxy = None if proxy_bypass(target.hostname or "") else getproxies().get("https")
    if not proxy:
        return None
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        host, port = (parts.hostname or "").encode("idna").decode("ascii"), parts.port
    except (ValueError, TypeError):
        host = ""
    if not host.isprintable() or " " in host:
        host = ""
    if not host or parts.scheme not in ("http", "https"):
        raise ConfigurationError("The proxy is not understood.", remedy="Write it as http://host:port.")
    # Bytes: a name or a password need not be ASCII.
    auth = (unquote_to_bytes(parts.username), unquote_to_bytes(parts.password or "")) if parts.username else None
    shown = f"[{host}]" if ":" in host else host
    context = tls_context(None) if parts.scheme == "https" else None
    if context is not None and ca_bundle is not None:
        context.load_verify_locations(ca_bundle)
    return httpcore2.Proxy(
        f"{parts.scheme}://{shown}{'' if port is None else f':{port}'}", auth=auth, ssl_context=context
    )


def check_http2() -> None:
    """HTTP/2 needs a package more. Raises ConfigurationError when it is not there."""
    if find_spec("h2") is None:
        raise ConfigurationError(
            "HTTP/2 needs the package h2, which is not installed.", remedy="pip install 'alikassa[http2]'"
        )
