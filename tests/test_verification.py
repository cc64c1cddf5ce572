"""Verifying signatures: equal cost for every refusal, memory for what was verified."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from alikassa.ledger.reader import ActiveCertificate, Standing
from alikassa.ledger.registry import MOST_ACTIVE
from alikassa.protocol import archive as archives_module
from alikassa.protocol.certificates import load_public_key
from alikassa.protocol.signatures import Digest, KeySigner, encode_sign
from alikassa.server import verification
from alikassa.server.verification import Verifier

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Keys:
    """Public keys by name, from archives; counts how often it is asked."""

    def __init__(self, archives: Callable[[str], Path]) -> None:
        self._archives = archives
        self.asked = 0

    async def public_keys(self, certificates: Iterable[str], /) -> dict[str, bytes]:
        self.asked += 1
        return {name: load_public_key((self._archives(name) / "public.pem").read_bytes()).der for name in certificates}

    async def find(self, account: str, /) -> Standing | None:
        raise NotImplementedError

    async def ping(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


@pytest.fixture
def keys(archives: Callable[[str], Path]) -> Keys:
    return Keys(archives)


@pytest.fixture
def sign(archives: Callable[[str], Path]) -> Callable[..., bytes]:
    def signature(name: str, body: bytes = b"{}", digest: Digest = Digest.SHA256) -> bytes:
        return KeySigner(archives_module.load(archives(name)), digest).sign(body)

    return signature


def active(*names: str, sha1_allowed: bool = True) -> tuple[ActiveCertificate, ...]:
    return tuple(ActiveCertificate(name, sha1_allowed) for name in names)


@pytest.mark.parametrize("digest", list(Digest))
async def test_any_active_certificate_may_sign(keys: Keys, sign: Callable[..., bytes], digest: Digest) -> None:
    """While keys are being replaced, each active one is good, with either digest."""
    verifier = Verifier(keys)
    for name in ("payout", "payment"):
        verified = await verifier.verify(active("payout", "payment"), sign(name, digest=digest), b"{}")
        assert verified == (name, digest)


@pytest.mark.parametrize(
    "certificates", [(), active("payment"), active("payout", sha1_allowed=False), active("payment", "third", "fourth")]
)
async def test_every_refusal_costs_the_same(
    keys: Keys, sign: Callable[..., bytes], certificates: tuple[ActiveCertificate, ...]
) -> None:
    """No certificate, a wrong one, SHA-1 switched off, several: as many RSA operations each."""
    verifier = Verifier(keys)
    assert await verifier.verify(certificates, sign("payout", digest=Digest.SHA1), b"{}") is None
    assert verifier.operations == MOST_ACTIVE


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
async def test_keys_of_another_size_cost_the_same(keys: Keys, bits: int) -> None:
    """A signature as long as another key's is still tried as often, against a key of its own length."""
    verifier = Verifier(keys)
    assert await verifier.verify(active("payout"), b"\x01" * (bits // 8), b"{}") is None
    assert verifier.operations == MOST_ACTIVE


@pytest.mark.parametrize("length", [0, 1, 255, 1025])
async def test_impossible_lengths_cost_nothing(keys: Keys, length: int) -> None:
    """What no accepted key can have made is refused unseen, for every account alike."""
    verifier = Verifier(keys)
    assert await verifier.verify(active("payout"), b"\x01" * length, b"{}") is None
    assert (verifier.operations, keys.asked) == (0, 0)


async def test_keys_are_loaded_once(keys: Keys, sign: Callable[..., bytes]) -> None:
    """A certificate's key never changes, so it is read once."""
    verifier = Verifier(keys)
    for _ in range(3):
        await verifier.verify(active("payout"), sign("payout"), b"{}")
    assert keys.asked == 1


def test_a_remembered_signature_counts_only_while_its_certificate_does(keys: Keys, sign: Callable[..., bytes]) -> None:
    """A hit is checked against the certificates as just read: gone or without SHA-1, it is no longer good."""
    verifier = Verifier(keys)
    signature = encode_sign(sign("payout"))
    verifier.remember("payout", Digest.SHA1, signature, b"{}")
    assert verifier.recall(active("payout"), signature, b"{}")
    assert verifier.recall(active("payment", "payout"), signature, b"{}")
    assert not verifier.recall(active("payout", sha1_allowed=False), signature, b"{}")
    assert not verifier.recall(active("payment"), signature, b"{}")
    assert not verifier.recall((), signature, b"{}")


def test_a_signature_is_remembered_for_its_body_alone(keys: Keys, sign: Callable[..., bytes]) -> None:
    """Another body with the same `Sign`, or another `Sign`, is not known."""
    verifier = Verifier(keys)
    signature = encode_sign(sign("payout"))
    verifier.remember("payout", Digest.SHA256, signature, b"{}")
    assert not verifier.recall(active("payout"), signature, b"[]")
    assert not verifier.recall(active("payout"), signature[:-8] + "AAAAAA==", b"{}")


def test_large_bodies_are_not_remembered(keys: Keys) -> None:
    """Memory is for the constant bodies, up to 64 bytes."""
    verifier = Verifier(keys)
    verifier.remember("payout", Digest.SHA256, "c2ln", b"x" * 64)
    verifier.remember("payout", Digest.SHA256, "c2ln", b"x" * 65)
    assert verifier.is_known("c2ln", b"x" * 64)
    assert not verifier.is_known("c2ln", b"x" * 65)


def test_memory_is_bounded_and_keeps_what_is_used(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signature not seen for longest makes room for a new one."""
    monkeypatch.setattr(verification, "_MOST_KNOWN", 3)
    verifier = Verifier(keys)
    for name in ("one", "two", "three"):
        verifier.remember("payout", Digest.SHA256, name, b"{}")
    verifier.recall(active("payout"), "one", b"{}")
    verifier.remember("payout", Digest.SHA256, "four", b"{}")
    known = [name for name in ("one", "two", "three", "four") if verifier.is_known(name, b"{}")]
    assert known == ["one", "three", "four"]
