"""Merchants, certificates and accounts, on both engines."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from alikassa.errors import ConflictError, InvalidInputError, NotFoundError
from alikassa.ledger.database import Database
from alikassa.ledger.ids import LANES, lane_of, uuid7
from alikassa.ledger.model import BUCKETS, CertificateState, Merchant, Purpose
from alikassa.ledger.registry import MOST_ACTIVE, Registry
from alikassa.protocol import archive
from alikassa.protocol.certificates import PublicKey, load_public_key

pytestmark = pytest.mark.anyio


@pytest.fixture
async def registry(migrated_url: str, anyio_backend: str) -> AsyncIterator[Registry]:
    async with await Database.open(migrated_url) as database:
        yield Registry(database)


@pytest.fixture
async def merchant(registry: Registry) -> Merchant:
    return await registry.add_merchant("Лавка")


@pytest.fixture
def key(archives: Callable[[str], Path]) -> PublicKey:
    return load_public_key((archives("payout") / "public.pem").read_bytes())


@pytest.fixture(scope="module")
def more_keys() -> list[PublicKey]:
    return [archive.generate().public_key for _ in range(MOST_ACTIVE)]


async def test_a_certificate_is_kept_as_it_was_registered(
    registry: Registry, merchant: Merchant, key: PublicKey
) -> None:
    """What is listed is what was added, key and all."""
    added = await registry.add_certificate(merchant.id, Purpose.PAYOUT, key, sha1_allowed=False)
    assert await registry.certificates() == await registry.certificates(merchant.id) == [added]
    assert (added.public_key, added.fingerprint, added.bits) == (key.der, key.fingerprint, 2048)
    assert (added.state, added.sha1_allowed, added.revoked_at) == (CertificateState.ACTIVE, False, None)


async def test_a_revoked_certificate_stays_revoked(registry: Registry, merchant: Merchant, key: PublicKey) -> None:
    """Revoking is final: again changes nothing, and the same key does not come back."""
    added = await registry.add_certificate(merchant.id, Purpose.PAYOUT, key)
    revoked = await registry.revoke_certificate(added.id)
    assert revoked.state is CertificateState.REVOKED
    assert await registry.revoke_certificate(added.id) == revoked
    assert await registry.certificates() == [revoked]
    with pytest.raises(ConflictError, match="revoked"):
        await registry.add_certificate(merchant.id, Purpose.PAYOUT, key)


async def test_a_key_has_one_purpose(registry: Registry, merchant: Merchant, key: PublicKey) -> None:
    """Registered for one purpose, a key is refused for the other, revoked or not."""
    first = await registry.add_certificate(merchant.id, Purpose.PAYMENT, key)
    with pytest.raises(ConflictError, match="active payment"):
        await registry.add_certificate(merchant.id, Purpose.PAYOUT, key)
    await registry.revoke_certificate(first.id)
    with pytest.raises(ConflictError, match="revoked, as payment"):
        await registry.add_certificate(merchant.id, Purpose.PAYOUT, key)


async def test_active_certificates_of_a_purpose_are_bounded(
    registry: Registry, merchant: Merchant, key: PublicKey, more_keys: list[PublicKey]
) -> None:
    """MOST_ACTIVE of each purpose; revoking one makes room."""
    added = [await registry.add_certificate(merchant.id, Purpose.PAYOUT, one) for one in more_keys]
    with pytest.raises(ConflictError, match="most there may be"):
        await registry.add_certificate(merchant.id, Purpose.PAYOUT, key)
    assert (await registry.add_certificate(merchant.id, Purpose.PAYMENT, key)).purpose is Purpose.PAYMENT
    await registry.revoke_certificate(added[0].id)
    other = archive.generate().public_key
    await registry.add_certificate(merchant.id, Purpose.PAYOUT, other)


async def test_two_merchants_may_have_the_same_key(registry: Registry, merchant: Merchant, key: PublicKey) -> None:
    """A public key is no secret: registering another's gives nothing away and takes nothing from anybody."""
    other = await registry.add_merchant("Other")
    await registry.add_certificate(merchant.id, Purpose.PAYOUT, key)
    await registry.add_certificate(other.id, Purpose.PAYOUT, key)
    assert len(await registry.certificates()) == 2


async def test_sha1_is_switched_for_one_certificate(
    registry: Registry, merchant: Merchant, key: PublicKey, more_keys: list[PublicKey]
) -> None:
    """The other certificates keep what they had."""
    one = await registry.add_certificate(merchant.id, Purpose.PAYOUT, key)
    two = await registry.add_certificate(merchant.id, Purpose.PAYOUT, more_keys[0])
    assert not (await registry.allow_sha1(one.id, allowed=False)).sha1_allowed
    assert {each.id: each.sha1_allowed for each in await registry.certificates()} == {one.id: False, two.id: True}
    assert (await registry.allow_sha1(one.id, allowed=True)).sha1_allowed


async def test_an_account_is_opened_empty(registry: Registry, merchant: Merchant) -> None:
    """With its currency, at nothing, under the given uuid or a new one."""
    given = uuid.uuid4()
    one = await registry.open_account(merchant.id, "RUB", given)
    two = await registry.open_account(merchant.id, "USDT")
    assert one.id == given
    assert one.buckets == dict.fromkeys(BUCKETS, 0)
    assert await registry.accounts(merchant.id) == [one, two]


async def test_a_uuid_is_opened_once(registry: Registry, merchant: Merchant) -> None:
    """The uuid of an account names it for ever, whoever's it is."""
    account = await registry.open_account(merchant.id, "RUB")
    other = await registry.add_merchant("Other")
    with pytest.raises(ConflictError):
        await registry.open_account(other.id, "RUB", account.id)


async def test_a_uuid_asked_for_twice_at_once_is_opened_once(registry: Registry, merchant: Merchant) -> None:
    """Two merchants that race for a uuid: one gets it, the other is told."""
    other = await registry.add_merchant("Other")
    account = uuid.uuid4()
    results = await asyncio.gather(
        *(registry.open_account(owner.id, "RUB", account) for owner in (merchant, other)), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["Account", "ConflictError"]


async def test_what_belongs_to_nobody_is_refused(registry: Registry, key: PublicKey) -> None:
    """Unknown merchants and certificates are told as such."""
    nobody = uuid.uuid4()
    for attempt in (
        registry.add_certificate(nobody, Purpose.PAYOUT, key),
        registry.open_account(nobody, "RUB"),
        registry.certificates(nobody),
        registry.accounts(nobody),
        registry.revoke_certificate(nobody),
        registry.allow_sha1(nobody, allowed=True),
    ):
        with pytest.raises(NotFoundError):
            await attempt


@pytest.mark.parametrize("name", ["", "  ", "a\x00b", "x" * 201])
async def test_a_merchant_has_a_readable_name(registry: Registry, name: str) -> None:
    """Names are for people to read."""
    with pytest.raises(InvalidInputError):
        await registry.add_merchant(name)


def test_lanes_are_spread_by_the_end_of_the_uuid() -> None:
    """The lane is the uuid modulo the number of lanes: its last bits."""
    account = uuid.UUID("93d5df06-996c-48c3-9847-348d6b580b80")
    assert (lane_of(account), LANES) == (0x80 % 64, 64)
    assert {lane_of(uuid.uuid4()) for _ in range(5000)} == set(range(LANES))


def test_new_ids_are_version_7_and_rise_with_time() -> None:
    """RFC 9562: version 7, the variant's two bits, and the time first."""
    made = [uuid7() for _ in range(50)]
    assert {(one.version, one.variant) for one in made} == {(7, uuid.RFC_4122)}
    times = [one.int >> 80 for one in made]
    assert times == sorted(times)
    assert len(set(made)) == 50
