"""Places of a key: the environment, a stream, and what is said of a place that is none."""

from __future__ import annotations

import base64
import io
import os
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from alikassa.errors import AlikassaError, CertificateError, ConfigurationError
from alikassa.keys import open_signer, public_key_of, read_key
from conftest import openssl_sign
from test_cli_keys import openssl


@pytest.fixture
def archive(archives: Callable[[str], Path]) -> Path:
    return archives("payout")


@pytest.fixture
def expected(archive: Path) -> bytes:
    """The signature over `{}` as openssl makes it."""
    return base64.b64decode(openssl_sign(archive, b"{}"))


@pytest.fixture
def forms(archive: Path, tmp_path: Path) -> dict[str, bytes]:
    """The archive's key in other forms, all made by openssl from the protected one."""
    source = ("-in", str(archive / "private.pem"), "-passin", f"file:{archive / 'password.txt'}")
    made = {
        "traditional": ("rsa", *source, "-traditional"),
        "pkcs8": ("pkey", *source),
        "protected pkcs8": ("pkcs8", *source, "-topk8", "-passout", "env:PASSPHRASE"),
    }
    found: dict[str, bytes] = {"protected traditional": (archive / "private.pem").read_bytes()}
    for name, command in made.items():
        for form in ("PEM", "DER"):
            environment = os.environ | {"PASSPHRASE": (archive / "password.txt").read_text()}
            done = subprocess.run(
                ["openssl", *command, "-outform", form], capture_output=True, check=True, env=environment
            )
            found[f"{name} {form}"] = done.stdout
    return found


def test_a_variable_holds_the_key(
    archive: Path, forms: dict[str, bytes], expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PEM, PEM on one line with written newlines, base64 of PEM and of DER, protected or not: all sign alike."""
    monkeypatch.setenv("KEY_PASSPHRASE", (archive / "password.txt").read_text())
    for name, content in forms.items():
        values = [base64.b64encode(content).decode()]
        if "DER" not in name:
            values += [content.decode(), content.decode().replace("\n", "\\n")]
        for value in values:
            monkeypatch.setenv("KEY", value)
            assert open_signer("env:KEY").sign(b"{}") == expected, name


def test_a_stream_holds_the_key(archive: Path, forms: dict[str, bytes], expected: bytes) -> None:
    """A stream of bytes or of text, in any of the forms."""
    passphrase = (archive / "password.txt").read_text()
    for name, content in forms.items():
        assert read_key(io.BytesIO(content), passphrase).sign(b"{}") == expected, name
    with (archive / "private.pem").open(encoding="ascii") as file:
        assert read_key(file, passphrase.encode()).sign(b"{}") == expected


class Pipe(io.RawIOBase):
    """A raw stream: gives what has arrived, not what was asked for."""

    def __init__(self, content: bytes) -> None:
        self._left = content

    def read(self, size: int = -1, /) -> bytes:
        given, self._left = self._left[:100], self._left[100:]
        return given


def test_a_stream_that_gives_less_than_asked_is_read_on(archive: Path, expected: bytes) -> None:
    """Pipes and sockets do so."""
    passphrase = (archive / "password.txt").read_bytes()
    assert read_key(Pipe((archive / "private.pem").read_bytes()), passphrase).sign(b"{}") == expected


def test_a_closed_stream_is_told() -> None:
    """It is a CertificateError, as every stream that cannot be read."""
    closed = io.BytesIO()
    closed.close()
    with pytest.raises(CertificateError, match="cannot be read"):
        read_key(closed)


def test_a_stream_without_an_end_is_not_read_to_its_end() -> None:
    """No more than 64 KiB and one byte are read."""

    class Endless:
        read_so_far = 0

        def read(self, size: int, /) -> bytes:
            assert 0 <= size <= 64 * 1024 + 1
            self.read_so_far += size
            return b"x" * size

    endless = Endless()
    with pytest.raises(CertificateError, match="too large"):
        read_key(endless)
    assert endless.read_so_far == 64 * 1024 + 1


def test_digest_is_chosen(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of the environment signs with SHA-1 when asked to."""
    monkeypatch.setenv("KEY", (archive / "private.pem").read_text())
    passphrase = (archive / "password.txt").read_bytes()
    signature = open_signer("env:KEY", "sha1", passphrase=passphrase).sign(b"[]")
    assert base64.b64encode(signature).decode() == openssl_sign(archive, b"[]", "sha1")


def test_fingerprint_is_that_of_openssl(archive: Path, tmp_path: Path) -> None:
    """`public_key_of` tells the fingerprint of the archive's public.pem, and None for a signer that does not say."""
    der = tmp_path / "public.der"
    openssl("pkey", "-pubin", "-in", archive / "public.pem", "-outform", "DER", "-out", der)
    found = public_key_of(open_signer(archive))
    assert found is not None
    assert found.fingerprint in openssl("dgst", "-sha256", der)

    class Mute:
        def sign(self, data: bytes, /) -> bytes:
            return b""

    assert public_key_of(Mute()) is None


# What is wrong, and no secret in it


def complaint(keys: str, passphrase: bytes | None = None) -> AlikassaError:
    with pytest.raises(AlikassaError) as caught:
        open_signer(keys, passphrase=passphrase)
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("env:ABSENT", "ABSENT is not set"),
        ("env:", "no name"),
        ("gopher:key", "gopher: is no place"),
        ("", "no place"),
        ("a\0b", "no place"),
    ],
)
def test_wrong_place_is_a_configuration_error(keys: str, said: str) -> None:
    """A place that is none is a mistake in the settings, and what is wrong with it is said."""
    error = complaint(keys)
    assert isinstance(error, ConfigurationError)
    assert said in str(error)


def test_missing_passphrase_names_its_variable(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A protected key without its passphrase: the remedy is the variable that would hold it."""
    monkeypatch.setenv("KEY", (archive / "private.pem").read_text())
    error = complaint("env:KEY")
    assert isinstance(error, CertificateError)
    assert "KEY_PASSPHRASE" in error.remedy


def test_the_key_in_place_of_its_place_is_not_repeated(forms: dict[str, bytes]) -> None:
    """Whoever gives the key itself is told so, without a part of it."""
    for content in (forms["pkcs8 PEM"].decode(), base64.b64encode(forms["pkcs8 DER"]).decode()):
        error = complaint(content)
        assert content[40:80] not in f"{error}{error.remedy}"
        assert "the key itself" in str(error)
        assert content[40:80] not in str(complaint(f"env:{content}"))


def variables(error: BaseException) -> str:
    """Everything that a tool would print which shows the variables of a traceback in this project's code."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [frame for frame in shown.stack if f"{Path('src') / 'alikassa'}" in frame.filename]
    assert frames
    return "".join(f"{frame.locals}" for frame in frames) + str(error)


def test_no_secret_in_a_traceback(forms: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the key nor a passphrase is in a variable of the traceback, wherever they came from."""
    content = forms["protected pkcs8 PEM"]
    part = content.decode()[100:140]
    monkeypatch.setenv("KEY", content.decode())
    monkeypatch.setenv("KEY_PASSPHRASE", "open sesame")
    for error in (complaint("env:KEY"), complaint("env:KEY", b"open sesame")):
        assert "open sesame" not in variables(error)
        assert part not in variables(error)
    with pytest.raises(CertificateError) as caught:
        read_key(io.BytesIO(content), "open sesame")
    assert "open sesame" not in variables(caught.value)
    assert part not in variables(caught.value)
    with pytest.raises(CertificateError, match="too large") as caught:
        read_key(io.BytesIO(content + bytes(100_000)))
    assert part not in variables(caught.value)
    monkeypatch.setenv("KEY", content.decode() + "x" * 100_000)
    assert part not in variables(complaint("env:KEY"))
