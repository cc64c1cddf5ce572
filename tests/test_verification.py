"""Verifying signatures: equal cost for every refusal, memory for what was verified."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from alikassa.ledger.reader import ActiveCertificate
from alikassa.ledger.registry import MOST_ACTIVE
from alikassa.protocol import archive as archives_module
from alikassa.protocol.certificates import load_public_key, load_public_key_der
from alikassa.protocol.signatures import Digest, KeySigner, signed_digest
from alikassa.server import verification
from alikassa.server.verification import Verified, Verifier

Active = Callable[..., tuple[ActiveCertificate, ...]]


@pytest.fixture
def active(archives: Callable[[str], Path]) -> Active:
    """Active certificates named after the archives that their keys are in."""

    def certificates(*names: str, sha1_allowed: bool = True) -> tuple[ActiveCertificate, ...]:
        return tuple(
            ActiveCertificate(name, sha1_allowed, load_public_key((archives(name) / "public.pem").read_bytes()).der)
            for name in names
        )

    return certificates


@pytest.fixture
def sign(archives: Callable[[str], Path]) -> Callable[..., bytes]:
    def signature(name: str, body: bytes = b"{}", digest: Digest = Digest.SHA256) -> bytes:
        return KeySigner(archives_module.load(archives(name)), digest).sign(body)

    return signature


@pytest.mark.parametrize("digest", list(Digest))
def test_any_active_certificate_may_sign(active: Active, sign: Callable[..., bytes], digest: Digest) -> None:
    """While keys are being replaced, each active one is good, with either digest."""
    verifier = Verifier()
    for name in ("payout", "payment"):
        verified = verifier.verify(active("payout", "payment"), sign(name, digest=digest), b"{}")
        assert verified == Verified(name, digest)


@pytest.mark.parametrize(
    ("names", "sha1_allowed"),
    [((), True), (("payment",), True), (("payout",), False), (("payment", "third", "fourth"), True)],
)
def test_every_refusal_costs_the_same(
    active: Active, sign: Callable[..., bytes], names: tuple[str, ...], sha1_allowed: bool
) -> None:
    """No certificate, a wrong one, SHA-1 switched off, several: as many RSA operations each."""
    verifier = Verifier()
    assert verifier.verify(active(*names, sha1_allowed=sha1_allowed), sign("payout", digest=Digest.SHA1), b"{}") is None
    assert verifier.operations == MOST_ACTIVE


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_keys_of_another_size_cost_the_same(active: Active, bits: int) -> None:
    """A signature as long as another key's is still tried as often, against a key of its own length."""
    verifier = Verifier()
    assert verifier.verify(active("payout"), b"\x01" * (bits // 8), b"{}") is None
    assert verifier.operations == MOST_ACTIVE


@pytest.mark.parametrize("length", [0, 1, 255, 1025])
def test_impossible_lengths_cost_nothing(active: Active, length: int) -> None:
    """What no accepted key can have made is refused unseen, for every account alike."""
    verifier = Verifier()
    assert verifier.verify(active("payout"), b"\x01" * length, b"{}") is None
    assert verifier.operations == 0


@pytest.mark.parametrize("signature", [b"\xff" * 256, b"\x00" * 256, b"\x80" + b"\x00" * 255])
def test_every_operation_is_real_arithmetic(active: Active, monkeypatch: pytest.MonkeyPatch, signature: bytes) -> None:
    """OpenSSL turns a number past the modulus down without any work; none is handed to it."""
    seen: list[tuple[int, int]] = []

    def watched(key: RSAPublicKey, signature: bytes, body: bytes) -> Digest | None:
        seen.append((int.from_bytes(signature), key.public_numbers().n))
        return signed_digest(key, signature, body)

    monkeypatch.setattr(verification, "signed_digest", watched)
    verifier = Verifier()
    assert verifier.verify(active("payout", "payment"), signature, b"{}") is None
    assert len(seen) == verifier.operations == MOST_ACTIVE
    assert all(number < modulus for number, modulus in seen)


def test_keys_are_loaded_once(active: Active, sign: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate's key never changes, so it is parsed once."""
    loaded: list[bytes] = []

    def load(der: bytes) -> RSAPublicKey:
        loaded.append(der)
        return load_public_key_der(der)

    monkeypatch.setattr(verification, "load_public_key_der", load)
    verifier = Verifier()
    for _ in range(3):
        verifier.verify(active("payout"), sign("payout"), b"{}")
    assert len(loaded) == 1


def test_what_was_verified_holds_only_while_its_certificate_does(active: Active) -> None:
    """A hit is checked against the certificates as just read: gone or without SHA-1, it is no longer good."""
    verified = Verified("payout", Digest.SHA1)
    assert verified.holds(active("payout"))
    assert verified.holds(active("payment", "payout"))
    assert not verified.holds(active("payout", sha1_allowed=False))
    assert not verified.holds(active("payment"))
    assert not verified.holds(())
    assert Verified("payout", Digest.SHA256).holds(active("payout", sha1_allowed=False))


def test_a_signature_is_remembered_for_its_body_alone() -> None:
    """Another body with the same `Sign`, or another `Sign`, is not known."""
    verifier = Verifier()
    verifier.remember(Verified("payout", Digest.SHA256), "c2lnbg==", b"{}")
    assert verifier.look_up("c2lnbg==", b"{}") == Verified("payout", Digest.SHA256)
    assert verifier.look_up("c2lnbg==", b"[]") is None
    assert verifier.look_up("c2lnbh==", b"{}") is None


def test_large_bodies_are_not_remembered() -> None:
    """Memory is for the constant bodies, up to 64 bytes."""
    verifier = Verifier()
    for length in (64, 65):
        verifier.remember(Verified("payout", Digest.SHA256), "c2ln", b"x" * length)
    assert verifier.look_up("c2ln", b"x" * 64) is not None
    assert verifier.look_up("c2ln", b"x" * 65) is None


def test_memory_is_bounded_and_keeps_what_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for again and again stays, however many others pass by, and they do not pile up."""
    monkeypatch.setattr(verification, "_MOST_KNOWN", 8)
    verifier = Verifier()
    verifier.remember(Verified("payout", Digest.SHA256), "often", b"{}")
    for n in range(100):
        verifier.remember(Verified("payout", Digest.SHA256), f"once {n}", b"{}")
        assert verifier.look_up("often", b"{}") is not None
    assert sum(verifier.look_up(f"once {n}", b"{}") is not None for n in range(100)) <= 8
