"""One-time codes from an app on the user's phone (TOTP, RFC 6238): six digits, a new one every 30 seconds."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import re
import secrets
from typing import TYPE_CHECKING

import pyotp
import segno

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Offers", "accepted_step", "new_secret", "picture", "secret_text"]

_SECRET_BYTES = 20
_STEP_SECONDS = 30
_ISSUER = "alikassa"
_CODE = re.compile(r"[0-9]{6}", re.ASCII)


def new_secret() -> bytes:
    return secrets.token_bytes(_SECRET_BYTES)


def secret_text(secret: bytes) -> str:
    """As an app takes it when there is no camera."""
    return base64.b32encode(secret).decode()


def accepted_step(secret: bytes, code: str, now: datetime, last: int | None) -> int | None:
    """The step whose code this is, when it is now, the one before or the one after, and later than the `last` one that
    was accepted: a code that somebody looked over a shoulder does not serve twice. None when it is not accepted."""
    code = code.replace(" ", "")
    if _CODE.fullmatch(code) is None:
        return None
    totp = pyotp.TOTP(secret_text(secret), interval=_STEP_SECONDS)
    present = int(now.timestamp()) // _STEP_SECONDS
    found = None
    for step in (present - 1, present, present + 1):
        if secrets.compare_digest(totp.generate_otp(step), code) and (last is None or step > last):
            found = step
    return found


def picture(secret: bytes, login: str) -> str:
    """What the app's camera reads: an SVG element."""
    uri = pyotp.TOTP(secret_text(secret), interval=_STEP_SECONDS).provisioning_uri(name=login, issuer_name=_ISSUER)
    drawn = io.BytesIO()
    segno.make(uri, error="m").save(drawn, kind="svg", scale=4, border=2, xmldecl=False, svgns=True, light="#fff")
    return drawn.getvalue().decode()


class Offers:
    """The secrets that a session was offered after giving its password: each proves itself, for as long as this process
    runs, so that nothing is kept of those that nobody takes."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def proof(self, session: bytes, secret: bytes) -> str:
        return hmac.digest(self._key, session + secret, hashlib.sha256).hex()

    def is_ours(self, session: bytes, secret: bytes, proof: str) -> bool:
        return hmac.compare_digest(self.proof(session, secret).encode(), proof.encode())
