"""Making and verifying `Sign`. The other side is the openssl command line."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alikassa.errors import InvalidInputError
from alikassa.protocol import archive as archives_module
from alikassa.protocol.certificates import load_public_key
from alikassa.protocol.signatures import Digest, KeySigner, decode_sign, encode_sign, signed_digest
from conftest import openssl_sign

BODIES = [b"{}", b"[]", b"null", b"", b"\x00\xff\n", b"x" * 5000]
SAME_ARCHIVE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)


@pytest.fixture
def archive(archives: Callable[[str], Path]) -> Path:
    return archives("payout")


@pytest.mark.parametrize("digest", list(Digest))
@pytest.mark.parametrize("body", BODIES)
def test_what_openssl_signs_is_recognised_with_its_digest(archive: Path, body: bytes, digest: Digest) -> None:
    """A signature by openssl over these bytes is found valid, and which digest it used is told."""
    key = load_public_key((archive / "public.pem").read_bytes()).key
    assert signed_digest(key, decode_sign(openssl_sign(archive, body, digest)), body) is digest


@pytest.mark.parametrize("digest", list(Digest))
@pytest.mark.parametrize("body", BODIES)
def test_what_we_sign_is_what_openssl_signs(archive: Path, body: bytes, digest: Digest) -> None:
    """PKCS#1 v1.5 is deterministic: our `Sign` is openssl's, to the letter."""
    signer = KeySigner(archives_module.load(archive), digest)
    assert encode_sign(signer.sign(body)) == openssl_sign(archive, body, digest)


@pytest.mark.parametrize("digest", ["sha224", "sha384", "sha512", "md5"])
def test_other_digests_are_refused(archive: Path, digest: str) -> None:
    """Only SHA-256 and SHA-1 are in the contract."""
    key = load_public_key((archive / "public.pem").read_bytes()).key
    assert signed_digest(key, decode_sign(openssl_sign(archive, b"{}", digest)), b"{}") is None


def test_pss_padding_is_refused(archive: Path) -> None:
    """A signature by the same key with another padding is not the contract's."""
    key = load_public_key((archive / "public.pem").read_bytes()).key
    signature = subprocess.run(
        [
            *("openssl", "dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sign", archive / "private.pem"),
            *("-passin", f"file:{archive}/password.txt"),
        ],
        input=b"{}",
        capture_output=True,
        check=True,
    ).stdout
    assert signed_digest(key, signature, b"{}") is None


def test_another_key_is_refused(archive: Path, archives: Callable[[str], Path]) -> None:
    """A valid signature does not verify under somebody else's key."""
    key = load_public_key((archives("payment") / "public.pem").read_bytes()).key
    assert signed_digest(key, decode_sign(openssl_sign(archive, b"{}")), b"{}") is None


@SAME_ARCHIVE
@given(bit=st.integers(min_value=0, max_value=2047))
def test_any_changed_bit_of_a_signature_spoils_it(archive: Path, bit: int) -> None:
    """There is no second signature one bit away from a valid one."""
    key = load_public_key((archive / "public.pem").read_bytes()).key
    signature = bytearray(KeySigner(archives_module.load(archive)).sign(b"{}"))
    signature[bit // 8] ^= 1 << bit % 8
    assert signed_digest(key, bytes(signature), b"{}") is None


@SAME_ARCHIVE
@given(body=st.binary(max_size=40), other=st.binary(max_size=40))
def test_a_signature_belongs_to_its_body_alone(archive: Path, body: bytes, other: bytes) -> None:
    """It verifies over the bytes that were signed and over no others."""
    key = load_public_key((archive / "public.pem").read_bytes()).key
    signature = KeySigner(archives_module.load(archive)).sign(body)
    assert (signed_digest(key, signature, other) is Digest.SHA256) == (body == other)


@pytest.mark.parametrize("length", [0, 1, 255, 257, 512])
def test_signatures_of_other_lengths_are_refused(archive: Path, length: int) -> None:
    """A 2048-bit key makes 256 bytes, no fewer and no more."""
    key = load_public_key((archive / "public.pem").read_bytes()).key
    assert signed_digest(key, b"\x01" * length, b"{}") is None


@given(st.binary(min_size=1, max_size=1024))
def test_base64_goes_both_ways(signature: bytes) -> None:
    """Any signature survives the header, spelled as the standard library spells it."""
    assert encode_sign(signature) == base64.b64encode(signature).decode()
    assert decode_sign(encode_sign(signature)) == signature


GOOD = base64.b64encode(b"\xfb\xff" + b"a" * 254).decode()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f" {GOOD}", "whitespace"),
        (GOOD[:76] + "\n" + GOOD[76:], "whitespace"),
        (GOOD[:76] + " " + GOOD[76:], "whitespace"),
        (GOOD.replace("+", "-").replace("/", "_"), "URL-safe"),
        (GOOD.rstrip("="), "base64"),
        (GOOD + "=", "base64"),
        ("A" * 1369, "longer"),
        ("", "base64"),
        ("====", "base64"),
        ("abc\u0430", "base64"),
        ("{}", "base64"),
        # Two spellings of one byte: the second leaves bits over that standard encoders set to zero.
        ("YR==", "base64"),
    ],
)
def test_other_spellings_are_refused_with_the_cause(text: str, says: str) -> None:
    """What is not the one standard spelling is refused; the text says why and does not repeat the value."""
    with pytest.raises(InvalidInputError, match=says) as caught:
        decode_sign(text)
    assert len(text) < 8 or text not in str(caught.value)


def test_a_signer_shows_no_key(archive: Path) -> None:
    """Printed, a signer tells its kind and nothing of its key."""
    assert repr(KeySigner(archives_module.load(archive))) == "<KeySigner RSA-2048 sha256>"
