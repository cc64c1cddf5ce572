"""The pages of requests: what became of those that were really sent, whose they show to whom, and how they page."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from alikassa.ledger.database import Database
from alikassa.ledger.ids import lane_of
from alikassa.ledger.model import Purpose
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import requests
from alikassa.protocol.certificates import load_public_key
from alikassa.server.requests.kept import NOBODY, Outcome
from cabinet_server import Cabinet, Visitor, cabinet_served, text_of
from conftest import signed
from operator_server import wait_until

NO_ACCOUNT = uuid.UUID("93d5df06-996c-48c3-9847-000000000000")


@dataclass(frozen=True)
class Told:
    """The cabinet, and what was sent: the signature that the first request had."""

    cabinet: Cabinet
    account: uuid.UUID
    idle: uuid.UUID
    others: uuid.UUID
    certificate: uuid.UUID
    sign: str


async def open_accounts(cabinet: Cabinet, payout: Path) -> tuple[uuid.UUID, ...]:
    async with await Database.open(cabinet.database) as database:
        registry = Registry(database)
        key = load_public_key((payout / "public.pem").read_bytes())
        certificate = await registry.add_certificate(cabinet.merchant, Purpose.PAYOUT, key, sha1_allowed=False)
        accounts = [await registry.open_account(one, "RUB") for one in (*[cabinet.merchant] * 2, cabinet.others)]
        return (*(one.id for one in accounts), certificate.id)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, archives: Callable[[str], Path]) -> Iterator[Told]:
    """Of the first account: one answered, one of each digest, key and field refused. Of others: one each."""
    folder, payout = tmp_path_factory.mktemp("requests"), archives("payout")
    with cabinet_served(folder, f"sqlite:///{folder / 'books.db'}") as cabinet:
        account, idle, others, certificate = asyncio.run(open_accounts(cabinet, payout))

        def send(headers: dict[str, str]) -> int:
            return cabinet.server.request("POST", "/v1/account/balance", headers, b"{}")[0]

        headers = signed(payout, b"{}", account=str(account))
        agent = {"User-Agent": "till/1.0 <script>"}
        assert send(headers | agent) == 200
        assert send(signed(payout, b"{}", "sha1", account=str(account))) == 400
        assert send(signed(payout, b"[]", account=str(account))) == 400
        assert send(headers | {"Content-Type": "text/plain"}) == 400
        assert send(headers | {"Account": str(others)}) == 400
        assert send(headers | {"Account": str(NO_ACCOUNT)}) == 400
        owner = cabinet.visitor("owner")
        # They are written once a second, and why one was refused is found out after it was answered.
        path = f"/cabinet/accounts/{account}/requests"
        wait_until(lambda: _rows(owner, path) == 4)
        yield Told(cabinet, account, idle, others, certificate, headers["Sign"])


def _rows(visitor: Visitor, path: str) -> int:
    return rows_of(visitor.get(path).text)


def rows_of(page: str) -> int:
    return page.count("POST /v1/account/balance")


def shown(visitor: Visitor, path: str) -> str:
    answer = visitor.get(path)
    assert answer.status_code == 200, answer.text
    return text_of(answer.text)


def test_each_request_is_told_with_its_reason_and_remedy(told: Told) -> None:
    """Outcome, digest, key, where from; what refused one, and what to do about it. What a stranger wrote is text."""
    owner = told.cabinet.visitor("owner")
    page = owner.get(f"/cabinet/accounts/{told.account}/requests").text
    text = text_of(page)
    assert "answered HTTP 200" in text
    assert "till/1.0 <script>" in text
    assert "<script>" not in page
    assert "verified SHA-256, by the key …" in text
    assert "sha1_not_allowed" in text
    assert "The signature uses SHA-1, which is switched off for the certificate …" in text
    assert "OPENSSL_ALGO_SHA256" in text
    assert "malformed:content_type" in text
    assert "What to do: Send Content-Type: application/json." in text
    assert "wrong_signature" in text
    assert "127.0.0.1" in text
    assert f"/cabinet/accounts/{told.account}/try" in page


def test_the_signature_is_on_no_page(told: Told) -> None:
    """Nor a part of it, as text or in what the page is made of."""
    for login, path in (("owner", "/cabinet/requests"), ("operator", f"/cabinet/requests?account={told.account}")):
        page = told.cabinet.visitor(login).get(path).text
        assert rows_of(page) >= 4
        assert all(told.sign[start : start + 20] not in page for start in range(0, len(told.sign) - 20, 20))


def test_filters_choose_by_outcome_signature_and_key(told: Told) -> None:
    """Together, they all must fit; what fits none says so; what is no choice is none."""
    owner, path = told.cabinet.visitor("owner"), f"/cabinet/accounts/{told.account}/requests"

    def count(query: str) -> int:
        return _rows(owner, f"{path}?{query}")

    assert [count(f"outcome={one}") for one in ("ok", "refused", "malformed", "error", "nonsense")] == [1, 2, 1, 0, 4]
    assert (count("verified=yes"), count("verified=no"), count("verified=ok")) == (1, 3, 4)
    # The one that was answered, and the one that signed with SHA-1.
    assert count(f"certificate={told.certificate}") == 2
    assert count(f"certificate={told.certificate}&verified=no") == 1
    assert count(f"certificate={uuid.UUID(int=1)}") == 0
    assert "No request fits." in shown(owner, f"{path}?outcome=error")
    assert _rows(owner, f"/cabinet/keys/{told.certificate}/requests?verified=yes") == 1
    assert _rows(owner, f"/cabinet/requests?account={told.idle}") == 0


def test_an_account_without_requests_says_how_to_make_one(told: Told) -> None:
    """With a way to Try it."""
    page = told.cabinet.visitor("viewer").get(f"/cabinet/accounts/{told.idle}/requests").text
    assert "No request has come in yet." in page
    assert f'href="/cabinet/accounts/{told.idle}/try">Try it: make the first request' in page


def test_a_merchant_without_accounts_is_told_who_opens_them(told: Told) -> None:
    """Its page of requests is there, with nothing in it."""

    async def add() -> uuid.UUID:
        async with await Database.open(told.cabinet.database) as database:
            return (await Registry(database).add_merchant("Nobody's")).id

    merchant = asyncio.run(add())
    text = shown(told.cabinet.visitor("operator"), f"/cabinet/requests?merchant={merchant}")
    assert "No request has come in yet." in text
    assert "alikassa account open" in text


def test_another_merchants_requests_are_not_there(told: Told) -> None:
    """By its account, its key, or among one's own; and nobody's are the operator's only."""
    stranger = told.cabinet.visitor("stranger")
    for path in (
        f"/cabinet/accounts/{told.account}/requests",
        f"/cabinet/requests?account={told.account}",
        f"/cabinet/keys/{told.certificate}/requests",
        f"/cabinet/accounts/{NOBODY}/requests",
        f"/cabinet/requests?account={NOBODY}",
        f"/cabinet/keys/{uuid.UUID(int=5)}/requests",
    ):
        assert stranger.get(path).status_code == 404, path
    own = stranger.get(f"/cabinet/requests?merchant={told.cabinet.merchant}").text
    assert str(told.account) not in own
    wait_until(lambda: _rows(stranger, "/cabinet/requests") == 1)
    assert _rows(stranger, f"/cabinet/requests?certificate={told.certificate}") == 0


def test_an_operator_sees_nobodys_requests_and_chooses_whose(told: Told) -> None:
    """First those that named no account that there is; then a merchant's, or an account's."""
    operator = told.cabinet.visitor("operator")
    wait_until(lambda: "unknown_account" in operator.get("/cabinet/requests").text)
    text = shown(operator, "/cabinet/requests")
    assert "These requests named no account that there is." in text
    assert _rows(operator, "/cabinet/requests") == 1
    assert _rows(operator, f"/cabinet/requests?merchant={told.cabinet.merchant}") == 4
    assert _rows(operator, f"/cabinet/requests?account={told.others}") == 1
    assert _rows(operator, f"/cabinet/keys/{told.certificate}/requests") == 2
    assert "That is no uuid" in shown(operator, "/cabinet/requests?account=nonsense")
    assert operator.get(f"/cabinet/requests?merchant={uuid.UUID(int=5)}").status_code == 404


async def _add_rows(database: str, account: uuid.UUID, count: int) -> None:
    """Requests named by their user agents: as many as no test wants to send."""
    async with await Database.open(database) as opened, opened.write() as connection:
        for number in range(count):
            values = {
                "lane": lane_of(account),
                "account_id": account,
                "verified": number % 2 == 0,
                "id": uuid.UUID(int=(0x0190_0000_0000 + number) << 80),
                "at": datetime(2024, 3, 1, tzinfo=UTC),
                "endpoint": "/v1/account/balance",
                "status": 200,
                "outcome": Outcome.OK.value,
                "reason": "",
                "certificate_id": None,
                "digest": "sha256",
                "micros": 1234,
                "address": "203.0.113.5",
                "user_agent": f"agent-{number}.",
                "others": 7 if number == 0 else 0,
            }
            await connection.execute(requests.insert().values(values))


def test_older_requests_follow_page_by_page(told: Told) -> None:
    """All of them, the newest first, each once; a page of another question is refused."""
    asyncio.run(_add_rows(told.cabinet.database, told.idle, 60))
    owner, path = told.cabinet.visitor("owner"), f"/cabinet/accounts/{told.idle}/requests"
    seen, page = [], owner.get(path).text
    for _ in range(5):
        seen += re.findall(r"agent-(\d+)\.", page)
        found = re.search(r'href="(\?[^"]*after=[^"]+)" rel="next"', page)
        if found is None:
            break
        page = owner.get(path + found[1].replace("&amp;", "&")).text
        assert "The newest" in page
        assert "Live" not in page
    assert seen == [str(number) for number in reversed(range(60))]
    assert "and 7 more like it" in page
    assert "1.23" in page
    cursor = re.search(r"after=([^&\"]+)", owner.get(path).text)
    assert cursor is not None
    assert owner.get(f"{path}?outcome=ok&after={cursor[1]}").status_code == 400
    assert owner.get(f"{path}?after=nonsense").status_code == 400


def test_a_page_looks_again_only_when_asked_and_not_for_ever(told: Told) -> None:
    """Each time it is told how many times are left; none, and it stops."""
    owner = told.cabinet.visitor("owner")
    assert "hx-get" not in owner.get("/cabinet/requests").text
    page = owner.get("/cabinet/requests?live=120&outcome=ok").text
    assert 'hx-get="?outcome=ok&amp;live=119" hx-trigger="every 5s"' in page
    assert 'hx-get="?live=119"' in owner.get("/cabinet/requests?live=999").text
    assert 'hx-get="?live=0"' in owner.get("/cabinet/requests?live=1").text
    for ended in ("0", "-1", "9999", "²", ""):
        assert "hx-get" not in owner.get(f"/cabinet/requests?live={ended}").text
