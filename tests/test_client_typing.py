"""The public names as a merchant's program uses them: mypy checks the types, pytest that they are true."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import assert_type

import pytest

import alikassa
from alikassa import (
    AlikassaError,
    AsyncClient,
    AsyncTransport,
    AttemptFailed,
    Balance,
    Client,
    Digest,
    DigestChosen,
    DigestSigner,
    Event,
    Incoming,
    Outgoing,
    RateLimitedError,
    RefusedError,
    RequestAnswered,
    RequestStarted,
    ServerError,
    Signer,
    Transport,
)
from conftest import PAGE_ACCOUNT, PAGE_ANSWER


class Mine:
    """A signer and a transport of one's own, without a base class."""

    def sign(self, data: bytes, /) -> bytes:
        return data

    def with_digest(self, digest: Digest, /) -> Mine:
        return self

    def send(self, outgoing: Outgoing, deadline: float, /) -> Incoming:
        return Incoming(200, {}, PAGE_ANSWER[:-1] + b',"frozen":1.50}')

    def close(self) -> None:
        """Nothing is open."""


class MineAsync:
    async def send(self, outgoing: Outgoing, /) -> Incoming:
        return Incoming(400, {}, b'{"message":"no","errors":{"sign":["bad"]}}')

    async def close(self) -> None:
        """Nothing is open."""


def describe(event: Event) -> str:
    """A hook may take events apart by their class, and mypy knows when one is left out."""
    match event:
        case RequestStarted(account=account):
            return account
        case AttemptFailed(error=error, wait=wait):
            assert_type(error, AlikassaError)
            assert_type(wait, float | None)
            return str(error)
        case RequestAnswered(seconds=seconds):
            return f"{seconds:.3f}"
        case DigestChosen(digest=digest):
            assert_type(digest, Digest)
            return digest


def test_a_synchronous_program() -> None:
    """Signer, transport and hook of one's own; the answer's fields."""
    signer: Signer = Mine()
    either: DigestSigner = Mine()
    transport: Transport = Mine()
    told: list[str] = []
    with Client(
        uuid.UUID(PAGE_ACCOUNT), signer, transport=transport, on_event=lambda event: told.append(describe(event))
    ) as client:
        assert_type(client, Client)
        found = client.balance(timeout=5)
        assert_type(client.digest, Digest | None)
    assert_type(found, Balance)
    assert_type(found.balance, Decimal)
    assert_type(found.pending_payouts, Decimal | None)
    assert_type(found.extra, Mapping[str, object])
    assert found.extra == {"frozen": "1.50"}
    assert (told[0], len(told)) == (PAGE_ACCOUNT, 2)
    Client(PAGE_ACCOUNT, either, digest="auto", transport=transport).close()
    Client(PAGE_ACCOUNT, Mine(), transport=Mine(), attempt_timeout=1, attempts=1, body="[]").close()


def test_an_asynchronous_program(archives: Callable[[str], Path]) -> None:
    """The errors' fields, after `except` by family."""
    transport: AsyncTransport = MineAsync()

    async def run() -> str:
        async with AsyncClient(PAGE_ACCOUNT, archives("payout"), digest=Digest.SHA1, transport=transport) as client:
            assert_type(client, AsyncClient)
            try:
                assert_type(await client.balance(), Balance)
            except RefusedError as error:
                assert_type(error.errors, dict[str, tuple[str, ...]])
                return error.errors["sign"][0]
            except RateLimitedError as error:
                assert_type(error.retry_after, float | None)
            except ServerError as error:
                assert_type(error.status, int)
            except AlikassaError as error:
                assert_type(error.remedy, str)
                assert_type(error.request_id, str)
            return ""

    assert asyncio.run(run()) == "bad"


@pytest.mark.parametrize("name", alikassa.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    """Each name of `__all__` can be imported and says what it is."""
    found = getattr(alikassa, name)
    assert name == "Event" or found.__doc__
