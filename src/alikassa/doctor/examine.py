"""The whole examination, from the files to the server's answers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alikassa.doctor.archive import check_archive, fingerprint_of, read_archive
from alikassa.doctor.asking import Asker, ask
from alikassa.doctor.findings import Finding, Level
from alikassa.doctor.network import SECONDS, check_network
from alikassa.errors import AlikassaError, CertificateError, ConfigurationError, NetworkError

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
    if signer is None or _is_broken(network):
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
    from alikassa.keys.places import check_text
    from alikassa.profiles.model import IN_KEYRING, is_path
    from alikassa.profiles.passphrases import find_passphrase

    settings = what.settings
    passphrase = None
    try:
        for place in (settings.keys, what.payment):
            if place is not None:
                # Who gives the key itself in place of its folder is not to read it in a report.
                check_text(place)
        if not is_path(settings.keys):
            return None, [Finding(Level.NOTE, "key.elsewhere")]
        if settings.passphrase == IN_KEYRING:
            passphrase = find_passphrase(settings.keys)
    except ConfigurationError as error:
        return None, [_unusable("key.unusable", error)]
    archive = read_archive(_folder(settings.keys), passphrase)
    payment = _payment(what)
    findings = check_archive(archive, payment)
    if payment is not None and _is_broken(check_archive(payment)):
        values = {"path": str(payment.path), "account": settings.account}
        findings.append(Finding(Level.WARNING, "archive.payment_unusable", values))
    return archive, findings


def _payment(what: Examination) -> Archive | None:
    return None if what.payment is None else read_archive(_folder(what.payment))


def _folder(place: str) -> Path:
    # Unlike pathlib's, it leaves the home of somebody unknown as it stands.
    return Path(os.path.expanduser(place))


def _is_broken(findings: list[Finding]) -> bool:
    return any(finding.level is Level.ERROR for finding in findings)


def _signer(settings: Profile, findings: list[Finding]) -> tuple[Signer | None, list[Finding]]:
    """The signer, and what is wrong with the key if nothing was said of it yet."""
    import warnings

    from alikassa.profiles.connect import signer_of

    if any(finding.area == "archive" for finding in findings if finding.level is Level.ERROR):
        return None, []  # and what is no file may not be opened: a pipe would never end
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # permissions are a finding
            return signer_of(settings), []
    except (CertificateError, ConfigurationError, NetworkError) as error:
        return None, [] if _is_broken(findings) else [_unusable("key.unusable", error)]


def _payment_signer(what: Examination) -> tuple[str, Signer] | None:
    import warnings

    from alikassa.keys import open_signer

    payment = _payment(what)
    if what.payment is None or payment is None or _is_broken(check_archive(payment)):
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
