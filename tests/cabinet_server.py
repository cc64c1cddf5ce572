"""The cabinet in tests: a real server, and people who are logged in there without a browser."""

from __future__ import annotations

import asyncio
import html
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import requests

from alikassa.cabinet.passwords import Passwords
from alikassa.cabinet.sessions import Sessions
from alikassa.cabinet.users import Role, Users
from alikassa.cabinet.visits import COOKIE
from alikassa.ledger.database import Database
from alikassa.ledger.registry import Registry
from conftest import Server, start_server
from operator_server import operator_url, wait_until

PASSWORD = "correct horse battery"


@cache
def password_hash() -> str:
    return asyncio.run(Passwords().hash(PASSWORD))


@dataclass
class Visitor:
    """Somebody with a cookie. Redirects are not followed: a test says where it expects to be sent."""

    url: str
    cookies: dict[str, str] = field(default_factory=dict)
    csrf: str = ""

    def get(self, path: str, **headers: str) -> requests.Response:
        return self._keep(requests.get(self.url + path, headers=self._headers(headers), timeout=30, **_PLAINLY))

    def post(
        self, path: str, values: Mapping[str, str] | None = None, files: Any = None, **headers: str
    ) -> requests.Response:
        """A form of ours, with the token that its page had."""
        data = {"csrf": self.csrf} | dict(values or {})
        return self._keep(
            requests.post(
                self.url + path, data=data, files=files, headers=self._headers(headers), timeout=30, **_PLAINLY
            )
        )

    def log_in(self, login: str, password: str = PASSWORD) -> requests.Response:
        self.read_token("/cabinet/login")
        answer = self.post("/cabinet/login", {"login": login, "password": password})
        if answer.status_code == 303:
            self.read_token("/cabinet/profile")
        return answer

    def read_token(self, path: str) -> None:
        """The token that this page's forms carry."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.get(path).text)
        assert found is not None
        self.csrf = found[1]

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        # By hand: the cookies are for TLS only, and a browser makes an exception for this machine.
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {"Cookie": cookies} | {name.replace("_", "-"): value for name, value in more.items()}

    def _keep(self, answer: requests.Response) -> requests.Response:
        for cookie in answer.cookies:
            self.cookies[cookie.name] = cookie.value or ""
        return answer


_PLAINLY: dict[str, Any] = {"allow_redirects": False}


@dataclass(frozen=True)
class Cabinet:
    """Two merchants, and people of each: `owner`, `viewer`; `stranger`, who owns the other; `operator`."""

    server: Server
    url: str
    database: str
    merchant: uuid.UUID
    others: uuid.UUID

    def visitor(self, login: str = "") -> Visitor:
        """Somebody who is logged in already: the session is opened in the database, where no password is hashed."""
        made = Visitor(self.url)
        if login:
            made.cookies[COOKIE] = asyncio.run(_opened(self.database, login))
            made.read_token("/cabinet/profile")
        return made


async def _opened(database: str, login: str) -> str:
    async with await Database.open(database) as opened:
        user = await Users(opened).by_login(login)
        assert user is not None
        return await Sessions(opened).open(user.id, "127.0.0.1", "")


@contextmanager
def cabinet_served(folder: Path, database: str, *options: str, language: str = "en") -> Iterator[Cabinet]:
    """`alikassa serve` on free ports, with people in its database."""
    merchant, others = asyncio.run(_people(database, language))
    server = start_server(folder, database, "--operator-port", "0", *options)
    try:
        url = operator_url(server)
        wait_until(lambda: _answers(url))
        yield Cabinet(server, url, database, merchant, others)
    finally:
        server.stop()


async def _people(database: str, language: str) -> tuple[uuid.UUID, uuid.UUID]:
    async with await Database.open(database, create=True) as opened:
        registry, users = Registry(opened), Users(opened)
        merchant = (await registry.add_merchant("Corner shop")).id
        others = (await registry.add_merchant("Another <b>shop</b>")).id
        hash_ = await asyncio.to_thread(password_hash)
        for login, role, of in (
            ("owner", Role.OWNER, merchant),
            ("viewer", Role.VIEWER, merchant),
            ("stranger", Role.OWNER, others),
            ("operator", Role.OPERATOR, None),
        ):
            await users.add(login, role, hash_, merchant=of, language=language)
    return merchant, others


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/cabinet/login", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def cookie_of(visitor: Visitor) -> str:
    return visitor.cookies.get(COOKIE, "")


def text_of(page: str) -> str:
    """What a reader of the page reads: without tags, white space made single."""
    without = re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(without).split())


def preformatted(page: str, id_: str) -> str:
    """What a reader who copies this element gets."""
    found = re.search(rf'<pre id="{id_}"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert found is not None, page
    return html.unescape(re.sub(r"<[^>]*>", "", found[1]))
