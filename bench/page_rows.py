"""How long pages of the cabinet take the server, of an account with a short and with a long year behind it."""

from __future__ import annotations

import asyncio
import http.client
import re
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from processes import free_port, progress, running, serve_command
from results import Section
from sizes import compare_sizes

from alikassa.cabinet.passwords import Passwords
from alikassa.cabinet.users import Role, Users
from alikassa.ledger.database import Database
from alikassa.ledger.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

    from results import Row

__all__ = ["measure_pages"]

_PASSWORD = "a password of this run"  # noqa: S105 - of a user that lives for a minute
_PAGES = {
    "account": "/cabinet/accounts/{}",
    "chart of 365 days": "/cabinet/accounts/{}/chart.json?days=365",
    "statement": "/cabinet/accounts/{}/statement",
    "statement, a month of half a year ago": "/cabinet/accounts/{}/statement?{}",
    "statement, one reference": "/cabinet/accounts/{}/statement?reference=nothing-like-it",
    "requests": "/cabinet/accounts/{}/requests",
}


class _Account(NamedTuple):
    id: str
    entries: int


def measure_pages(folder: Path, *, runs: int) -> Section:
    """Of the books that the questions were asked of, `folder`/questions.db; whole answers over HTTP, asked in turn."""
    url = f"sqlite:///{folder / 'questions.db'}"
    accounts = asyncio.run(_prepare(url))
    port = free_port()
    command = serve_command(url, free_port(), operator_port=port)
    with running("the cabinet", command, port, folder / "cabinet.log"):
        visitor = _Visitor(port)
        samples = _measured(visitor, accounts, runs)
    rows: list[Row] = []
    for name, of in samples.items():
        rows += compare_sizes(name, of)
        progress(f"  {rows[-1].name:<60} {rows[-1].median:>8,.1f} ms")
    return Section("Pages of the cabinet about one account, milliseconds (SQLite)", tuple(rows), lower_is_better=True)


async def _prepare(url: str) -> list[_Account]:
    """A user for the run, and the accounts."""
    async with await Database.open(url) as database:
        (merchant,) = await Registry(database).merchants()
        await Users(database).add("bench", Role.VIEWER, await Passwords().hash(_PASSWORD), merchant=merchant.id)
        return [_Account(str(one.id), one.sequence) for one in await Registry(database).accounts(merchant.id)]


def _measured(visitor: _Visitor, accounts: list[_Account], runs: int) -> dict[str, dict[int, list[float]]]:
    """Milliseconds of each page, by its name and how many entries the account has."""
    today = datetime.now(UTC).date()
    month = urlencode({"from": today - timedelta(days=210), "to": today - timedelta(days=180)})
    times: dict[str, dict[int, list[float]]] = {}
    # The first of each, not counted, finds templates and statements compiled.
    for number in range(runs + 1):
        for name, path in _PAGES.items():
            for one in accounts:
                start = time.perf_counter()
                visitor.get(path.format(one.id, month))
                took = (time.perf_counter() - start) * 1000
                if number:
                    times.setdefault(name, {}).setdefault(one.entries, []).append(took)
    return times


class _Visitor:
    """Somebody logged in, over one kept connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._cookies: dict[str, str] = {}
        page = self.get("/cabinet/login")
        token = re.search(rb'name="csrf" value="([^"]+)"', page)
        if token is None:
            raise RuntimeError("The login page has no form.")
        self._ask(
            "POST",
            "/cabinet/login",
            urlencode({"csrf": token[1].decode(), "login": "bench", "password": _PASSWORD}),
            expected=303,
        )

    def get(self, path: str) -> bytes:
        return self._ask("GET", path, None, expected=200)

    def _ask(self, method: str, path: str, body: str | None, *, expected: int) -> bytes:
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self._connection.request(method, path, body=body, headers=headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != expected:
            raise RuntimeError(f"{path}: {answer.status}")
        for line in answer.headers.get_all("set-cookie") or []:
            name, _, value = line.partition(";")[0].partition("=")
            self._cookies[name] = value
        return content
