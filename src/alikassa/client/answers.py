"""What an answer means: a balance, or the error that it stands for."""

from __future__ import annotations

import re
import time
from datetime import UTC
from typing import TYPE_CHECKING

from alikassa.errors import ProtocolError, RateLimitedError, RefusedError, ServerError
from alikassa.protocol.messages import INVALID, Balance, decode_balance, decode_errors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["server_request_id", "understand"]

_LONGEST_ID = 128
# How far two clocks may seem apart and still be right.
_RIGHT_SECONDS = 60


def understand(status: int, headers: Mapping[str, str], body: bytes) -> Balance:
    """The balance in an answer, or the error that it stands for. Header names in small letters."""
    if status == 200:
        try:
            return decode_balance(body)
        except ProtocolError as error:
            error.remedy = error.remedy or _remedy_of_junk(headers)
            raise
    message, errors = _refusal(body)
    if status in (400, 422):
        if not message and not errors:
            raise ProtocolError(
                f"The server refused ({status}) without saying why.", raw=body[:200], remedy=_remedy_of_junk(headers)
            )
        refused = RefusedError(message or INVALID, errors=errors, status=status)
        refused.remedy = _remedy_of_refusal(errors, headers)
        raise refused
    if status == 429:
        seconds = _retry_after(headers)
        raise RateLimitedError(
            f"The server asks to come back later (429). {message}".rstrip(),
            status=status,
            retry_after=seconds,
            remedy="Ask less often." if seconds is None else f"Ask again after {seconds:g} s, and less often.",
        )
    if status >= 500:
        texts = " ".join(text for texts in errors.values() for text in texts)
        raise ServerError(
            f"The server failed ({status}). {message}".rstrip(),
            status=status,
            retry_after=_retry_after(headers),
            remedy=texts or "Try again later. If it stays so, ask the provider.",
        )
    raise _unexpected(status, message)


def _unexpected(status: int, message: str) -> ServerError:
    if 300 <= status < 400:
        return ServerError(
            f"The server redirects ({status}), and a signed request follows no redirect.",
            status=status,
            retryable=False,
            remedy="Set the base URL to the address that answers itself.",
        )
    return ServerError(
        f"The server answered {status}. {message}".rstrip(),
        status=status,
        retryable=False,
        remedy="Check the base URL.",
    )


def _refusal(body: bytes) -> tuple[str, dict[str, tuple[str, ...]]]:
    try:
        return decode_errors(body)
    except ProtocolError:
        return "", {}


def _remedy_of_refusal(errors: Mapping[str, object], headers: Mapping[str, str]) -> str:
    if "timestamp" in errors and "nonce" in errors:
        return "This account takes only requests that are good once: Client(fresh=True), or --fresh."
    if "timestamp" in errors:
        return _remedy_of_time(headers)
    if "nonce" in errors:
        return "Ask again: each request has a nonce of its own. If it stays so, something between sends requests twice."
    if "sign" in errors:
        return (
            "Sign with the payout certificate, and try the other digest (digest: sha256, sha1)."
            " If both are refused, compare the account's uuid too."
        )
    if "account" in errors:
        return "Compare the account's uuid with the one in the provider's cabinet."
    return "Do what the server's words say; the same request would be refused again."


def _remedy_of_time(headers: Mapping[str, str]) -> str:
    there = _date(headers.get("date", ""))
    off = 0.0 if there is None else time.time() - there.timestamp()
    # Between two clocks that are right lie the answer's way and the second that a date is cut to.
    if abs(off) < _RIGHT_SECONDS:
        return "Compare this machine's clock with the right time, and ask again."
    which = "ahead of" if off > 0 else "behind"
    return f"This machine's clock is {abs(off):.0f} s {which} the server's. Set it right, and ask again."


def _remedy_of_junk(headers: Mapping[str, str]) -> str:
    kind = "".join(filter(str.isprintable, headers.get("content-type", "")))[:60]
    seen = f" (it came as {kind})" if kind and "json" not in kind else ""
    return f"Check that the base URL is the API's and no proxy or login page answers in its place{seen}."


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from a number of them or an HTTP date; None when it is neither."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
        return float(text)
    until = _date(text)
    if until is None:
        return None
    # By the server's own clock where it tells it: this machine's may be wrong.
    now = _date(headers.get("date", ""))
    return max(until.timestamp() - (time.time() if now is None else now.timestamp()), 0.0)


def _date(text: str) -> datetime | None:
    from email.utils import parsedate_to_datetime

    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    # HTTP's dates are GMT, also where they do not say so.
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def server_request_id(headers: Mapping[str, str]) -> str:
    """The id that the server gave the request, "" when it gave none. Cut to a readable length."""
    text = headers.get("x-request-id") or headers.get("request-id") or ""
    return "".join(filter(str.isprintable, text))[:_LONGEST_ID]
