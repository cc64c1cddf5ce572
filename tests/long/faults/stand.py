"""Requests that go on through a fault, and what is found of them afterwards."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

import sqlalchemy as sa

from alikassa.ledger.database import Database
from alikassa.ledger.schema import journal_entries
from alikassa.ledger.verify import verify
from conftest import PAGE_ACCOUNT, Shop, signed
from operator_server import API, Served
from test_metrics_server import Scraped, scrape

__all__ = ["GOOD", "NO_ANSWER", "NO_CONNECTION", "Scraping", "Stand", "Told"]

#: No request of the test's waits longer.
_PATIENCE = 60.0
_PAUSE = 0.01
#: Several, so that while one command is booked another one is on its way.
_READERS, _POSTERS = 2, 3

GOOD = (200, 201)
#: Instead of a status: it was sent, and nothing came back; it was not sent, since nobody took the connection.
NO_ANSWER, NO_CONNECTION = 0, -1
_FAULTY = (NO_ANSWER, NO_CONNECTION, 503)


@dataclass(frozen=True)
class Told:
    """One answer: asked and answered when, its status or what there was instead, and the balance in whole units."""

    begun: float
    ended: float
    status: int
    retry_after: str | None
    balance: int = -1


@dataclass(frozen=True)
class Scraping:
    """What the metrics said, None when they were not told."""

    begun: float
    ended: float
    found: Scraped | None


class Stand:
    """A shop under steady requests: balances, and payments of one unit each, one after the other."""

    def __init__(self, shop: Shop, served: Served) -> None:
        self._shop = shop
        self._served = served
        self._headers = signed(shop.payout, b"{}")
        self._run = uuid.uuid4().hex[:8]
        self.reads: list[Told] = []
        self.posts: list[Told] = []
        self.ready: dict[str, list[Told]] = {"/readyz": [], "/operator/readyz": []}
        self.scrapes: list[Scraping] = []
        self._numbers = itertools.count()
        #: When commands were sent for the first time, and acknowledged; which those are.
        self.sent: list[float] = []
        self.acknowledged: list[float] = []
        self._booked: list[int] = []
        #: Commands that were repeated since it was not known whether they were booked, and had been.
        self.found_booked: list[int] = []
        self.refused: list[str] = []
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._connections: list[_Asking] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        merchants, operator = self._served.server.port, urlsplit(self._served.url).port or 0
        works = [
            *((lambda: self._read(merchants),) * _READERS),
            *((lambda: self._post(operator),) * _POSTERS),
            lambda: self._look(merchants, "/readyz"),
            lambda: self._look(operator, "/operator/readyz"),
            self._scrape,
        ]
        self._threads = [threading.Thread(target=work, daemon=True) for work in works]
        for thread in self._threads:
            thread.start()
        try:
            self.wait_for_more()
            yield
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join(_PATIENCE + 10)
            for connection in self._connections:
                connection.close()

    def wait_for_more(self, seconds: float = 60) -> None:
        """Until balances are told and payments booked that were asked for after now, and both ports are ready."""
        now, until = time.monotonic(), time.monotonic() + seconds
        while True:
            lists = [self.reads, self.posts, *self.ready.values()]
            good = [any(one.status in GOOD and one.begun >= now for one in told[-50:]) for told in lists]
            if all(good):
                return
            assert time.monotonic() < until, f"it did not recover: {good} {[told[-1] for told in lists if told]}"
            time.sleep(0.02)

    def _asking(self, port: int) -> _Asking:
        self._connections.append(made := _Asking(port))
        return made

    def _read(self, port: int) -> None:
        asking = self._asking(port)
        while not self._over.is_set():
            begun = time.monotonic()
            status, headers, body = asking.ask("POST", "/v1/account/balance", self._headers, b"{}")
            balance = int(json.loads(body)["balance"].split(".")[0]) if status == 200 else -1
            self.reads.append(Told(begun, time.monotonic(), status, headers.get("retry-after"), balance))
            time.sleep(_PAUSE)

    def _post(self, port: int) -> None:
        asking = self._asking(port)
        token = self._served.operator.write_token
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        path = f"{API}/accounts/{PAGE_ACCOUNT}/adjustment"
        while not self._over.is_set():
            number = next(self._numbers)
            body = json.dumps(
                {"bucket": "balance", "amount": "1", "reference": f"{self._run}-{number}", "reason": "a fault"}
            ).encode()
            self.sent.append(time.monotonic())
            unknown = False
            while True:
                begun = time.monotonic()
                status, got, answer = asking.ask("POST", path, headers, body)
                self.posts.append(Told(begun, time.monotonic(), status, got.get("retry-after")))
                if status in GOOD:
                    if status == 200:
                        self.found_booked.append(number)
                        if not unknown:
                            self.refused.append(f"booked before it was sent: {number}")
                    self.acknowledged.append(time.monotonic())
                    self._booked.append(number)
                    break
                if status not in _FAULTY:
                    self.refused.append(f"{status} {answer[:200]!r}")
                unknown |= status != NO_CONNECTION
                if self._over.is_set():
                    # It did not recover, and somebody is told so.
                    return
                time.sleep(0.05)
            time.sleep(_PAUSE)

    def _look(self, port: int, path: str) -> None:
        asking = self._asking(port)
        while not self._over.is_set():
            begun = time.monotonic()
            status, got, _ = asking.ask("GET", path, {}, None)
            self.ready[path].append(Told(begun, time.monotonic(), status, got.get("retry-after")))
            time.sleep(0.1)

    def _scrape(self) -> None:
        while not self._over.is_set():
            begun = time.monotonic()
            try:
                found = scrape(self._served.operator)
            except (AssertionError, OSError, HTTPException):
                found = None
            self.scrapes.append(Scraping(begun, time.monotonic(), found))
            time.sleep(0.25)

    # Afterwards

    def wrong_reads(self) -> list[str]:
        """Balances that were true at no moment of their request, and refusals that are none of a fault's."""
        first, wrong = 93, []
        for told in self.reads:
            if told.status == 200:
                least = first + sum(at < told.begun for at in self.acknowledged)
                most = first + sum(at < told.ended for at in self.sent)
                if not least <= told.balance <= most:
                    wrong.append(f"told {told.balance}, and between {least} and {most} were true")
            elif told.status not in _FAULTY:
                wrong.append(f"status {told.status}")
        return wrong + _without_retry(self.reads)

    def wrong_posts(self, url: str) -> list[str]:
        return self.refused + _without_retry(self.posts) + asyncio.run(self._check(url))

    async def _check(self, url: str) -> list[str]:
        entry = journal_entries.c
        async with await Database.open(url) as database:
            async with database.read() as connection:
                found = await connection.execute(
                    sa.select(entry.reference).where(entry.reference.like(f"{self._run}-%"))
                )
                booked = Counter(row.reference for row in found)
            verified = await verify(database)
        wrong = [f"acknowledged and lost: {n}" for n in self._booked if f"{self._run}-{n}" not in booked]
        wrong += [f"booked {count} times: {name}" for name, count in booked.items() if count != 1]
        return wrong + [str(problem) for problem in verified.problems]


def _without_retry(told: list[Told]) -> list[str]:
    return ["503 without Retry-After" for one in told if one.status == 503 and one.retry_after is None]


class _Asking:
    """One connection that is kept, and made anew when it is lost."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: HTTPConnection | None = None

    def ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, dict[str, str], bytes]:
        """Its status, or what there was instead."""
        if self._connection is None:
            connection = HTTPConnection("127.0.0.1", self._port, timeout=_PATIENCE)
            try:
                connection.connect()
            except OSError:
                return NO_CONNECTION, {}, b""
            self._connection = connection
        try:
            self._connection.request(method, path, body=body, headers=headers)
            got = self._connection.getresponse()
            return got.status, {name.lower(): value for name, value in got.getheaders()}, got.read()
        except (OSError, HTTPException):
            self.close()
            return NO_ANSWER, {}, b""

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
