"""Every address of the cabinet, by everybody: who is let in, what others see of it, and hostile texts on every page.

A new route needs a line in `EXPECTED`, or this fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
import requests

from alikassa import clock
from alikassa.cabinet.pages import ROUTES
from alikassa.cabinet.sessions import Sessions
from alikassa.cabinet.users import Role, Users
from alikassa.errors import InvalidInputError, PayoutStateError
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Freeze, HoldPlace, Payment, PayoutCreate, PayoutFail, PayoutPaid, Refund, SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.model import Purpose
from alikassa.ledger.policy import Policy
from alikassa.ledger.registry import Registry
from alikassa.protocol import archive
from cabinet_server import PASSWORD, Cabinet, Visitor, cabinet_served, password_hash
from operator_server import wait_until
from test_cabinet_attacks import kept

SCRIPT = "<script>alert(1)</script>"
HOSTILE = (
    SCRIPT,
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)' x='",
    "{{7*7}}{% raw %}%(x)s${7*7}",
    "</title></textarea><svg/onload=alert(1)>",
    "&lt;b&gt;&#x6a;avascript:alert(1)//",
)
#: A text that nobody but the merchant's people and operators may see.
OWN = "order-of-the-corner-shop"

#: What each gets who opens an address of the merchant's, or sends a form there: nobody, viewer, owner, the owner of
#: another merchant, operator. "-": not sent here, since it does something; other tests do.
EXPECTED = {
    "GET /": "303 303 303 303 303",
    "GET /login": "200 303 303 303 303",
    "GET /{rest:path}": "404 404 404 404 404",
    "GET /accounts": "303 200 200 200 200",
    "GET /accounts/search": "303 403 403 403 200",
    "GET /accounts/{account:uuid}": "303 200 200 404 200",
    "GET /accounts/{account:uuid}/chart.json": "303 200 200 404 200",
    "GET /accounts/{account:uuid}/statement": "303 200 200 404 200",
    "GET /accounts/{account:uuid}/statement/print": "303 200 200 404 200",
    "GET /accounts/{account:uuid}/statement.csv": "303 200 200 404 200",
    "GET /accounts/{account:uuid}/entries/{sequence:int}": "303 200 200 404 200",
    "GET /accounts/{account:uuid}/requests": "303 200 200 404 200",
    "GET /accounts/{account:uuid}/try": "303 200 200 404 200",
    "GET /discrepancies": "303 403 403 403 200",
    "GET /keys": "303 200 200 200 403",
    "GET /keys/{certificate:uuid}/requests": "303 200 200 404 200",
    "GET /keys/{certificate:uuid}/revoke": "303 403 200 404 403",
    "GET /merchants": "303 403 403 403 200",
    "GET /merchants/{merchant:uuid}": "303 403 403 403 200",
    "GET /merchants/{merchant:uuid}/keys": "303 403 403 403 200",
    "GET /operator": "303 403 403 403 200",
    "GET /payouts": "303 403 403 403 200",
    "GET /profile": "303 200 200 200 200",
    "GET /programs/{name:str}": "303 200 200 200 200",
    "GET /requests": "303 200 200 200 200",
    "GET /trial-balance": "303 403 403 403 200",
    "POST /accounts/{account:uuid}/fresh": "303 403 - 404 -",
    "POST /keys/add": "303 403 - - 403",
    "POST /keys/make": "303 403 - - 403",
    "POST /keys/{certificate:uuid}/revoke": "303 403 - 404 403",
    "POST /keys/{certificate:uuid}/sha1": "303 403 - 404 403",
    "POST /language": "403 - - - -",
    "POST /login": "403 - - - -",
    "POST /logout": "303 - - - -",
    "POST /profile/codes": "303 - - - -",
    "POST /profile/codes/confirm": "303 - - - -",
    "POST /profile/codes/off": "303 - - - -",
    "POST /profile/everywhere": "303 - - - -",
    "POST /profile/password": "303 - - - -",
    "POST /trial-balance": "303 403 403 403 -",
}
#: Pages that show what others wrote; each must be found to.
SHOWING = [
    *("/accounts/{account:uuid}", "/accounts/{account:uuid}/statement", "/accounts/{account:uuid}/statement/print"),
    *("/accounts/{account:uuid}/entries/{sequence:int}", "/accounts/{account:uuid}/requests", "/requests", "/profile"),
    *("/payouts", "/discrepancies", "/merchants", "/merchants/{merchant:uuid}", "/operator"),
]
ROUTED = {f"{method} {path}": path for one in ROUTES for path in one.paths for method in map(str, one.http_methods)}
WALKED = sorted(set(ROUTED) & set(EXPECTED))


@dataclass(frozen=True)
class Walk:
    """`fields` fill the merchant's own ids into an address; `visitors` come in the order of `EXPECTED`."""

    cabinet: Cabinet
    fields: dict[str, str]
    visitors: dict[str, Visitor]

    def ask(self, who: str, route: str, **other: str) -> requests.Response:
        visitor = self.visitors[who]
        path = filled(route, self.fields | other)
        return visitor.get(path) if route.startswith("GET") else visitor.post(path, {"typed": "x"})


def filled(route: str, fields: dict[str, str]) -> str:
    return "/cabinet" + re.sub(r"{(\w+):\w+}", lambda found: fields[found[1]], route.partition(" ")[2])


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    folder = tmp_path_factory.mktemp("walk")
    with cabinet_served(folder, f"sqlite:///{folder / 'books.db'}") as cabinet:
        fields = asyncio.run(write_down(cabinet))
        for agent in HOSTILE:
            headers = {"Account": fields["account"], "Sign": "AAAA", "User-Agent": agent}
            asked = requests.post(f"{cabinet.server.url}/v1/account/balance", "{}", headers=headers, timeout=30)
            assert asked.status_code == 400
        visitors = {"nobody": cabinet.visitor()}
        for login in ("viewer", "owner", "stranger", "operator"):
            visitors[login] = cabinet.visitor(login)
        yield Walk(cabinet, fields, visitors)


async def write_down(cabinet: Cabinet) -> dict[str, str]:
    """Books with a hostile text wherever there may be a text."""
    async with await Database.open(cabinet.database) as database:
        registry, books, users = Registry(database), Books(database), Users(database)
        account = (await registry.open_account(cabinet.merchant, "RUB")).id
        certificate = await registry.add_certificate(cabinet.merchant, Purpose.PAYOUT, archive.generate().public_key)
        terms = Policy(hold_percent=10 * 10**8, hold_days=30, reserve_percent=5 * 10**8, reserve_days=180)
        await books.book(SetPolicy(account=account, policy=terms, reference="terms"))
        long_ago = clock.now() - timedelta(days=9)
        for text in (OWN, *HOSTILE):
            metadata = {text: text}
            common: dict[str, Any] = {"account": account, "reason": text, "metadata": metadata}
            await books.book(Payment(amount=10**12, reference=text, **common))
            await books.book(HoldPlace(amount=10**8, reference=text, **common))
            await books.book(Refund(payment=text, amount=10**9, reference=text, **common))
            await books.book(PayoutCreate(amount=10**8, reference=text, effective_at=long_ago, **common))
            await books.book(PayoutCreate(amount=10**8, reference=f"paid {text}", **common))
            await books.book(PayoutPaid(account=account, reference=f"paid {text}"))
            with contextlib.suppress(PayoutStateError):
                await books.book(PayoutFail(account=account, reference=f"paid {text}"))
            merchant = (await registry.add_merchant(text)).id
            other = (await registry.open_account(merchant, "EUR")).id
            await books.book(Freeze(account=other, reference=text, reason=text))
            await users.add(text, Role.VIEWER, password_hash(), merchant=cabinet.merchant)
            for login in ("owner", "operator"):
                user = await users.by_login(login)
                assert user is not None
                await Sessions(database).open(user.id, "192.0.2.1", text)
        return {
            "account": str(account),
            "certificate": str(certificate.id),
            "merchant": str(cabinet.merchant),
            "sequence": "2",
            "name": "balance.php",
            "rest": "elsewhere",
            "fingerprint": certificate.fingerprint,
        }


# Who is let in


def test_every_route_has_an_expectation() -> None:
    """A new one is walked too."""
    assert set(ROUTED) == set(EXPECTED)


@pytest.mark.parametrize("route", WALKED)
def test_each_is_let_in_where_they_belong(route: str, walk: Walk) -> None:
    """And nowhere else; what is refused changes nothing."""
    before = kept(walk.cabinet)
    expected = dict(zip(walk.visitors, EXPECTED[route].split(), strict=True))
    for who, status in expected.items():
        if status == "-":
            continue
        answer = walk.ask(who, route)
        assert (who, str(answer.status_code)) == (who, status)
        if who == "nobody" and status == "303" and route != "GET /":
            assert answer.headers["location"].startswith("/cabinet/login")
            assert answer.text == ""
    assert kept(walk.cabinet) == before


@pytest.mark.parametrize("route", [one for one in WALKED if re.search("{(account|certificate|merchant):", one)])
def test_what_is_anothers_is_as_if_it_were_not_there(route: str, walk: Walk) -> None:
    """The same answer, to the byte, as for an id that nobody has."""
    nobodys = dict.fromkeys(("account", "certificate", "merchant"), str(uuid.uuid4()))
    one, other = walk.ask("stranger", route), walk.ask("stranger", route, **nobodys)
    assert one.status_code in (403, 404)
    assert (one.status_code, one.text) == (other.status_code, other.text)
    differs = {"date", "x-request-id"}
    assert [pair for pair in one.headers.items() if pair[0].lower() not in differs] == [
        pair for pair in other.headers.items() if pair[0].lower() not in differs
    ]


@pytest.mark.parametrize("route", [one for one in WALKED if one.startswith("GET")])
def test_nothing_of_a_merchants_is_on_another_merchants_page(route: str, walk: Walk) -> None:
    """Whatever ids the address asks for, in its path or after the question mark."""
    ids = "&".join(f"{name}={walk.fields[name]}" for name in ("account", "certificate", "merchant"))
    path = filled(route, walk.fields)
    for query in ("", f"?{ids}", *(f"?{one}" for one in ids.split("&")), f"?name=Corner&after={uuid.UUID(int=0)}"):
        page = walk.visitors["stranger"].get(path + query).text
        for secret in (OWN, "Corner shop", walk.fields["fingerprint"], walk.fields["fingerprint"][-8:]):
            assert secret not in page


# Hostile texts


class Page(HTMLParser):
    """A page as a browser reads it: its texts, and whatever in it could run, load or lead elsewhere."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self.wrong: list[str] = []
        self._inside = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        given = {name: value or "" for name, value in attrs}
        self.texts += given.values()
        if tag in ("img", "iframe", "object", "embed", "base", "style", "link") and (
            tag != "link" or not given["href"].startswith("/cabinet/static/")
        ):
            self.wrong.append(tag)
        if tag == "script" and not given.get("src", "").startswith("/cabinet/static/"):
            self.wrong.append("script")
        self.wrong += [f"{tag} {name}" for name in given if name.startswith("on") or name in ("style", "srcdoc")]
        for name in ("href", "src", "action", "formaction", "hx-get", "hx-post", "data-source", "xlink:href"):
            if name in given and not re.match(r"/cabinet[/?#]|[?#]|$", given[name]):
                self.wrong.append(f"{tag} {name}={given[name]}")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script" and data.strip():
            self.wrong.append("script with a text")
        self.texts.append(data)

    def shows(self, text: str) -> bool:
        return any(text in one for one in self.texts)


@pytest.mark.parametrize("route", [one for one in WALKED if one.startswith("GET")])
def test_hostile_texts_are_texts(route: str, walk: Walk) -> None:
    """Nothing that somebody wrote runs, loads or leads elsewhere, on any page; and it is shown as it was written."""
    shown: set[str] = set()
    queries = (
        "",
        f"?show=all&state=&done={SCRIPT}&name={SCRIPT[:4]}&uuid={SCRIPT}&from={SCRIPT}&with={SCRIPT}&live={SCRIPT}",
        f"?reference={SCRIPT}&to={SCRIPT}&account={SCRIPT}&after={SCRIPT}&next={SCRIPT}&days={SCRIPT}",
    )
    for who in ("nobody",) if "login" in route else ("viewer", "owner", "operator"):
        for query in queries:
            answer = walk.visitors[who].get(filled(route, walk.fields) + query)
            if not answer.headers.get("content-type", "").startswith("text/html"):
                assert answer.headers["x-content-type-options"] == "nosniff"
                continue
            page = Page(answer.text)
            assert page.wrong == []
            shown |= {text for text in HOSTILE if page.shows(text)}
    path = route.partition(" ")[2]
    if path in SHOWING:
        # One entry has one of them, and the overview the oldest.
        at_least = 0 if "{sequence" in path else 1 if path == "/operator" else len(HOSTILE)
        assert len(shown) >= at_least


def test_hostile_texts_of_every_entry(walk: Walk) -> None:
    """Reference, reason, the metadata's names and values."""
    found: dict[str, int] = dict.fromkeys(HOSTILE, 0)
    for sequence in range(1, 60):
        answer = walk.ask("viewer", "GET /accounts/{account:uuid}/entries/{sequence:int}", sequence=str(sequence))
        if answer.status_code == 404:
            break
        page = Page(answer.text)
        assert page.wrong == []
        for text in HOSTILE:
            found[text] = max(found[text], sum(text in one for one in page.texts))
    assert all(times >= 4 for times in found.values()), found


def test_requests_show_who_sent_them(walk: Walk) -> None:
    """With the program's name, as it was written."""

    def all_there() -> bool:
        page = Page(walk.ask("owner", "GET /accounts/{account:uuid}/requests").text)
        assert page.wrong == []
        return all(page.shows(text) for text in HOSTILE)

    wait_until(all_there)


def test_a_hostile_login_is_a_text(walk: Walk) -> None:
    """In every page's head, beside the picture for the codes, and when it is refused."""
    login = HOSTILE[1]
    visitor = walk.cabinet.visitor(login)
    for path in ("/cabinet/accounts", "/cabinet/profile", "/cabinet/keys"):
        page = Page(visitor.get(path).text)
        assert page.wrong == []
        assert page.shows(login)
    codes = Page(visitor.post("/cabinet/profile/codes", {"password": PASSWORD}).text)
    assert codes.wrong == []
    refused = Page(walk.cabinet.visitor().log_in(login, "wrong").text)
    assert refused.wrong == []
    assert refused.shows(login)


@pytest.mark.parametrize("text", ["a\N{RIGHT-TO-LEFT OVERRIDE}b", "a\N{ZERO WIDTH SPACE}b", "a\N{RIGHT-TO-LEFT MARK}b"])
def test_texts_that_deceive_the_eye_are_not_kept(text: str, walk: Walk) -> None:
    """Characters that turn a line round or are not seen never get into the books, nor into a login."""

    async def try_all() -> None:
        async with await Database.open(walk.cabinet.database) as database:
            books, account = Books(database), uuid.UUID(walk.fields["account"])
            for command in (
                Payment(account=account, amount=1, reference=text),
                Payment(account=account, amount=1, reference="x", reason=text),
                Payment(account=account, amount=1, reference="x", metadata={text: "x"}),
                Payment(account=account, amount=1, reference="x", metadata={"x": text}),
            ):
                with pytest.raises(InvalidInputError):
                    await books.book(command)
            with pytest.raises(InvalidInputError):
                await Registry(database).add_merchant(text)
            with pytest.raises(InvalidInputError):
                await Users(database).add(text, Role.OPERATOR, password_hash())

    asyncio.run(try_all())
