"""The operator's pages: what wants attention over all merchants, and finding one of many."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from alikassa.errors import PayoutStateError
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Adjustment, PayoutCreate, PayoutFail, PayoutPaid
from alikassa.ledger.database import Database
from alikassa.ledger.model import Account, Bucket, Purpose
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import certificate_uses, postings
from alikassa.money import to_units
from alikassa.protocol.certificates import load_public_key
from cabinet_server import Cabinet, Visitor, cabinet_served, text_of
from command_line import call
from conftest import signed
from operator_server import wait_until

FIRST = uuid.UUID("aaaa0000-996c-48c3-9847-348d6b580b80")
SECOND = uuid.UUID("aaaa1111-996c-48c3-9847-348d6b580b81")
#: A payout that a careless page would put into a shell's command as it is.
EVIL = "x; rm $(id) <b>"


@dataclass(frozen=True)
class Told:
    cabinet: Cabinet
    operator: Visitor


async def tell(database: str, merchant: uuid.UUID, others: uuid.UUID, archives: Callable[[str], Path]) -> None:
    """Of the merchant: a payout of five days ago, a discrepancy, two keys, the first of them old. Of others: a payout
    of today."""
    now = datetime.now(UTC)
    keys = [load_public_key((archives(name) / "public.pem").read_bytes()) for name in ("payout", "payment")]
    async with await Database.open(database) as opened:
        registry = Registry(opened)
        old = await Registry(opened, lambda: now - timedelta(days=400)).add_certificate(
            merchant, Purpose.PAYOUT, keys[0]
        )
        await registry.add_certificate(merchant, Purpose.PAYOUT, keys[1])
        async with opened.write() as connection:
            used = {"certificate_id": old.id, "digest": "sha1", "last_used_at": now}
            await connection.execute(certificate_uses.insert().values(used))
        one = await registry.open_account(merchant, "RUB", FIRST)
        two = await registry.open_account(others, "USDT", SECOND)
        await pay_out(Books(opened, lambda: now - timedelta(days=5)), one, "1234567.5", EVIL, "old-1")
        await pay_out(Books(opened), two, "0.00000001", "new-1")
        books = Books(opened)
        await books.book(PayoutFail(account=one.id, reference=EVIL))
        with pytest.raises(PayoutStateError):
            await books.book(PayoutPaid(account=one.id, reference=EVIL))


async def pay_out(books: Books, account: Account, amount: str, *references: str) -> None:
    money = to_units("100000000")
    await books.book(
        Adjustment(account=account.id, bucket=Bucket.BALANCE, amount=money, reference="in", reason="to begin with")
    )
    for reference in references:
        await books.book(PayoutCreate(account=account.id, amount=to_units(amount), reference=reference))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, archives: Callable[[str], Path]) -> Iterator[Told]:
    folder = tmp_path_factory.mktemp("operator-pages")
    with cabinet_served(folder, f"sqlite:///{folder / 'books.db'}") as cabinet:
        asyncio.run(tell(cabinet.database, cabinet.merchant, cabinet.others, archives))
        # With a key that is nobody's: refused.
        headers = signed(archives("third"), b"{}", account=str(FIRST))
        assert cabinet.server.request("POST", "/v1/account/balance", headers, b"{}")[0] == 400
        operator = cabinet.visitor("operator")
        # Before the first look at the overview, which is kept for a minute.
        wait_until(lambda: "wrong_signature" in operator.get(f"/cabinet/requests?account={FIRST}").text)
        yield Told(cabinet, operator)


def shown(told: Told, path: str) -> str:
    answer = told.operator.get(path)
    assert answer.status_code == 200, answer.text
    return text_of(answer.text)


PAGES = (
    *("/cabinet/operator", "/cabinet/merchants", "/cabinet/accounts/search", "/cabinet/payouts"),
    *("/cabinet/discrepancies", "/cabinet/trial-balance"),
)


def test_only_operators_get_to_these_pages(told: Told) -> None:
    """A merchant's people are told that it is not theirs, strangers are asked to log in."""
    owner, nobody = told.cabinet.visitor("owner"), told.cabinet.visitor()
    for path in (*PAGES, f"/cabinet/merchants/{told.cabinet.merchant}"):
        assert owner.get(path).status_code == 403, path
        assert nobody.get(path).status_code == 303, path
    assert owner.post("/cabinet/trial-balance").status_code == 403


def test_the_overview_says_what_wants_attention(told: Told) -> None:
    """Counts, the payout that is stuck, the discrepancy, certificates of each kind, a request that was refused."""
    text = shown(told, "/cabinet/operator")
    assert "Merchants 2 Accounts 2 Stuck payouts 1 Open discrepancies 1 Counted at" in text
    assert "1,234,567.50 RUB , old-1 , 5 days: Corner shop" in text
    assert "1 discrepancy is open" in text
    assert "Corner shop aaaa0000 refused HTTP 400 wrong_signature 0" in text
    assert re.search(r"Being replaced .* Corner shop payouts and balance 2 ", text)
    assert re.search(r"SHA-1 in the last 30 days Merchant Purpose Last Corner shop payouts and balance", text)
    assert re.search(r"Older than a year Merchant Purpose Registered Corner shop payouts and balance", text)


def test_the_overview_tells_the_last_verification(told: Told) -> None:
    """That there was none; then what it found."""
    assert "The books were never verified as a whole." in shown(told, "/cabinet/operator")
    assert call("books", "verify", "--database", told.cabinet.database).returncode == 0
    text = shown(told, "/cabinet/operator")
    assert "they are true Everything was worked out again from the journal, and agrees. Last verified" in text
    assert "Accounts 2 Entries 6" in text


def test_merchants_are_found_by_name(told: Told) -> None:
    """A name is shown as it is written, and leads to the merchant's accounts, keys and people."""
    assert "Another <b>shop</b>" in shown(told, "/cabinet/merchants")
    assert "<b>" not in told.operator.get("/cabinet/merchants").text
    text = shown(told, "/cabinet/merchants?name=CORNER")
    assert "Corner shop" in text
    assert "Another" not in text
    assert "No merchant's name has this part." in shown(told, "/cabinet/merchants?name=nobody")
    text = shown(told, f"/cabinet/merchants/{told.cabinet.merchant}")
    assert "RUB aaaa0000 98,765,432.50 0.00 0.00 1,234,567.50" in text
    assert "owner owner switched off" in text
    assert "viewer viewer switched off" in text
    assert "stranger" not in text
    assert "payouts and balance active" in text
    assert told.operator.get(f"/cabinet/merchants/{uuid.UUID(int=5)}").status_code == 404


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {FIRST, SECOND}),
        ("uuid=AAAA", {FIRST, SECOND}),
        ("uuid=aaaa1", {SECOND}),
        (f"uuid={FIRST}", {FIRST}),
        ("uuid=bbbb", set()),
        ("name=corner", {FIRST}),
        ("currency=usdt", {SECOND}),
        ("name=corner&currency=usdt", set()),
        ("name=nobody", set()),
        ("uuid=nonsense", set()),
    ],
)
def test_accounts_are_searched(told: Told, query: str, found: set[uuid.UUID]) -> None:
    """By uuid, its beginning, the merchant's name, currency; all that are given must fit."""
    page = told.operator.get(f"/cabinet/accounts/search?{query}").text
    assert {one for one in (FIRST, SECOND) if f'href="/cabinet/accounts/{one}"' in page} == found
    assert ("No uuid begins like that." in page) == ("nonsense" in query)


def test_accounts_of_a_merchant_come_in_pages(told: Told) -> None:
    """Each once, also past the first page."""

    async def open_many() -> None:
        async with await Database.open(told.cabinet.database) as database:
            registry = Registry(database)
            merchant = await registry.add_merchant("Many")
            for _ in range(51):
                await registry.open_account(merchant.id, "EUR")

    asyncio.run(open_many())
    path, seen = "/cabinet/accounts/search?currency=EUR", []
    for _ in range(3):
        page = told.operator.get(path).text
        seen += re.findall(r'href="/cabinet/accounts/([0-9a-f-]{36})"', page)
        found = re.search(r'href="(\?[^"]+)" rel="next"', page)
        if found is None:
            break
        path = "/cabinet/accounts/search" + found[1].replace("&amp;", "&")
    assert (len(seen), len(set(seen))) == (51, 51)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["old-1", "new-1"]),
        ("days=3", ["old-1"]),
        ("state=failed", [EVIL]),
        ("state=", [EVIL, "old-1", "new-1"]),
        (f"state=&account={SECOND}", ["new-1"]),
        ("state=paid", []),
        ("account=nonsense", ["old-1", "new-1"]),
    ],
)
def test_payouts_are_listed_by_state_age_and_account(told: Told, query: str, found: list[str]) -> None:
    """Those under way unless others are asked for; the smallest amount is there to its last decimal."""
    text = shown(told, f"/cabinet/payouts?{query}")
    seen = [one for one in (EVIL, "old-1", "new-1") if f" {one} " in text]
    assert seen == found
    assert ("0.00000001 USDT" in text) == ("new-1" in found)
    assert ("long" in re.findall(r"\w+", text.partition("Fee")[2])) == ("old-1" in found)


def test_a_discrepancy_says_what_closes_it(told: Told) -> None:
    """With a command in which a reference is one word, whatever it is; closed, it is no longer among the open ones."""
    text = shown(told, "/cabinet/discrepancies")
    command = f"alikassa payout correct {FIRST} '{EVIL}' --to paid --reference REFERENCE --reason 'REASON'"
    assert command in text
    assert "In the books failed . In the books it failed: the money is back in the balance." in text
    corrected = call(
        *("payout", "correct", str(FIRST), EVIL, "--to", "paid"),
        *("--reference", "fix", "--reason", "bank statement", "--database", told.cabinet.database),
    )
    assert corrected.returncode == 0, corrected.stderr
    assert "No discrepancy is open" in shown(told, "/cabinet/discrepancies")
    text = shown(told, "/cabinet/discrepancies?show=all")
    assert "Closed by Entry 5" in text
    assert command not in text


def test_the_trial_balance_is_worked_out_when_asked_for(told: Told) -> None:
    """Not by looking at the page. It sums to zero, and says when it was worked out and how long that took."""
    assert "Worked out at" not in shown(told, "/cabinet/trial-balance")
    told.operator.read_token("/cabinet/trial-balance")
    assert told.operator.post("/cabinet/trial-balance").headers["location"] == "/cabinet/trial-balance"
    text = shown(told, "/cabinet/trial-balance")
    assert re.search(r"Worked out at \d+ \w+ 2\d{3}, [\d:]{8} in [\d,.]+ ms\.", text)
    usdt = text.partition(" USDT ")[2]
    assert "Balance 99,999,999.99999999 Hold 0.00 Rolling reserve 0.00 Pending payouts 0.00000001" in usdt
    assert "Adjustments −100,000,000.00" in usdt
    assert "Together 0.00 USDT" in usdt


def test_a_search_by_name_says_when_there_are_more(told: Told) -> None:
    """More merchants than are looked at: their accounts are not all there, and the page says so."""

    async def add_many() -> None:
        async with await Database.open(told.cabinet.database) as database, database.write() as connection:
            registry = Registry(database, within=connection)
            for number in range(51):
                await registry.add_merchant(f"Kiosk {number}")

    asyncio.run(add_many())
    words = "More merchants have this part in their names: only the accounts of the first 50 are here."
    assert words in shown(told, "/cabinet/accounts/search?name=kiosk")
    assert words not in shown(told, "/cabinet/accounts/search?name=corner")
    page = told.operator.get("/cabinet/merchants?name=kiosk").text
    following = re.search(r'href="(\?[^"]+)" rel="next"', page)
    assert following is not None
    second = told.operator.get("/cabinet/merchants" + following[1].replace("&amp;", "&")).text
    names = re.findall(r">(Kiosk \d+)</a>", page + second)
    assert (len(names), len(set(names))) == (51, 51)


def test_a_cursor_of_nothing_is_refused(told: Told) -> None:
    """In words of its own page."""
    for path in ("/cabinet/payouts", "/cabinet/discrepancies"):
        assert told.operator.get(f"{path}?after={quote('nonsense')}").status_code == 400


def test_books_that_do_not_balance_are_said_to(told: Told) -> None:
    """What somebody changed past the triggers: loudly, and in what currency. The last, since nothing holds after it."""

    async def tamper() -> None:
        async with await Database.open(told.cabinet.database) as database, database.write() as connection:
            await connection.exec_driver_sql("DROP TRIGGER postings_no_update")
            changed = sa.update(postings).where(postings.c.account_id == SECOND, postings.c.amount < 0)
            await connection.execute(changed.values(amount=to_units("-1")))

    asyncio.run(tamper())
    told.operator.read_token("/cabinet/trial-balance")
    text = text_of(told.operator.post("/cabinet/trial-balance").text)
    assert "The books do not balance." in text
    assert "in USDT sum to" in text
    assert "Worked out at" not in shown(told, "/cabinet/trial-balance")


def test_an_account_may_take_only_requests_that_are_good_once(told: Told) -> None:
    """Switched on its page by its owner and by an operator; a viewer sees it, another merchant's owner does not."""
    path = f"/cabinet/accounts/{FIRST}"
    viewer, stranger = told.cabinet.visitor("viewer"), told.cabinet.visitor("stranger")
    for who, given, said in (
        (told.operator, "yes", "Only requests that are good once"),
        (told.cabinet.visitor("owner"), "no", "Any request with a good signature"),
    ):
        answer = who.post(f"{path}/fresh", {"required": given})
        assert answer.status_code == 303
        after = who.get(answer.headers["location"]).text
        assert "Changed, from the next request on." in after
        assert f'action="{path}/fresh"' in after
        assert said in text_of(after)
        seen = viewer.get(path).text
        assert said in text_of(seen)
        assert "/fresh" not in seen
        assert asyncio.run(_requires_fresh(told.cabinet.database)) is (given == "yes")
    assert viewer.post(f"{path}/fresh", {"required": "yes"}).status_code == 403
    assert stranger.post(f"{path}/fresh", {"required": "yes"}).status_code == 404
    assert asyncio.run(_requires_fresh(told.cabinet.database)) is False


async def _requires_fresh(database: str) -> bool:
    async with await Database.open(database) as opened:
        return (await Registry(opened).account(FIRST)).requires_fresh
