"""A token's PKCS#11 library in this process, and the way through it to a key."""

from __future__ import annotations

import threading
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alikassa.errors import CertificateError, ConfigurationError
from alikassa.keys.processes import PerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from alikassa.keys.token_uri import TokenKey

__all__ = ["Library", "library_at"]

# At most so many tokens or keys are named in a message.
_SHOWN = 10


class Library:
    """One library, as this process has it. Everything that is done with it is done under its lock.

    It is initialised without locking of its own, so no two threads may be in it, whatever their sessions.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.lock = threading.RLock()
        self._loaded: Any = None

    def open_key(self, wanted: TokenKey, pin: Callable[[], str]) -> Any:
        """The private key, in a new session. Raises PKCS11Error, ConfigurationError and CertificateError."""
        from pkcs11.exceptions import UserAlreadyLoggedIn

        token = _find_token(self._initialised(), wanted)
        # Whoever is logged in, is so in all sessions of the process: another signer's login is enough. And a login
        # that fails leaves a session behind that cannot be closed, so it is tried only when it is needed.
        session = token.open()
        found = _find_key(session, wanted)
        if found is not None:
            return found
        session.close()
        try:
            session = token.open(user_pin=pin())
        except UserAlreadyLoggedIn:
            session = token.open()
        found = _find_key(session, wanted)
        if found is None:
            raise _no_key(session, wanted)
        return found

    def _initialised(self) -> Any:
        import pkcs11

        if self._loaded is not None:
            # Initialises it again if somebody has finalised it.
            return pkcs11.lib(self.path)
        if not Path(self.path).is_file():
            raise ConfigurationError(
                f"There is no PKCS#11 library {self.path}.", remedy="Correct module-path: it comes with the token."
            )
        loaded = pkcs11.lib(self.path)
        if _used_by_a_parent(self.path):
            # What it holds is the parent's. A library that has noticed the fork by itself refuses to be finalised.
            try:
                loaded.reinitialize()
            except pkcs11.PKCS11Error:
                loaded.initialize()
        self._loaded = loaded
        return loaded


_libraries: PerProcess[dict[str, Library]] = PerProcess(dict)


def library_at(path: str) -> Library:
    """This process's one `Library` of that path."""
    return _libraries.get().setdefault(path, Library(path))


def _used_by_a_parent(path: str) -> bool:
    return any(path in libraries for libraries in _libraries.of_parents())


def _find_token(library: Any, wanted: TokenKey) -> Any:
    import pkcs11

    present, found = [], []
    for slot in library.get_slots(token_present=True):
        try:
            token = slot.get_token()
        except (pkcs11.TokenNotPresent, pkcs11.TokenNotRecognised):
            continue
        present.append(token)
        pairs: tuple[tuple[object, object], ...] = (
            (wanted.token, token.label),
            (wanted.serial, _plain(token.serial)),
            (wanted.manufacturer, token.manufacturer_id),
            (wanted.model, token.model),
            (wanted.slot, slot.slot_id),
        )
        if all(asked is None or asked == told for asked, told in pairs):
            found.append(token)
    if len(found) == 1:
        return found[0]
    names = _names(token.label for token in present if pkcs11.TokenFlag.TOKEN_INITIALIZED in token.flags)
    if found:
        raise CertificateError(
            f"{len(found)} tokens fit {wanted}.", remedy=f"Add its serial: or its slot-id. There are: {names}."
        )
    raise CertificateError(
        f"No token fits {wanted}.", remedy=f"Plug it in, or correct token=. {wanted.module} has: {names}."
    )


def _find_key(session: Any, wanted: TokenKey) -> Any:
    """The key; None when there is none. CertificateError when there are several."""
    from pkcs11 import Attribute

    asked: dict[Any, Any] = {}
    if wanted.label is not None:
        asked[Attribute.LABEL] = wanted.label
    if wanted.id is not None:
        asked[Attribute.ID] = wanted.id
    found = _keys(session, asked, 2)
    if len(found) > 1:
        raise CertificateError(
            f"More than one private key fits {wanted}.",
            remedy="Name it by its id, too: id=%01. The token has: " + _names(_told(session)) + ".",
        )
    return found[0] if found else None


def _no_key(session: Any, wanted: TokenKey) -> CertificateError:
    return CertificateError(
        f"There is no RSA private key {wanted}.", remedy=f"Its private RSA keys are: {_names(_told(session))}."
    )


def _keys(session: Any, asked: dict[Any, Any], most: int) -> list[Any]:
    from pkcs11 import Attribute, KeyType, ObjectClass

    kind = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.KEY_TYPE: KeyType.RSA}
    search = session.get_objects(kind | asked)
    try:
        return list(islice(search, most))
    finally:
        # Ends the search: a session has one at a time.
        search.close()


def _told(session: Any) -> list[str]:
    return [f"{key.label} (id {key.id.hex()})" for key in _keys(session, {}, _SHOWN + 1)]


def _names(names: Iterable[str]) -> str:
    shown = list(islice(names, _SHOWN + 1))
    return ", ".join(shown[:_SHOWN]) + (", ..." if len(shown) > _SHOWN else "") if shown else "none"


def _plain(serial: bytes | str) -> str:
    return serial.decode("ascii", "replace").strip() if isinstance(serial, bytes) else serial
