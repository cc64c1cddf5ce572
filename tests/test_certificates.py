"""Keys and archives. They are made by the openssl command line where the other side's word counts."""

from __future__ import annotations

import os
import subprocess
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from alikassa.errors import CertificateError
from alikassa.protocol import archive
from alikassa.protocol.certificates import load_private_key, load_public_key

PASSPHRASE = b"correct horse"


def openssl(*arguments: str | Path) -> bytes:
    return subprocess.run(["openssl", *arguments], capture_output=True, check=True).stdout


def private_pem(*options: str, bits: int = 2048) -> bytes:
    """A new key as openssl writes it, protected by PASSPHRASE."""
    return openssl("genrsa", *options, "-passout", f"pass:{PASSPHRASE.decode()}", str(bits))


@pytest.fixture(scope="module")
def traditional() -> bytes:
    return private_pem("-traditional", "-aes256")


@pytest.mark.parametrize(
    "options", [("-traditional", "-aes256"), ("-traditional", "-aes128"), ("-traditional", "-des3"), ("-aes256",)]
)
def test_keys_in_both_formats_are_read(options: tuple[str, ...]) -> None:
    """Traditional PEM (BEGIN RSA PRIVATE KEY) and PKCS#8 (BEGIN ENCRYPTED PRIVATE KEY) open with their passphrase."""
    pem = private_pem(*options)
    assert (b"BEGIN RSA PRIVATE KEY" in pem) == ("-traditional" in options)
    assert load_private_key(pem, PASSPHRASE).key_size == 2048


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n", b"\n\n"])
def test_a_newline_after_the_passphrase_does_no_harm(traditional: bytes, ending: bytes) -> None:
    """Editors end files with a newline; the passphrase is tried as it stands and then without."""
    assert load_private_key(traditional, PASSPHRASE + ending).key_size == 2048


def test_a_passphrase_may_end_with_a_newline_of_its_own(tmp_path: Path) -> None:
    """As it stands comes first: a passphrase that has a newline as its last character opens its key."""
    key = load_private_key(private_pem("-traditional", "-aes256"), PASSPHRASE)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.BestAvailableEncryption(b"odd\n"),
    )
    assert load_private_key(pem, b"odd\n").private_numbers() == key.private_numbers()


def test_a_key_without_protection_is_read() -> None:
    """A private.pem that was decrypted by hand needs no passphrase, and one beside it does no harm."""
    pem = openssl("genrsa", "2048")
    assert load_private_key(pem, None).key_size == 2048
    assert load_private_key(pem, b"unused").key_size == 2048


def _product_frames(error: BaseException) -> str:
    """The variables of every frame of the traceback, but for this test's own."""
    frames = traceback.TracebackException.from_exception(error, capture_locals=True).stack
    return repr([frame.locals for frame in frames if frame.filename != __file__])


def _damaged() -> bytes:
    # In the modulus. Damage to one of the private numbers alone OpenSSL makes good from the others.
    lines = openssl("genrsa", "-traditional", "2048").splitlines()
    lines[2] = lines[2][::-1]
    return b"\n".join(lines)


@pytest.mark.parametrize(
    ("make", "passphrase", "says"),
    [
        (lambda: b"", PASSPHRASE, "not a PEM"),
        (lambda: b"PK\x03\x04 a zip file", PASSPHRASE, "not a PEM"),
        (lambda: b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----", None, "cannot be read"),
        (lambda: private_pem("-traditional", "-aes256"), b"wrong", "does not open"),
        (lambda: private_pem("-aes256"), b"wrong", "does not open"),
        (lambda: private_pem("-aes256"), PASSPHRASE + b" ", "does not open"),
        (lambda: private_pem("-traditional", "-aes256"), None, "there is none"),
        (lambda: private_pem("-aes256", bits=1024), PASSPHRASE, "1024 bits"),
        (lambda: openssl("genrsa", "-3", "2048"), None, "exponent 3"),
        (lambda: openssl("ecparam", "-genkey", "-name", "prime256v1"), None, "not an RSA key"),
        (lambda: openssl("genpkey", "-algorithm", "ed25519"), None, "not an RSA key"),
        (_damaged, None, "damaged"),
    ],
)
def test_unusable_private_keys_are_refused_with_the_cause(
    make: Callable[[], bytes], passphrase: bytes | None, says: str
) -> None:
    """Each way a private key can be wrong has its own words, and they show neither key nor passphrase."""
    pem = make()
    with pytest.raises(CertificateError, match=says) as caught:
        load_private_key(pem, passphrase)
    told = f"{caught.value} {caught.value.remedy} {_product_frames(caught.value)}"
    assert "correct horse" not in told
    assert not any(len(line) > 30 and line.decode("latin-1") in told for line in pem.splitlines())


def test_public_key_given_as_private_is_told(tmp_path: Path) -> None:
    """Mixing up the two files is told as such."""
    with pytest.raises(CertificateError, match="public key, not a private one"):
        load_private_key(archive.generate().public_pem, None)


@pytest.fixture(scope="module")
def x509(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Self-signed certificates: one valid, one expired, one not valid yet."""
    folder = tmp_path_factory.mktemp("x509")
    key = folder / "key.pem"
    key.write_bytes(openssl("genrsa", "2048"))
    common = ("req", "-x509", "-key", key, "-subj", "/CN=merchant")
    made = {"valid": openssl(*common, "-days", "30"), "key": key.read_bytes()}
    request = openssl("req", "-new", "-key", key, "-subj", "/CN=merchant")
    (folder / "request.pem").write_bytes(request)
    for name, start, end in (
        ("expired", "20200101000000Z", "20200201000000Z"),
        ("early", "20900101000000Z", "20910101000000Z"),
    ):
        (folder / "index").write_text("")
        (folder / "serial").write_text("01\n")
        (folder / "ca.cnf").write_text(
            f"[ca]\ndefault_ca=c\n[c]\nnew_certs_dir={folder}\ndatabase={folder}/index\nserial={folder}/serial\n"
            "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n"
        )
        openssl(
            *("ca", "-config", folder / "ca.cnf", "-batch", "-selfsign", "-keyfile", key),
            *("-in", folder / "request.pem", "-startdate", start, "-enddate", end, "-out", folder / f"{name}.pem"),
        )
        made[name] = openssl("x509", "-in", folder / f"{name}.pem")
    return made


def test_a_valid_x509_certificate_is_taken(x509: dict[str, bytes]) -> None:
    """A certificate gives its public key, with the fingerprint that openssl computes for it."""
    key = load_public_key(x509["valid"])
    der = subprocess.run(
        ["openssl", "pkey", "-pubout", "-outform", "DER"], input=x509["key"], capture_output=True, check=True
    ).stdout
    digest = subprocess.run(["openssl", "dgst", "-sha256", "-r"], input=der, capture_output=True, check=True).stdout
    assert key.fingerprint == digest.split()[0].decode()


@pytest.mark.parametrize(
    ("name", "says"), [("expired", "expired on 2020-02-01"), ("early", "valid only from 2090-01-01")]
)
def test_x509_certificates_out_of_time_are_refused(x509: dict[str, bytes], name: str, says: str) -> None:
    """The validity of an X.509 certificate is checked when it is registered."""
    with pytest.raises(CertificateError, match=says):
        load_public_key(x509[name])


def test_a_private_key_given_as_public_is_refused(traditional: bytes) -> None:
    """Nobody registers a private key by mistake."""
    with pytest.raises(CertificateError, match="private key"):
        load_public_key(traditional)


@pytest.mark.parametrize("pem", [b"", b"junk", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"])
def test_junk_is_no_public_key(pem: bytes) -> None:
    """A file that holds no public key is told as such."""
    with pytest.raises(CertificateError, match="cannot be read"):
        load_public_key(pem)


def test_openssl_reads_a_new_archive(tmp_path: Path) -> None:
    """A generated archive is what all of the page's languages read: traditional AES-256, no newline, one key."""
    files = archive.generate()
    archive.write(tmp_path / "new", files)
    pem = (tmp_path / "new" / "private.pem").read_bytes()
    assert pem.startswith(b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,")
    assert not (tmp_path / "new" / "password.txt").read_bytes().endswith(b"\n")
    public = openssl(
        *("rsa", "-in", tmp_path / "new" / "private.pem", "-passin", f"file:{tmp_path}/new/password.txt", "-pubout")
    )
    assert public == files.public_pem == (tmp_path / "new" / "public.pem").read_bytes()


def test_pkcs8_archive_is_pkcs8() -> None:
    """On request private.pem is PKCS#8."""
    assert archive.generate(pkcs8=True).private_pem.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")


def test_a_new_archive_is_closed_to_others(tmp_path: Path) -> None:
    """private.pem and password.txt are readable by their owner only, whatever the umask."""
    before = os.umask(0)
    try:
        archive.write(tmp_path / "new", archive.generate())
    finally:
        os.umask(before)
    modes = {name: (tmp_path / "new" / name).stat().st_mode & 0o777 for name in ("private.pem", "password.txt")}
    assert modes == {"private.pem": 0o600, "password.txt": 0o600}


@pytest.mark.parametrize("name", ["private.pem", "password.txt", "public.pem"])
def test_an_archive_never_overwrites(tmp_path: Path, name: str) -> None:
    """One file that is there keeps all three from being written, a dangling link too."""
    (tmp_path / name).symlink_to(tmp_path / "nowhere")
    with pytest.raises(CertificateError, match="nothing was written"):
        archive.write(tmp_path, archive.generate())
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_readable_key_is_warned_of(tmp_path: Path) -> None:
    """A key that others on the machine may read still works, with a warning that says how to close it."""
    archive.write(tmp_path / "new", archive.generate())
    (tmp_path / "new" / "private.pem").chmod(0o644)
    with pytest.warns(archive.InsecureKeyWarning, match="chmod 600"):
        archive.load(tmp_path / "new")


def test_a_closed_key_is_not_warned_of(tmp_path: Path) -> None:
    """Nothing is said about an archive as we make it."""
    archive.write(tmp_path / "new", archive.generate())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        archive.load(tmp_path / "new")


@pytest.mark.parametrize(("missing", "says"), [("private.pem", "no .*private.pem"), ("password.txt", "there is none")])
def test_an_incomplete_archive_is_told(tmp_path: Path, missing: str, says: str) -> None:
    """The file that is missing is named, with what to do."""
    archive.write(tmp_path / "new", archive.generate())
    (tmp_path / "new" / missing).unlink()
    with pytest.raises(CertificateError, match=says):
        archive.load(tmp_path / "new")


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """The message names the folder and how to make an archive."""
    with pytest.raises(CertificateError, match="no folder") as caught:
        archive.load(tmp_path / "nowhere")
    assert "alikassa keygen" in caught.value.remedy


def test_files_that_cannot_be_keys_are_refused(tmp_path: Path) -> None:
    """A file that is far too large, or a folder in its place, is told without reading all of it."""
    (tmp_path / "private.pem").write_bytes(b"x" * 70_000)
    with pytest.raises(CertificateError, match="too large"):
        archive.load(tmp_path)
    (tmp_path / "private.pem").unlink()
    (tmp_path / "private.pem").mkdir()
    with pytest.raises(CertificateError, match="Cannot read"):
        archive.load(tmp_path)


def test_an_archive_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A file where the folder should be: nothing is written, and the message says why."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CertificateError, match="Cannot write"):
        archive.write(tmp_path / "file" / "new", archive.generate())


@pytest.mark.parametrize("bits", [1024, 2047, 8193, -1])
def test_keys_of_other_sizes_are_not_made(bits: int) -> None:
    """What would not be accepted is not generated either."""
    with pytest.raises(CertificateError, match="not accepted"):
        archive.generate(bits)


def test_secrets_are_not_in_reprs() -> None:
    """The files in memory show neither key nor passphrase."""
    files = archive.generate()
    assert files.passphrase.decode() not in repr(files)
    assert "PRIVATE KEY" not in repr(files)
