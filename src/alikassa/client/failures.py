"""The HTTP library's errors as ours."""

from __future__ import annotations

from urllib.parse import urlsplit

from alikassa.errors import NetworkError
from alikassa.keys.frames import drop_frames

__all__ = ["network_error"]

_LONGEST_TEXT = 300


def network_error(error: Exception, url: str, *, what: str) -> NetworkError:
    """Ours for the HTTP library's error, which stays in its chain without its frames: their variables hold the
    request's headers, `Sign` among them."""
    drop_frames(error)
    host = urlsplit(url).netloc
    found = NetworkError(f"{what} {host}: {_said(error) or type(error).__name__}.", remedy=_remedy(error))
    found.__cause__ = error
    return found


def _said(error: Exception) -> str:
    """Its text, in which a server or a proxy may have its say: printable and of a readable length."""
    text = "".join(character if character.isprintable() else " " for character in str(error)).strip()
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "..."


def _remedy(error: Exception) -> str:
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
        return "The server's TLS certificate is not trusted. For a private CA, name its file (ca_bundle=, --ca-bundle)."
    if "Name or service not known" in text or "nodename nor servname" in text:
        return "Check the host in the base URL, and DNS."
    return "Check the base URL, the network and the proxy, and try again."
