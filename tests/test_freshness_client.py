"""The client's side of requests that are good once."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from alikassa import AsyncClient, Client, Incoming, Outgoing, RefusedError
from alikassa.client import background
from alikassa.errors import ConfigurationError, NetworkError
from alikassa.keys import open_signer
from alikassa.ledger.database import Database
from alikassa.ledger.reader import reader_for
from alikassa.ledger.registry import Registry
from alikassa.server.balance import BalanceEndpoint, Errors
from alikassa.server.log import RequestLog
from alikassa.server.verification import Verifier
from command_line import call, printed
from conftest import PAGE_ACCOUNT, PAGE_ANSWER, Server, Shop
from test_endpoint import Sent

OK = Incoming(200, {}, PAGE_ANSWER)


class Scripted:
    """Gives these answers, the last one for ever, and keeps what it was sent."""

    def __init__(self, *answers: Incoming) -> None:
        self.answers = list(answers)
        self.sent: list[Outgoing] = []

    def send(self, outgoing: Outgoing, deadline: float, /) -> Incoming:
        self.sent.append(outgoing)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def close(self) -> None:
        pass


def refusal(*fields: str, **headers: str) -> Incoming:
    told = {"message": "The given data was invalid.", "errors": {field: ["no"] for field in fields}}
    return Incoming(400, headers, json.dumps(told).encode())


@pytest.fixture
def keys(archives: Callable[[str], Path]) -> Path:
    return archives("payout")


def check(keys: Path, outgoing: Outgoing, digest: SHA1 | SHA256) -> dict[str, object]:
    """The body, which has to be signed by these keys."""
    public = load_pem_public_key((keys / "public.pem").read_bytes())
    assert isinstance(public, RSAPublicKey)
    public.verify(base64.b64decode(outgoing.sign.reveal()), outgoing.body, PKCS1v15(), digest)
    body = json.loads(outgoing.body)
    assert isinstance(body, dict)
    return body


def test_every_try_has_a_body_of_its_own(keys: Path) -> None:
    """Signed account, time and nonce; a try that follows has another nonce and signature."""
    transport = Scripted(Incoming(503, {"retry-after": "0"}, b"{}"), OK)
    with Client(PAGE_ACCOUNT.upper(), keys, fresh=True, transport=transport) as client:
        client.balance()
        client.balance()
    bodies = [check(keys, one, SHA256()) for one in transport.sent]
    assert len({str(body["nonce"]) for body in bodies}) == len({one.sign.reveal() for one in transport.sent}) == 3
    for body in bodies:
        assert list(body) == ["account", "timestamp", "nonce"]
        assert body["account"] == PAGE_ACCOUNT
        assert isinstance(body["timestamp"], int)
        assert abs(body["timestamp"] - time.time()) < 60
        assert len(base64.urlsafe_b64decode(f"{body['nonce']}==")) == 16


def test_without_it_the_body_is_the_pages(keys: Path) -> None:
    """Off by default: two bytes, and one signature for all."""
    transport = Scripted(OK)
    with Client(PAGE_ACCOUNT, keys, transport=transport) as client:
        client.balance()
        client.balance()
    assert [one.body for one in transport.sent] == [b"{}"] * 2
    assert transport.sent[0].sign is transport.sent[1].sign


def test_auto_finds_the_digest_with_it(keys: Path) -> None:
    """Each probe and each request after it signs a body of its own, with the digest in question."""
    transport = Scripted(refusal("sign"), OK)
    with Client(PAGE_ACCOUNT, keys, digest="auto", fresh=True, transport=transport) as client:
        client.balance()
        client.balance()
        assert client.digest == "sha1"
    probe, *others = transport.sent
    sha1 = SHA1()  # noqa: S303 - the wire contract's
    nonces = {check(keys, probe, SHA256())["nonce"]} | {check(keys, one, sha1)["nonce"] for one in others}
    assert len(nonces) == 3


def test_a_body_of_ones_own_is_a_contradiction(keys: Path) -> None:
    """It would not be sent."""
    with pytest.raises(ConfigurationError, match="made anew"):
        Client(PAGE_ACCOUNT, keys, body="[]", fresh=True, transport=Scripted(OK))


@pytest.mark.parametrize(
    ("off", "told"),
    [(None, "Compare this machine's clock"), (2, "Compare this machine's clock"), (-400, "ahead"), (3700, "behind")],
)
def test_a_wrong_clock_is_told(keys: Path, off: int | None, told: str) -> None:
    """By how much and which way, from the server's own Date."""
    date = {} if off is None else {"date": formatdate(time.time() + off, usegmt=True)}
    with (
        Client(PAGE_ACCOUNT, keys, fresh=True, transport=Scripted(refusal("timestamp", **date))) as client,
        pytest.raises(RefusedError) as caught,
    ):
        client.balance()
    assert told in caught.value.remedy
    if off is not None and abs(off) > 60:
        seconds = int(caught.value.remedy.partition(" s ")[0].rpartition(" ")[2])
        assert abs(seconds - abs(off)) <= 3


def test_what_is_missing_is_told(keys: Path) -> None:
    """A client without it learns of the setting."""
    with (
        Client(PAGE_ACCOUNT, keys, transport=Scripted(refusal("account", "timestamp", "nonce"))) as client,
        pytest.raises(RefusedError) as caught,
    ):
        client.balance()
    assert "fresh=True" in caught.value.remedy


class Device:
    """A signer that blocks, and answers once it is let."""

    blocks = True

    def __init__(self, keys: Path) -> None:
        self._signer = open_signer(keys)
        self.answers = threading.Event()

    def sign(self, data: bytes, /) -> bytes:
        self.answers.wait(10)
        return self._signer.sign(data)


def test_a_signer_that_blocks_signs_each_body(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the background; one that does not answer is asked for no more than so many signatures at once."""
    monkeypatch.setattr(background, "_MOST_UNDER_WAY", 2)
    device, transport = Device(keys), Scripted(OK)
    with Client(PAGE_ACCOUNT, device, fresh=True, transport=transport, attempts=1) as client:
        for words in ("No signature", "No signature", "under way"):
            with pytest.raises(NetworkError, match=words):
                client.balance(timeout=0.02)
        device.answers.set()
        until = time.monotonic() + 5
        while client._core.signing._background._under_way and time.monotonic() < until:
            time.sleep(0.01)
        client.balance()
        client.balance()
    assert len({check(keys, one, SHA256())["nonce"] for one in transport.sent}) == 2


# Both sides


class ToEndpoint:
    """Takes requests to the server's endpoint, without a network between."""

    def __init__(self, endpoint: BalanceEndpoint) -> None:
        self._endpoint = endpoint
        self.last: Outgoing | None = None

    async def send(self, outgoing: Outgoing, /) -> Incoming:
        self.last = outgoing
        asked = self._endpoint.begin(Sent({**dict(outgoing.headers), "Sign": outgoing.sign.reveal()}))
        answer = await self._endpoint.answer(asked, outgoing.body)
        return Incoming(answer.status, dict(answer.headers), answer.body)

    async def close(self) -> None:
        pass


@pytest.fixture
async def endpoint(shop: Shop) -> AsyncIterator[BalanceEndpoint]:
    async with await Database.open(shop.database) as database:
        from uuid import UUID

        await Registry(database).require_fresh(UUID(PAGE_ACCOUNT), required=True)
        reader, log = reader_for(database), RequestLog()
        yield BalanceEndpoint(database, reader, Verifier(), log, Errors.UNIFORM)
        await log.close()
        await reader.close()


@pytest.mark.anyio
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_client_and_server_understand_each_other(shop: Shop, endpoint: BalanceEndpoint) -> None:
    """Call after call is answered; what was sent once is refused when somebody sends it again."""
    transport = ToEndpoint(endpoint)
    async with AsyncClient(PAGE_ACCOUNT, shop.payout, fresh=True, transport=transport) as client:
        for _ in range(3):
            assert (await client.balance()).raw == PAGE_ANSWER
    assert transport.last is not None
    again = await transport.send(transport.last)
    assert (again.status, list(json.loads(again.body)["errors"])) == (400, ["nonce"])
    async with AsyncClient(PAGE_ACCOUNT, shop.payout, transport=transport) as plain:
        with pytest.raises(RefusedError, match="invalid") as caught:
            await plain.balance()
    assert set(caught.value.errors) == {"account", "timestamp", "nonce"}


def test_the_commands_require_it_and_ask_so(sqlite_shop: Shop, serve: Callable[..., Server]) -> None:
    """`account fresh` takes effect on a server that runs, for all its workers; `balance --fresh` is answered."""
    at = ("--database", sqlite_shop.database)
    server = serve(sqlite_shop.database, "--workers", "2")
    ask = ("balance", "--account", PAGE_ACCOUNT, "--keys", sqlite_shop.payout, "--base-url", server.url)
    assert printed("account", "fresh", PAGE_ACCOUNT, "--require", *at)["requires_fresh"] is True
    assert [one["requires_fresh"] for one in printed("account", "list", *at)] == [True]
    table = call("account", "list", *at).stdout
    assert ("requires_fresh" in table, "True" in table) == (True, True)
    refused = call(*ask)
    assert (refused.returncode, "--fresh" in refused.stderr) == (4, True)
    assert "93.84000000" in call(*ask, "--fresh").stdout
    assert "any signed request" in call("account", "fresh", PAGE_ACCOUNT, "--allow", *at).stderr
    assert "93.84000000" in call(*ask).stdout
