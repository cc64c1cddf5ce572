"""Keys on the command line: `keygen`, and what `certificate add` takes and refuses."""

from __future__ import annotations

import datetime as dt
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from command_line import CONFIGURATION, REFUSED, USAGE, call, complaint, printed

FILES = ("private.pem", "password.txt", "public.pem")
UNKNOWN = "ffffffff-ffff-4fff-bfff-ffffffffffff"


def openssl(*arguments: str | Path) -> str:
    """What the openssl command prints; it must succeed."""
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=True).stdout


def opened_by_openssl(archive: Path, *arguments: str) -> str:
    """Read an archive's private key with its passphrase, as openssl does."""
    return openssl(
        "rsa", "-in", archive / "private.pem", "-passin", f"file:{archive / 'password.txt'}", "-noout", *arguments
    )


# Making keys


@pytest.fixture
def careless() -> Iterator[None]:
    """A umask that closes nothing."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("careless")
@pytest.mark.parametrize("name", ["private.pem", "password.txt"])
def test_secrets_are_for_their_owner_only(tmp_path: Path, name: str) -> None:
    """private.pem and password.txt have mode 0600, whatever the umask."""
    assert call("keygen", tmp_path / "keys").returncode == 0
    assert stat.S_IMODE((tmp_path / "keys" / name).stat().st_mode) == 0o600


def test_keygen_writes_three_files(archives: Callable[[str], Path]) -> None:
    """An archive is private.pem, password.txt and public.pem, and nothing else."""
    assert sorted(file.name for file in archives("payout").iterdir()) == sorted(FILES)


def test_passphrase_has_no_newline(archives: Callable[[str], Path]) -> None:
    """Java and Go read password.txt as it stands, so it holds the passphrase alone."""
    passphrase = (archives("payout") / "password.txt").read_bytes()
    assert passphrase == passphrase.strip()
    assert len(passphrase) >= 20


def test_private_key_is_traditional_and_aes_256(archives: Callable[[str], Path]) -> None:
    """By default private.pem has the one form that all five programs of the page read."""
    lines = (archives("payout") / "private.pem").read_text().splitlines()
    assert lines[:2] == ["-----BEGIN RSA PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"]
    assert lines[2].startswith("DEK-Info: AES-256-CBC,")


def test_openssl_opens_the_private_key(archives: Callable[[str], Path]) -> None:
    """The openssl command opens private.pem with password.txt, and finds the key consistent."""
    assert "RSA key ok" in opened_by_openssl(archives("payout"), "-check")


def test_public_key_is_the_private_keys_half(archives: Callable[[str], Path]) -> None:
    """public.pem is the public half of private.pem, as the openssl command sees both."""
    archive = archives("payout")
    of_public = openssl("rsa", "-pubin", "-in", archive / "public.pem", "-noout", "-modulus")
    assert opened_by_openssl(archive, "-modulus") == of_public


def test_pkcs8_is_made_on_request(tmp_path: Path) -> None:
    """--pkcs8 writes an encrypted PKCS#8 key, which the openssl command opens."""
    call("keygen", tmp_path / "keys", "--pkcs8")
    assert (tmp_path / "keys" / "private.pem").read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert "RSA key ok" in opened_by_openssl(tmp_path / "keys", "-check")


def test_bits_set_the_size(tmp_path: Path) -> None:
    """--bits makes a key of that size."""
    call("keygen", tmp_path / "keys", "--bits", "3072")
    assert "3072 bit" in opened_by_openssl(tmp_path / "keys", "-text")


@pytest.mark.parametrize("bits", ["0", "-2048", "1024", "2047", "8193", "1000000"])
def test_size_out_of_bounds_is_refused(tmp_path: Path, bits: str) -> None:
    """A key that no server would take is not made: the bounds are said, and nothing is written."""
    done = call("keygen", tmp_path / "keys", "--bits", bits)
    assert done.returncode in (USAGE, CONFIGURATION)
    assert "2048" in done.stderr
    assert "8192" in done.stderr
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    """Where only one of the three files is, it stays as it was, it is named, and the other two are not written."""
    (tmp_path / name).write_text("precious")
    said = complaint(CONFIGURATION, "keygen", tmp_path)
    assert name in said
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(name, "precious")]


def test_link_is_not_followed(tmp_path: Path) -> None:
    """A link that leads nowhere is no invitation to write there."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "private.pem").symlink_to(tmp_path / "elsewhere")
    complaint(CONFIGURATION, "keygen", tmp_path / "keys")
    assert not (tmp_path / "elsewhere").exists()


def test_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    """A path that is a file cannot hold an archive, and is named."""
    (tmp_path / "keys").write_text("a file")
    assert str(tmp_path / "keys") in complaint(CONFIGURATION, "keygen", tmp_path / "keys")


def test_passphrase_is_not_printed(tmp_path: Path) -> None:
    """What keygen says and prints does not hold the passphrase."""
    done = call("keygen", tmp_path / "keys")
    assert (tmp_path / "keys" / "password.txt").read_text() not in done.stdout + done.stderr


# Registering keys


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('keys') / 'books.db'}"


@pytest.fixture(scope="module")
def merchant(database: str) -> str:
    return str(printed("merchant", "add", "Shop", "--database", database)["merchant"])


def add(merchant: str, database: str, pem: Path) -> tuple[str | Path, ...]:
    return ("certificate", "add", "--merchant", merchant, "--purpose", "payout", pem, "--database", database)


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(key: rsa.RSAPrivateKey, first: int, last: int) -> bytes:
    """An X.509 certificate, valid from a day to a day, both counted from today."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Shop")])
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=first))
        .not_valid_after(now + dt.timedelta(days=last))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def public_half(*genpkey: str) -> bytes:
    private = subprocess.run(["openssl", "genpkey", *genpkey], capture_output=True, check=True).stdout
    return subprocess.run(["openssl", "pkey", "-pubout"], input=private, capture_output=True, check=True).stdout


EC = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
SHORT = ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024")
EXPONENT = ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt", "rsa_keygen_pubexp:3")
PLAIN = serialization.NoEncryption()
PEM = serialization.Encoding.PEM
Make = Callable[[rsa.RSAPrivateKey], bytes]

REFUSED_KEYS: list[tuple[str, Make, str]] = [
    ("EC", lambda _: public_half(*EC), "RSA"),
    ("Ed25519", lambda _: public_half("-algorithm", "ED25519"), "RSA"),
    ("1024 bits", lambda _: public_half(*SHORT), "1024 bits; 2048"),
    ("exponent 3", lambda _: public_half(*EXPONENT), "65537"),
    ("expired X.509", lambda key: certificate(key, -20, -10), "expired"),
    ("X.509 of tomorrow", lambda key: certificate(key, 1, 10), "valid only from"),
    ("private key", lambda key: key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, PLAIN), "private key"),
    (
        "traditional private key",
        lambda key: key.private_bytes(PEM, serialization.PrivateFormat.TraditionalOpenSSL, PLAIN),
        "private key",
    ),
    (
        "encrypted private key",
        lambda key: key.private_bytes(
            PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
        ),
        "private key",
    ),
    ("text", lambda _: b"The key is under the mat.\n", "PEM"),
    ("binary", lambda _: bytes(range(256)), "PEM"),
    ("empty", lambda _: b"", "PEM"),
    ("PEM of nothing", lambda _: b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "read"),
]


@pytest.mark.parametrize(("make", "said"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED_KEYS])
def test_unfit_key_is_refused(
    database: str, merchant: str, rsa_key: rsa.RSAPrivateKey, tmp_path: Path, make: Make, said: str
) -> None:
    """What is no public RSA key of good size, or no longer valid, is not registered, and the message says why."""
    pem = tmp_path / "public.pem"
    pem.write_bytes(make(rsa_key))
    assert said in complaint(CONFIGURATION, *add(merchant, database, pem))


def test_refused_key_is_not_registered(database: str, merchant: str, tmp_path: Path) -> None:
    """After a refusal the list of certificates is what it was."""
    pem = tmp_path / "public.pem"
    pem.write_bytes(public_half(*SHORT))
    before = printed("certificate", "list", "--database", database)
    call(*add(merchant, database, pem))
    assert printed("certificate", "list", "--database", database) == before


def test_missing_file_is_named(database: str, merchant: str, tmp_path: Path) -> None:
    """A file that is not there exits with 3, and is named."""
    pem = tmp_path / "nowhere.pem"
    assert str(pem) in complaint(CONFIGURATION, *add(merchant, database, pem))


def test_x509_is_the_key_it_holds(database: str, rsa_key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    """A valid X.509 certificate and the bare public key in it have the same fingerprint."""
    forms = {
        "bare.pem": rsa_key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        "x509.pem": certificate(rsa_key, -1, 10),
    }
    fingerprints = []
    for name, pem in forms.items():
        (tmp_path / name).write_bytes(pem)
        merchant = printed("merchant", "add", name, "--database", database)["merchant"]
        fingerprints.append(printed(*add(merchant, database, tmp_path / name))["fingerprint"])
    assert fingerprints[0] == fingerprints[1]


def test_fingerprint_is_that_of_openssl(database: str, archives: Callable[[str], Path], tmp_path: Path) -> None:
    """The fingerprint is the SHA-256 of the key's DER, so that it can be compared with what other tools say."""
    archive = archives("payout")
    der = tmp_path / "public.der"
    openssl("pkey", "-pubin", "-in", archive / "public.pem", "-outform", "DER", "-out", der)
    merchant = printed("merchant", "add", "Fingerprint", "--database", database)["merchant"]
    added = printed(*add(merchant, database, archive / "public.pem"))
    assert added["fingerprint"] in openssl("dgst", "-sha256", der)


def test_key_is_registered_once(database: str, archives: Callable[[str], Path]) -> None:
    """A key that the merchant has registered is refused the second time, and the message names the first."""
    merchant = printed("merchant", "add", "Twice", "--database", database)["merchant"]
    command = add(merchant, database, archives("payout") / "public.pem")
    first = printed(*command)["certificate"]
    assert first in complaint(REFUSED, *command)


# Naming merchants and certificates


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("certificate", "revoke", "nonsense"), USAGE),
        (("certificate", "revoke", UNKNOWN), REFUSED),
        (("certificate", "sha1", "nonsense", "--forbid"), USAGE),
        (("certificate", "sha1", UNKNOWN, "--forbid"), REFUSED),
        (("certificate", "list", "--merchant", "nonsense"), USAGE),
        (("certificate", "list", "--merchant", UNKNOWN), REFUSED),
        (("account", "open", "--currency", "RUB", "--merchant", "nonsense"), USAGE),
        (("account", "open", "--currency", "RUB", "--merchant", UNKNOWN), REFUSED),
    ],
)
def test_wrong_id_is_said(database: str, merchant: str, arguments: tuple[str, ...], code: int) -> None:
    """An id that is malformed (2) or of nothing here (4) is repeated in the message."""
    wrong = UNKNOWN if UNKNOWN in arguments else "nonsense"
    assert wrong in complaint(code, *arguments, "--database", database)


def test_certificate_of_an_unknown_merchant_is_refused(database: str, merchant: str, tmp_path: Path) -> None:
    """A key for a merchant who is not in the books is refused, and the merchant's id is repeated."""
    pem = tmp_path / "public.pem"
    pem.write_bytes(public_half("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"))
    assert UNKNOWN in complaint(REFUSED, *add(UNKNOWN, database, pem))


def test_revoked_certificate_is_listed_as_revoked(database: str, archives: Callable[[str], Path]) -> None:
    """A revoked certificate stays in the list, with its state and the time."""
    merchant = printed("merchant", "add", "Revoker", "--database", database)["merchant"]
    added = printed(*add(merchant, database, archives("payout") / "public.pem"))["certificate"]
    call("certificate", "revoke", added, "--database", database)
    (listed,) = printed("certificate", "list", "--merchant", merchant, "--database", database)
    assert (listed["certificate"], listed["state"]) == (added, "revoked")
    assert dt.datetime.fromisoformat(listed["revoked_at"]).tzinfo is not None
