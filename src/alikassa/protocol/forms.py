"""How a private key is written down."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Form"]


class Form(StrEnum):
    """`traditional` begins with BEGIN RSA PRIVATE KEY, `pkcs8` with BEGIN ENCRYPTED PRIVATE KEY."""

    TRADITIONAL = "traditional"
    PKCS8 = "pkcs8"
