"""The Keys pages: what becomes a certificate, what is refused and how, who may do what."""

from __future__ import annotations

import asyncio
import io
import subprocess
import uuid
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from alikassa.cabinet.certificates import SeenCertificate, replacement_of
from alikassa.cabinet.uploads import LARGEST_UPLOAD, TEXTS, Problem, Wrong, read_public
from alikassa.ledger.database import Database
from alikassa.ledger.ids import uuid7
from alikassa.ledger.model import Certificate, CertificateState, Purpose
from alikassa.ledger.registry import Registry
from alikassa.protocol import archive
from alikassa.protocol.certificates import PublicKey
from alikassa.protocol.signatures import Digest
from alikassa.server.requests.asking import CertificateUse
from cabinet_server import Cabinet, Visitor, cabinet_served, preformatted, text_of

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
PEM = serialization.Encoding.PEM
DER = serialization.Encoding.DER
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
PKCS8 = serialization.PrivateFormat.PKCS8
TRADITIONAL = serialization.PrivateFormat.TraditionalOpenSSL
OPEN = serialization.NoEncryption()
LOCKED = serialization.BestAvailableEncryption(b"passphrase")


# What was handed in


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def public_of(key: Any) -> bytes:
    return bytes(key.public_key().public_bytes(PEM, SPKI))


def certificate_of(key: rsa.RSAPrivateKey, begins: datetime, ends: datetime) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop")])
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, begins, ends)
    return built.sign(key, hashes.SHA256()).public_bytes(PEM)


def zipped(key: rsa.RSAPrivateKey) -> bytes:
    return archive.zipped(archive.generate(), "payout")


def request_of(key: rsa.RSAPrivateKey) -> bytes:
    built = x509.CertificateSigningRequestBuilder(x509.Name([]))
    return built.sign(key, hashes.SHA256()).public_bytes(PEM)


def without_frame(pem: bytes) -> bytes:
    return b"\n".join(pem.strip().split(b"\n")[1:-1])


DAY = timedelta(days=1)
REFUSED: dict[str, tuple[Callable[[rsa.RSAPrivateKey], bytes], Wrong]] = {
    "nothing": (lambda key: b" \n", Wrong.EMPTY),
    "private, as keygen makes it": (lambda key: key.private_bytes(PEM, TRADITIONAL, LOCKED), Wrong.PRIVATE),
    "private, PKCS#8": (lambda key: key.private_bytes(PEM, PKCS8, LOCKED), Wrong.PRIVATE),
    "private, open": (lambda key: key.private_bytes(PEM, PKCS8, OPEN), Wrong.PRIVATE),
    "private, OpenSSH": (
        lambda key: key.private_bytes(PEM, serialization.PrivateFormat.OpenSSH, OPEN),
        Wrong.PRIVATE,
    ),
    "private, DER": (lambda key: key.private_bytes(DER, PKCS8, OPEN), Wrong.PRIVATE),
    "private, DER, locked": (lambda key: key.private_bytes(DER, PKCS8, LOCKED), Wrong.PRIVATE),
    "private, without BEGIN": (lambda key: without_frame(key.private_bytes(PEM, PKCS8, OPEN)), Wrong.PRIVATE),
    "private, after the public": (
        lambda key: public_of(key) + key.private_bytes(PEM, TRADITIONAL, LOCKED),
        Wrong.PRIVATE,
    ),
    "private, in UTF-16": (
        lambda key: key.private_bytes(PEM, PKCS8, OPEN).decode().encode("utf-16"),
        Wrong.PRIVATE,
    ),
    "private, PKCS#12": (
        lambda key: pkcs12.serialize_key_and_certificates(b"", key, None, None, LOCKED),
        Wrong.PRIVATE,
    ),
    "the archive": (zipped, Wrong.ARCHIVE),
    "password.txt": (lambda key: archive.generate().passphrase + b"\n", Wrong.PASSPHRASE),
    "too much": (lambda key: public_of(key) + b"#" * LARGEST_UPLOAD, Wrong.TOO_LARGE),
    "a text": (lambda key: b"my key is in the other folder", Wrong.NOT_PEM),
    "DER": (lambda key: key.public_key().public_bytes(DER, SPKI), Wrong.NOT_PEM),
    "a request for a certificate": (request_of, Wrong.REQUEST),
    "two": (lambda key: public_of(key) * 2, Wrong.SEVERAL),
    "half of it": (lambda key: public_of(key)[:200], Wrong.UNREADABLE),
    "an elliptic curve": (lambda key: public_of(ec.generate_private_key(ec.SECP256R1())), Wrong.NOT_RSA),
    "1024 bits": (
        lambda key: public_of(rsa.generate_private_key(65537, 1024)),  # noqa: S505 - to be refused
        Wrong.BITS,
    ),
    "exponent 3": (
        lambda key: rsa.RSAPublicNumbers(3, key.public_key().public_numbers().n).public_key().public_bytes(PEM, SPKI),
        Wrong.EXPONENT,
    ),
    "expired": (lambda key: certificate_of(key, NOW - 9 * DAY, NOW - DAY), Wrong.EXPIRED),
    "not yet valid": (lambda key: certificate_of(key, NOW + DAY, NOW + 9 * DAY), Wrong.NOT_YET),
}


@pytest.mark.parametrize("name", REFUSED)
def test_says_what_is_wrong_with_what_was_handed_in(name: str, key: rsa.RSAPrivateKey) -> None:
    """Each mistake has a text of its own, and secrets are seen for what they are however they are packed."""
    made, wrong = REFUSED[name]
    found = read_public(made(key), NOW)
    assert isinstance(found, Problem)
    assert found.wrong is wrong
    what, remedy = TEXTS[wrong]
    assert what % found.values
    assert remedy
    assert found.has_travelled is (wrong in (Wrong.PRIVATE, Wrong.ARCHIVE, Wrong.PASSPHRASE))


@pytest.mark.parametrize("form", ["pem", "windows", "pkcs1", "utf-16", "certificate"])
def test_takes_a_public_key_however_it_was_saved(form: str, key: rsa.RSAPrivateKey) -> None:
    """PEM with either line end, PKCS#1, UTF-16 with its mark, a valid X.509 certificate."""
    pem = public_of(key)
    given = {
        "pem": pem,
        "windows": b"\xef\xbb\xbf" + pem.replace(b"\n", b"\r\n"),
        "pkcs1": key.public_key().public_bytes(PEM, serialization.PublicFormat.PKCS1),
        "utf-16": pem.decode().encode("utf-16"),
        "certificate": certificate_of(key, NOW - DAY, NOW + DAY),
    }[form]
    found = read_public(given, NOW)
    assert isinstance(found, PublicKey)
    assert found.key.public_numbers() == key.public_key().public_numbers()


# How far a replacement has come


def seen(created: datetime, *used: tuple[Digest, datetime], revoked: datetime | None = None) -> SeenCertificate:
    id_, state = uuid7(), CertificateState.REVOKED if revoked else CertificateState.ACTIVE
    certificate = Certificate(id_, id_, Purpose.PAYOUT, state, True, "f" * 64, 2048, b"", created, revoked)
    return SeenCertificate(certificate, [CertificateUse(id_, digest, at) for digest, at in used])


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("certificates", "begun", "used", "idle", "done"),
    [
        pytest.param([], False, False, False, False, id="none"),
        pytest.param([seen(NOW - 9 * DAY)], False, False, False, False, id="one"),
        pytest.param(
            [seen(NOW - 9 * DAY, (Digest.SHA1, NOW)), seen(NOW - HOUR)], True, False, False, False, id="registered"
        ),
        pytest.param(
            [seen(NOW - 9 * DAY, (Digest.SHA256, NOW - 23 * HOUR)), seen(NOW - DAY, (Digest.SHA256, NOW))],
            *(True, True, False, False),
            id="old one still in use",
        ),
        pytest.param(
            [seen(NOW - 9 * DAY, (Digest.SHA256, NOW - 24 * HOUR)), seen(NOW - DAY, (Digest.SHA256, NOW))],
            *(True, True, True, False),
            id="old one idle",
        ),
        pytest.param(
            [seen(NOW - 9 * DAY, revoked=NOW - HOUR), seen(NOW - 2 * DAY, (Digest.SHA256, NOW))],
            *(True, True, True, True),
            id="old one revoked",
        ),
        pytest.param(
            [seen(NOW - 9 * DAY, revoked=NOW - 8 * DAY), seen(NOW - 9 * DAY)], False, False, False, False, id="long ago"
        ),
        pytest.param(
            [seen(NOW - 9 * DAY, revoked=NOW - 2 * DAY), seen(NOW - DAY)], False, False, False, False, id="with a gap"
        ),
    ],
)
def test_the_checklist_ticks_itself(
    certificates: list[SeenCertificate], begun: bool, used: bool, idle: bool, done: bool
) -> None:
    """Each step of a replacement follows from the certificates and their uses."""
    found = replacement_of(certificates, NOW)
    assert (found.new is not None, found.used, found.idle, found.done) == (begun, used, idle, done)


# The pages


@pytest.fixture(scope="module")
def cabinet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cabinet]:
    folder = tmp_path_factory.mktemp("keys")
    with cabinet_served(folder, f"sqlite:///{folder / 'books.db'}") as served:
        yield served


@pytest.fixture(scope="module")
def owners_login(cabinet: Cabinet) -> Visitor:
    return cabinet.visitor("owner")


@pytest.fixture
def owner(owners_login: Visitor, nothing_active: None) -> Visitor:
    return owners_login


@pytest.fixture(scope="module")
def viewer(cabinet: Cabinet) -> Visitor:
    return cabinet.visitor("viewer")


@pytest.fixture
def nothing_active(cabinet: Cabinet) -> None:
    """Each test begins without active certificates."""

    async def revoke_all(registry: Registry) -> None:
        for one in await registry.certificates(cabinet.merchant):
            await registry.revoke_certificate(one.id)

    on_database(cabinet, revoke_all)


def on_database(cabinet: Cabinet, work: Callable[[Registry], Any]) -> Any:
    async def run() -> Any:
        async with await Database.open(cabinet.database) as database:
            return await work(Registry(database))

    return asyncio.run(run())


def certificates(cabinet: Cabinet) -> list[Certificate]:
    found: list[Certificate] = on_database(cabinet, lambda registry: registry.certificates(cabinet.merchant))
    return found


def added(cabinet: Cabinet, purpose: Purpose = Purpose.PAYOUT) -> Certificate:
    made: Certificate = on_database(
        cabinet, lambda registry: registry.add_certificate(cabinet.merchant, purpose, archive.generate().public_key)
    )
    return made


def active_ids(cabinet: Cabinet) -> set[uuid.UUID]:
    return {one.id for one in certificates(cabinet) if one.state is CertificateState.ACTIVE}


def upload(visitor: Visitor, content: bytes, purpose: str = "payout") -> Any:
    return visitor.post("/cabinet/keys/add", {"purpose": purpose, "pem": ""}, {"file": ("public.pem", content)})


def test_an_uploaded_file_becomes_a_certificate(cabinet: Cabinet, owner: Visitor) -> None:
    """The page shows its fingerprint as openssl works it out, its purpose and size."""
    files = archive.generate()
    answer = upload(owner, files.public_pem)
    assert (answer.status_code, answer.headers["location"]) == (303, "/cabinet/keys?done=added")
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-outform", "DER"], input=files.public_pem, capture_output=True, check=True
    ).stdout
    digest = subprocess.run(
        ["openssl", "dgst", "-sha256", "-r"], input=der, capture_output=True, check=True
    ).stdout.split()[0]
    page = text_of(owner.get("/cabinet/keys?done=added").text)
    assert f"Fingerprint {digest.decode()}" in page
    assert "RSA, 2048 bits" in page
    assert "payouts and balance" in page
    assert "requests signed with its key are accepted from now on" in page


def test_a_pasted_key_becomes_a_certificate_for_payments(cabinet: Cabinet, owner: Visitor) -> None:
    """Text does as well as a file, and the purpose is the one that was chosen."""
    files = archive.generate()
    answer = owner.post("/cabinet/keys/add", {"purpose": "payment", "pem": files.public_pem.decode()})
    assert answer.status_code == 303
    (made,) = [one for one in certificates(cabinet) if one.fingerprint == files.public_key.fingerprint]
    assert made.purpose is Purpose.PAYMENT


def test_a_private_key_is_named_loudly_and_goes_nowhere(cabinet: Cabinet, owner: Visitor) -> None:
    """Its owner is told that it has travelled; nothing of it comes back, is registered, or is in the log."""
    files = archive.generate()
    private = files.private_pem.decode()
    answer = owner.post("/cabinet/keys/add", {"purpose": "payout", "pem": private})
    page = text_of(answer.text)
    assert answer.status_code == 400
    assert "Stop: a secret was sent here." in page
    assert "it has travelled" in page
    assert "Make a new pair" in page
    line = private.splitlines()[7]
    assert line not in answer.text
    assert line not in cabinet.server.log()
    assert not active_ids(cabinet)


def test_every_refusal_of_the_registry_has_its_text(cabinet: Cabinet, owner: Visitor) -> None:
    """Registered already, registered for the other purpose, revoked earlier, four active: each is said."""
    files = archive.generate()
    assert upload(owner, files.public_pem).status_code == 303
    ending = files.public_key.fingerprint[-8:]
    again = upload(owner, files.public_pem)
    assert again.status_code == 400
    assert f"registered already: it is the certificate that ends in {ending}" in text_of(again.text)
    assert "for the other purpose" in text_of(upload(owner, files.public_pem, "payment").text)
    for _ in range(3):
        added(cabinet)
    fifth = archive.generate()
    assert "There are 4 active certificates" in text_of(upload(owner, fifth.public_pem).text)
    assert "There are 4 active certificates" in text_of(owner.post("/cabinet/keys/make", {"purpose": "payout"}).text)
    (first,) = [one for one in certificates(cabinet) if one.fingerprint == files.public_key.fingerprint]
    on_database(cabinet, lambda registry: registry.revoke_certificate(first.id))
    assert "was revoked earlier" in text_of(upload(owner, files.public_pem).text)


def test_a_downloaded_archive_signs_for_the_certificate_that_it_made(
    cabinet: Cabinet, owner: Visitor, tmp_path: Path
) -> None:
    """It holds the three files in the form that all five programs read; openssl opens the key with its passphrase;
    no cache may keep it, and nothing of it stays on the server."""
    answer = owner.post("/cabinet/keys/make", {"purpose": "payout"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["cache-control"] == "no-store"
    (made,) = [one for one in certificates(cabinet) if one.id in active_ids(cabinet)]
    assert answer.headers["content-disposition"] == f'attachment; filename="payout-{made.fingerprint[-8:]}.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        modes = {one.filename: one.external_attr >> 16 & 0o777 for one in packed.infolist()}
        packed.extractall(tmp_path)
    assert modes == {"payout/private.pem": 0o600, "payout/password.txt": 0o600, "payout/public.pem": 0o644}
    folder = tmp_path / "payout"
    private = (folder / "private.pem").read_bytes()
    assert private.startswith(b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,")
    assert not (folder / "password.txt").read_bytes().endswith(b"\n")
    public = subprocess.run(
        ["openssl", "pkey", "-in", folder / "private.pem", "-passin", f"file:{folder / 'password.txt'}", "-pubout"],
        capture_output=True,
        check=True,
    ).stdout
    assert public == (folder / "public.pem").read_bytes()
    found = read_public(public, NOW)
    assert isinstance(found, PublicKey)
    assert found.fingerprint == made.fingerprint
    kept = [path for path in Path(cabinet.server.log_file).parent.iterdir() if path.is_file()]
    assert kept
    secrets = (private.splitlines()[7], (folder / "password.txt").read_bytes())
    assert not [path for path in kept if any(secret in path.read_bytes() for secret in secrets)]


def test_the_openssl_commands_of_the_page_make_a_key_that_is_taken(
    cabinet: Cabinet, owner: Visitor, tmp_path: Path
) -> None:
    """Run as they stand."""
    shown = preformatted(owner.get("/cabinet/keys").text, "openssl-keygen")
    subprocess.run(["sh", "-ec", shown], cwd=tmp_path, check=True, capture_output=True)
    assert upload(owner, (tmp_path / "payout/public.pem").read_bytes()).status_code == 303


def test_sha1_is_switched_for_one_certificate(cabinet: Cabinet, owner: Visitor) -> None:
    """Off, and on again, as the registry has it then."""
    one = added(cabinet)
    for given, allowed in (("no", False), ("yes", True)):
        answer = owner.post(f"/cabinet/keys/{one.id}/sha1", {"allowed": given})
        assert answer.status_code == 303
        (now,) = [found for found in certificates(cabinet) if found.id == one.id]
        assert now.sha1_allowed is allowed


def test_revoking_takes_the_end_of_the_fingerprint(cabinet: Cabinet, owner: Visitor) -> None:
    """Typed wrong, nothing happens; typed right, it is revoked, and listed apart."""
    one, _ = added(cabinet), added(cabinet)
    path = f"/cabinet/keys/{one.id}/revoke"
    assert "1 active certificate of this purpose will remain" in text_of(owner.get(path).text)
    refused = owner.post(path, {"typed": one.fingerprint[:8]})
    assert refused.status_code == 400
    assert "Nothing was revoked" in text_of(refused.text)
    assert one.id in active_ids(cabinet)
    done = owner.post(path, {"typed": f" {one.fingerprint[-8:].upper()} "})
    assert done.headers["location"] == "/cabinet/keys?done=revoked"
    assert one.id not in active_ids(cabinet)
    assert one.fingerprint in owner.get("/cabinet/keys").text.partition("Revoked for good")[2]


def test_the_last_payout_certificate_takes_a_tick_of_its_own(cabinet: Cabinet, owner: Visitor) -> None:
    """Without it nothing is revoked; a payment certificate beside it does not count."""
    one, _ = added(cabinet), added(cabinet, Purpose.PAYMENT)
    path, typed = f"/cabinet/keys/{one.id}/revoke", {"typed": one.fingerprint[-8:]}
    assert "No active payout certificate will remain" in text_of(owner.get(path).text)
    assert owner.post(path, typed).status_code == 400
    assert one.id in active_ids(cabinet)
    assert owner.post(path, typed | {"last": "yes"}).status_code == 303
    assert one.id not in active_ids(cabinet)


def test_a_viewer_sees_and_changes_nothing(cabinet: Cabinet, nothing_active: None, viewer: Visitor) -> None:
    """The page has no forms for them, and what is sent anyway is refused."""
    one = added(cabinet)
    page = viewer.get("/cabinet/keys").text
    assert one.fingerprint in page
    assert "/cabinet/keys/" not in page
    assert viewer.get(f"/cabinet/keys/{one.id}/revoke").status_code == 403
    sent = (
        upload(viewer, archive.generate().public_pem),
        viewer.post("/cabinet/keys/make", {"purpose": "payout"}),
        viewer.post(f"/cabinet/keys/{one.id}/sha1", {"allowed": "no"}),
        viewer.post(f"/cabinet/keys/{one.id}/revoke", {"typed": one.fingerprint[-8:], "last": "yes"}),
    )
    assert [answer.status_code for answer in sent] == [403] * 4
    assert active_ids(cabinet) == {one.id}


def test_another_merchants_certificate_is_not_there(cabinet: Cabinet, nothing_active: None) -> None:
    """Its owner's pages and forms know nothing of it; operators see it, read-only, and may not change it."""
    one = added(cabinet)
    stranger, operator = cabinet.visitor("stranger"), cabinet.visitor("operator")
    assert one.fingerprint not in stranger.get("/cabinet/keys").text
    assert stranger.get(f"/cabinet/keys/{one.id}/revoke").status_code == 404
    assert stranger.post(f"/cabinet/keys/{one.id}/sha1", {"allowed": "no"}).status_code == 404
    assert stranger.get(f"/cabinet/merchants/{cabinet.merchant}/keys").status_code == 403
    page = operator.get(f"/cabinet/merchants/{cabinet.merchant}/keys")
    assert one.fingerprint in page.text
    assert "<h1>Keys: Corner shop</h1>" in page.text
    assert 'action="/cabinet/keys' not in page.text
    assert operator.get(f"/cabinet/merchants/{uuid.uuid4()}/keys").status_code == 404
    assert operator.post(f"/cabinet/keys/{one.id}/sha1", {"allowed": "no"}).status_code == 403


def test_a_form_of_elsewhere_makes_no_key(cabinet: Cabinet, owner: Visitor) -> None:
    """Without the page's token, and from another site, nothing is made."""
    elsewhere = Visitor(owner.url, owner.cookies, csrf="x")
    assert elsewhere.post("/cabinet/keys/make", {"purpose": "payout"}).status_code == 403
    answer = owner.post("/cabinet/keys/make", {"purpose": "payout"}, sec_fetch_site="cross-site")
    assert answer.status_code == 403
    assert not active_ids(cabinet)


def test_an_unknown_purpose_is_refused(cabinet: Cabinet, owner: Visitor) -> None:
    """A purpose is for ever: none is taken in its place."""
    assert upload(owner, archive.generate().public_pem, "balance").status_code == 400
    assert not active_ids(cabinet)
