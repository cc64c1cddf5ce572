"""The limits themselves, as they are written: `600/minute`, `20/second`, or `off`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from limits import RateLimitItem, parse

from alikassa.errors import ConfigurationError

__all__ = ["Rules", "parse_limit"]

_FORM = re.compile(r"([1-9][0-9]{0,8})/(second|minute|hour)", re.ASCII)


@dataclass(frozen=True)
class Rules:
    """None: without a limit. What is charged: every request of an address, those of an address that were refused once
    their signature had been looked at, those that a certificate signed, those about an account."""

    address: RateLimitItem | None = None
    failed: RateLimitItem | None = None
    certificate: RateLimitItem | None = None
    account: RateLimitItem | None = None

    @classmethod
    def of(cls, *, address: str, failed: str, certificate: str, account: str) -> Rules:
        return cls(
            parse_limit(address, "--limit-address"),
            parse_limit(failed, "--limit-failed"),
            parse_limit(certificate, "--limit-certificate"),
            parse_limit(account, "--limit-account"),
        )


def parse_limit(text: str, option: str) -> RateLimitItem | None:
    """ConfigurationError for what is no limit."""
    if text == "off":
        return None
    if _FORM.fullmatch(text) is None:
        raise ConfigurationError(
            f"{text!r} is no limit.", remedy=f"Write {option} as 600/minute (or second, hour), or off."
        )
    return parse(text)
