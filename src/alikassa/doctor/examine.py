"""The whole examination, from the files to the server's answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alikassa.doctor.archive import check_archive, fingerprint_of, read_archive
from alikassa.doctor.asking import Asker, ask
from alikassa.doctor.findings import Finding, Level
from alikassa.doctor.network import SECONDS, check_network
from alikassa.errors import AlikassaError, CertificateError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alikassa.doctor.archive import Archive
    from alikassa.profiles import Profile
    from alikassa.protocol.signatures import Signer

__all__ = ["Examination", "examine"]


@dataclass(frozen=True)
class Examination:
    """What is examined. `payment` is the folder of the payment archive; `seconds` bounds each probe and request."""

    settings: Profile
    payment: str | None = None
    offline: bool = False
    seconds: float = SECONDS
    pace: float = 0.3


def examine(what: Examination) -> Iterator[list[Finding]]:
    """The findings, a step at a time: settings, archive and key, network, answers. It ends where the next step would
    make no sense. It raises nothing: what goes wrong is a finding."""
    settings = _settings(what.settings)
    yield settings
    archive, findings = _archive(what)
    yield findings
    signer, unusable = _signer(what.settings, findings)
    yield unusable
    if what.offline or settings:
        return
    network = _network(what)
    yield network
    if signer is None or any(finding.level is Level.ERROR for finding in network):
        return
    asker = Asker(what.settings, signer, what.seconds, what.pace)
    try:
        yield ask(asker, _payment_signer(what), "" if archive is None else fingerprint_of(archive))
    except AlikassaError as error:
        # A key service that does not answer, a machine that makes no SHA-1.
        yield [_unusable("key.unusable", error)]
    finally:
        asker.close()


def _settings(settings: Profile) -> list[Finding]:
    from alikassa.client.checks import BASE_URL, check_account, check_base_url, check_body

    try:
        check_account(settings.account)
    except ConfigurationError:
        return [Finding(Level.ERROR, "settings.account", {"account": repr(settings.account[:64])})]
    try:
        check_base_url(settings.base_url or BASE_URL)
        check_body(settings.body or "{}")
    except ConfigurationError as error:
        return [_unusable("settings.unusable", error)]
    return []


def _archive(what: Examination) -> tuple[Archive | None, list[Finding]]:
    from alikassa.profiles.model import IN_KEYRING, is_path
    from alikassa.profiles.passphrases import find_passphrase

    settings = what.settings
    if not is_path(settings.keys):
        return None, [Finding(Level.NOTE, "key.elsewhere")]
    passphrase = None
    if settings.passphrase == IN_KEYRING:
        try:
            passphrase = find_passphrase(settings.keys)
        except ConfigurationError as error:
            return None, [_unusable("key.unusable", error)]
    archive = read_archive(Path(settings.keys).expanduser(), passphrase)
    payment = None if what.payment is None else read_archive(Path(what.payment).expanduser())
    return archive, check_archive(archive, payment)


def _signer(settings: Profile, findings: list[Finding]) -> tuple[Signer | None, list[Finding]]:
    """The signer, and what is wrong with the key if nothing was said of it yet."""
    import warnings

    from alikassa.profiles.connect import signer_of

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # permissions are a finding
            return signer_of(settings), []
    except (CertificateError, ConfigurationError) as error:
        told = any(finding.level is Level.ERROR for finding in findings)
        return None, [] if told else [_unusable("key.unusable", error)]


def _payment_signer(what: Examination) -> tuple[str, Signer] | None:
    import warnings

    from alikassa.keys import open_signer

    if what.payment is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return what.payment, open_signer(what.payment)
    except AlikassaError:
        return None


def _network(what: Examination) -> list[Finding]:
    from alikassa.client.core import BASE_URL

    settings = what.settings
    try:
        return check_network(settings.base_url or BASE_URL, settings.ca_bundle, settings.proxy, what.seconds)
    except ConfigurationError as error:
        return [_unusable("settings.unusable", error)]


def _unusable(code: str, error: AlikassaError) -> Finding:
    return Finding(Level.ERROR, code, {"problem": str(error), "remedy": error.remedy})
