"""Which key of which token: the text `pkcs11:...`, as RFC 7512 has it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from alikassa.errors import CertificateError, ConfigurationError
from alikassa.protocol.archive import read_secret

__all__ = ["MODULE_VARIABLE", "PIN_VARIABLE", "TokenKey", "parse_token_uri"]

MODULE_VARIABLE = "ALIKASSA_PKCS11_MODULE"
PIN_VARIABLE = "ALIKASSA_PKCS11_PIN"

_EXAMPLE = "pkcs11:token=NAME;object=KEY?module-path=/usr/lib/softhsm/libsofthsm2.so"
_PATH = ("token", "serial", "manufacturer", "model", "slot-id", "object", "id", "type")
_QUERY = ("module-path", "pin-source")


@dataclass(frozen=True)
class TokenKey:
    """A private key in a token. What is None is not asked for.

    - `module`: path of the token's PKCS#11 library;
    - `token`, `serial`, `manufacturer`, `model`, `slot`: which token;
    - `label`, `id`: which key in it;
    - `pin_source`: a file's path, or `env:NAME`; None for the variable ALIKASSA_PKCS11_PIN.
    """

    module: str
    token: str | None = None
    serial: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    slot: int | None = None
    label: str | None = None
    id: bytes | None = None
    pin_source: str | None = None

    def pin(self) -> str:
        """The PIN, read anew from where it is. CertificateError when it is not there."""
        source = self.pin_source or f"env:{PIN_VARIABLE}"
        if source.startswith("env:"):
            name = source.removeprefix("env:")
            if not os.environ.get(name):
                raise CertificateError(
                    f"The token wants its PIN, and the environment variable {name} is not set.",
                    remedy=f"Set {name}, or name a file with the PIN: ...&pin-source=/path/to/pin",
                )
            return os.environ[name]
        try:
            return read_secret(Path(source)).decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise CertificateError(f"{source} holds no PIN: it is not text.") from None

    def __str__(self) -> str:
        """As a person names it: the key, then its token."""
        key = repr(self.label) if self.label is not None else f"id {self.id.hex()}" if self.id is not None else "a key"
        of = self.token or self.serial or self.model or self.manufacturer
        if of is not None:
            return f"{key} in token {of!r}"
        return f"{key} in the token" + (f" in slot {self.slot}" if self.slot is not None else "")


def parse_token_uri(text: str) -> TokenKey:
    """What the text names. Raises ConfigurationError, which does not repeat a value: one could be a PIN."""
    path, _, query = text.removeprefix("pkcs11:").partition("?")
    asked = _attributes(path, ";", _PATH) | _attributes(query, "&", _QUERY)
    if asked.get("type", b"private") != b"private":
        raise ConfigurationError("type= is not private, and only a private key signs.", remedy="Leave type out.")
    module = _text(asked, "module-path") or os.environ.get(MODULE_VARIABLE)
    if not module:
        raise ConfigurationError(
            "The token's PKCS#11 library is not named.",
            remedy=f"Add ?module-path=/path/to/library.so, or set {MODULE_VARIABLE}.",
        )
    slot = _text(asked, "slot-id")
    if slot is not None and not (slot.isascii() and slot.isdecimal() and len(slot) <= 10):
        raise ConfigurationError("slot-id is no number.", remedy=f"For example: {_EXAMPLE}")
    if "object" not in asked and "id" not in asked:
        raise ConfigurationError("The key in the token is not named.", remedy=f"For example: {_EXAMPLE}")
    return TokenKey(
        module=module,
        token=_text(asked, "token"),
        serial=_text(asked, "serial"),
        manufacturer=_text(asked, "manufacturer"),
        model=_text(asked, "model"),
        slot=None if slot is None else int(slot),
        label=_text(asked, "object"),
        id=asked.get("id"),
        pin_source=_pin_source(_text(asked, "pin-source")),
    )


def _attributes(text: str, separator: str, known: tuple[str, ...]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in text.split(separator) if text else ():
        name, equals, value = part.partition("=")
        if name in ("pin-value", "pin"):
            raise ConfigurationError(
                "A PIN does not belong into a key's place: that is seen in process lists, histories and files.",
                remedy=f"Set {PIN_VARIABLE}, or name a file that holds it: pin-source=/path/to/pin",
            )
        if name not in known:
            # Only a name that is one: the text could hold anything.
            what = f"{name}= is not understood" if equals and name.replace("-", "").isalpha() else "A part has no name"
            raise ConfigurationError(
                f"{what} in this pkcs11: text.", remedy=f"Understood are {', '.join(known)}. For example: {_EXAMPLE}"
            )
        if name in found:
            raise ConfigurationError(f"{name}= stands twice in this pkcs11: text.", remedy="Leave one out.")
        found[name] = unquote_to_bytes(value)
    return found


def _text(asked: dict[str, bytes], name: str) -> str | None:
    try:
        return asked[name].decode("utf-8") if name in asked else None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{name}= is not UTF-8.", remedy="Write it with %XX for each byte.") from None


def _pin_source(source: str | None) -> str | None:
    if source is None:
        return None
    path = source.removeprefix("file://").removeprefix("file:")
    if path.startswith("/") or source.startswith("env:"):
        return path
    raise ConfigurationError(
        "pin-source names neither a file nor a variable.", remedy="Write pin-source=/path/to/pin or pin-source=env:NAME"
    )
