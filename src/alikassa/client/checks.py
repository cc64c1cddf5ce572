"""A client's settings, checked before anything is sent. Each raises ConfigurationError with what to do."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from alikassa.errors import ConfigurationError

if TYPE_CHECKING:
    import uuid

__all__ = [
    "BASE_URL",
    "check_account",
    "check_attempts",
    "check_base_url",
    "check_body",
    "check_fresh",
    "check_seconds",
    "check_transport",
]

BASE_URL = "https://api-merchant.alikassa.com"

_BODIES = (b"{}", b"[]", b"null")
_LONGEST = 86_400


def check_account(account: str | uuid.UUID) -> str:
    """The uuid in small letters."""
    text = str(account).strip().lower()
    if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text, re.ASCII) is None:
        raise ConfigurationError(
            f"{str(account)[:64]!r} is not the uuid of an account.",
            remedy="Copy it from the provider's cabinet, section «Счета» (Accounts).",
        )
    return text


def check_base_url(given: object) -> str:
    """The server's address without a slash at its end: https, or http to this machine itself."""
    problem = ConfigurationError("The base URL is not understood.", remedy=f"Write it as {BASE_URL}.")
    text = given.strip() if isinstance(given, str) else ""
    # `urlsplit` drops some of these silently, and a request's first line is made of the rest.
    if not text.isprintable() or " " in text:
        raise problem
    try:
        url = urlsplit(text)
        # Raise ValueError or UnicodeError for ports and hosts that cannot be.
        port, host = url.port, (url.hostname or "").encode("idna").decode("ascii")
    except ValueError:
        raise problem from None
    if url.scheme not in ("https", "http") or not host or url.query or url.fragment or "@" in url.netloc:
        raise problem
    if not text.isascii() and not url.path.isascii():
        raise problem
    if url.scheme == "http" and not _is_loopback(host):
        raise ConfigurationError(
            f"The base URL of {host} is plain http: whoever listens could ask in your name for ever.",
            remedy="Write https://. Plain http is for this machine itself (127.0.0.1, localhost).",
        )
    host = f"[{host}]" if ":" in host else host
    return f"{url.scheme}://{host}{'' if port is None else f':{port}'}{url.path.rstrip('/')}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_body(body: bytes | str) -> bytes:
    """One of the bodies of the page's programs."""
    content = body.encode("utf-8", "replace") if isinstance(body, str) else body
    if content not in _BODIES:
        raise ConfigurationError(
            "This body is not one that the page's programs send.", remedy="Use {} (the default), [] or null."
        )
    return bytes(content)


def check_fresh(fresh: object, body: bytes | str) -> bool:
    """Whether requests are to be good once. Their body is then no setting."""
    if fresh and check_body(body) != b"{}":
        raise ConfigurationError("With fresh, the body is made anew for each request.", remedy="Leave body out.")
    return bool(fresh)


def check_seconds(name: str, seconds: object) -> float:
    """A time limit: more than nothing, less than a day. NaN is neither."""
    if not isinstance(seconds, int | float) or not 0 < seconds < _LONGEST:
        raise ConfigurationError(f"{name} is {seconds!r}.", remedy="Give seconds, more than 0 and less than a day.")
    return seconds


def check_attempts(attempts: object) -> int:
    if not isinstance(attempts, int) or attempts < 1:
        raise ConfigurationError(f"attempts is {attempts!r}.", remedy="Give 1 for no retries, or more.")
    return attempts


def check_transport(transport: object, *, ca_bundle: object = None, proxy: object = None, http2: bool = False) -> None:
    """A transport of the caller's own makes its connections itself: what is said of ours would be of no effect."""
    given = {"ca_bundle": ca_bundle, "proxy": proxy, "http2": http2}
    idle = [name for name, value in given.items() if value]
    if transport is not None and idle:
        raise ConfigurationError(
            f"With a transport of your own, {' and '.join(idle)} would do nothing.",
            remedy="Leave it out, and set it in the transport.",
        )
