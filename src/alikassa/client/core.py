"""What a client decides, without any I/O: what to send, what an answer means, whether to try again."""

from __future__ import annotations

import ipaddress
import os
import random
import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from alikassa.errors import (
    AlikassaError,
    ConfigurationError,
    DeadlineExceededError,
    NetworkError,
    ProtocolError,
    RateLimitedError,
    RefusedError,
    ServerError,
)
from alikassa.keys import open_signer
from alikassa.protocol.messages import BALANCE_PATH, INVALID, JSON, Balance, decode_balance, decode_errors
from alikassa.protocol.signatures import Digest, Signer, encode_sign

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping

__all__ = ["BASE_URL", "LONGEST_ANSWER", "TIMEOUT", "Core", "Outgoing", "Secret"]

BASE_URL = "https://api-merchant.alikassa.com"
#: For a whole call, in seconds, as in the page's programs.
TIMEOUT = 30.0
#: The largest answer that is read, in bytes.
LONGEST_ANSWER = 64 * 1024
ATTEMPTS = 4

_FIRST_WAIT = 0.2
_LONGEST_WAIT = 5.0

_BODIES = (b"{}", b"[]", b"null")
_USER_AGENT = f"alikassa/{version('alikassa')} (Python)"


class Secret:
    """Text that shows itself only to who asks for it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "<secret>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("A secret is not pickled.")


@dataclass(frozen=True)
class Outgoing:
    """A request as it goes onto the wire. `sign` stays covered until the moment it is written."""

    url: str
    headers: tuple[tuple[str, str], ...]
    sign: Secret
    body: bytes


class Core:
    """The settings of a client, checked, and the decisions it makes."""

    def __init__(
        self,
        account: str | uuid.UUID,
        keys: str | os.PathLike[str] | Signer,
        *,
        base_url: str,
        digest: Digest | str | None,
        body: bytes | str,
        timeout: float,
        attempts: int,
    ) -> None:
        self.account = _account(account)
        self.url = _base_url(base_url) + BALANCE_PATH
        self.body = _body(body)
        if not 0 < timeout < 86_400:
            raise ConfigurationError(f"timeout is {timeout!r}.", remedy="Give seconds, more than 0.")
        if attempts < 1:
            raise ConfigurationError(f"attempts is {attempts!r}.", remedy="Give 1 for no retries, or more.")
        self.timeout = timeout
        self.attempts = attempts
        self._signer = _signer(keys, digest)
        self._outgoing: Outgoing | None = None

    def outgoing(self) -> Outgoing:
        """The request. Made once: the body is constant, so the signature is too."""
        if self._outgoing is None:
            signature = self._signer.sign(self.body)
            if not isinstance(signature, bytes):
                raise ConfigurationError(
                    f"The signer gives {type(signature).__name__}.",
                    remedy="sign(bytes) returns the raw signature.",
                )
            self._outgoing = Outgoing(
                url=self.url,
                headers=(
                    ("Content-Type", JSON),
                    ("Accept", JSON),
                    ("User-Agent", _USER_AGENT),
                    ("Account", self.account),
                ),
                sign=Secret(encode_sign(signature)),
                body=self.body,
            )
        return self._outgoing

    def understand(self, status: int, headers: Mapping[str, str], body: bytes) -> Balance:
        """The balance in an answer, or the error that it stands for. Header names in small letters."""
        if status == 200:
            return decode_balance(body)
        message, errors = _refusal(body)
        if status in (400, 422):
            if not message and not errors:
                raise ProtocolError(f"The server refused ({status}) without saying why.", raw=body[:200])
            raise RefusedError(message or INVALID, errors=errors, status=status)
        if status == 429:
            raise RateLimitedError(
                f"The server asks to come back later (429). {message}".rstrip(),
                status=status,
                retry_after=_retry_after(headers),
                remedy="Ask less often.",
            )
        if status >= 500:
            raise ServerError(
                f"The server failed ({status}). {message}".rstrip(),
                status=status,
                retry_after=_retry_after(headers),
                remedy=" ".join(text for texts in errors.values() for text in texts),
            )
        if 300 <= status < 400:
            raise ServerError(
                f"The server redirects ({status}), and a signed request follows no redirect.",
                status=status,
                retryable=False,
                remedy="Set the base URL to the address that answers itself.",
            )
        raise ServerError(
            f"The server answered {status}. {message}".rstrip(),
            status=status,
            retryable=False,
            remedy="Check the base URL.",
        )

    def wait(self, error: AlikassaError, attempt: int, remaining: float) -> float | None:
        """How many seconds to wait before trying again after this error; None when that is not to be.

        `attempt` counts from 1, `remaining` is what is left of the call's time. A balance request changes nothing,
        so repeating it is safe.
        """
        if not error.retryable or attempt >= self.attempts:
            return None
        asked = getattr(error, "retry_after", None)
        if asked is None:
            # Doubling, and at random up to that, so that many clients do not come back at the same moment.
            asked = random.uniform(0, min(_FIRST_WAIT * 2 ** (attempt - 1), _LONGEST_WAIT))  # noqa: S311 - no secret
        return asked if asked < remaining else None

    def too_late(self, seconds: float) -> DeadlineExceededError:
        """The error of a call whose time is over."""
        return DeadlineExceededError(
            f"No answer within {seconds:g} s from {self.url}.", remedy="Try again, or give a longer timeout."
        )

    def __repr__(self) -> str:
        return f"account={self.account!r}, url={self.url!r}, signer={self._signer!r}"


def _account(account: str | uuid.UUID) -> str:
    text = str(account).strip().lower()
    if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text, re.ASCII) is None:
        raise ConfigurationError(
            f"{str(account)[:64]!r} is not the uuid of an account.",
            remedy="Copy it from the provider's cabinet, section «Счета» (Accounts).",
        )
    return text


def _base_url(text: str) -> str:
    problem = ConfigurationError("The base URL is not understood.", remedy=f"Write it as {BASE_URL}.")
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


def _body(body: bytes | str) -> bytes:
    content = body.encode() if isinstance(body, str) else bytes(body)
    if content not in _BODIES:
        raise ConfigurationError(
            "This body is not one that the page's programs send.", remedy="Use {} (the default), [] or null."
        )
    return content


def _signer(keys: str | os.PathLike[str] | Signer, digest: Digest | str | None) -> Signer:
    if isinstance(keys, str | os.PathLike):
        return open_signer(keys, digest)
    if not callable(getattr(keys, "sign", None)):
        raise ConfigurationError(
            "keys is neither a folder nor a signer.", remedy="Give the archive's folder, or an object with sign(bytes)."
        )
    if digest is not None:
        raise ConfigurationError("A signer chooses its digest itself.", remedy="Leave digest out.")
    return keys


def _refusal(body: bytes) -> tuple[str, dict[str, tuple[str, ...]]]:
    try:
        return decode_errors(body)
    except ProtocolError:
        return "", {}


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from a number of them or an HTTP date; None when it is neither."""
    text = headers.get("retry-after", "")
    if re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None


def network_error(error: Exception, url: str, *, what: str) -> NetworkError:
    """Ours for the HTTP library's error. Its chain keeps the library's error but none of its frames: their
    variables hold the request's headers, `Sign` among them, and some tools print variables."""
    cause: BaseException | None = error
    while cause is not None:
        cause.__traceback__ = None
        cause = cause.__cause__ or cause.__context__
    host = urlsplit(url).netloc
    found = NetworkError(f"{what} {host}: {str(error) or type(error).__name__}.", remedy=_remedy(error))
    found.__cause__ = error
    return found


def _remedy(error: Exception) -> str:
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
        return "The server's TLS certificate is not trusted. For a private CA, name its file (ca_bundle=, --ca-bundle)."
    if "Name or service not known" in text or "nodename nor servname" in text:
        return "Check the host in the base URL, and DNS."
    return "Check the base URL, the network and the proxy, and try again."
