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
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

import sqlalchemy as sa

from alikassa.ledger.database import Database
from alikassa.ledger.schema import journal_entries
from alikassa.ledger.verify import verify
from conftest import PAGE_ACCOUNT, Shop, signed
from operator_server import API, Served

__all__ = ["Cell", "Stand", "cells_of"]

#: No request of the test's waits longer.
_PATIENCE = 60.0
_PAUSE = 0.01


@dataclass(frozen=True)
class Told:
    """One answer: asked and answered when, status (0 for none), and the balance in whole units."""

    begun: float
    ended: float
    status: int
    retry_after: str | None
    balance: int = -1


@dataclass(frozen=True)
class Cell:
    """What a fault did to reads or postings. Seconds; `wrong` says what must not be."""

    statuses: dict[str, int]
    longest: float
    #: From the end of the fault to the first good answer to what was asked after it.
    recovered: float
    ready_during: dict[str, int]
    #: Commands that were repeated since it was not known whether they were booked, and had been.
    found_booked: int = 0
    wrong: list[str] = field(default_factory=list)


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
        #: By number of the command: first sent, acknowledged.
        self.sent: list[float] = []
        self.acknowledged: list[float] = []
        self.found_booked = 0
        self.refused: list[str] = []
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._connections: list[_Asking] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        merchants, operator = self._served.server.port, urlsplit(self._served.url).port or 0
        works = [
            *((lambda: self._read(merchants),) * 2),
            lambda: self._post(operator),
            lambda: self._look(merchants, "/readyz"),
            lambda: self._look(operator, "/operator/readyz"),
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
            good = [any(one.status in (200, 201) and one.begun >= now for one in told[-50:]) for told in lists]
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
        for number in itertools.count():
            if self._over.is_set():
                return
            body = json.dumps(
                {"bucket": "balance", "amount": "1", "reference": f"{self._run}-{number}", "reason": "a fault"}
            ).encode()
            self.sent.append(time.monotonic())
            unknown = False
            while True:
                begun = time.monotonic()
                status, got, answer = asking.ask("POST", path, headers, body)
                self.posts.append(Told(begun, time.monotonic(), status, got.get("retry-after")))
                if status in (200, 201):
                    self.found_booked += status == 200
                    if status == 200 and not unknown:
                        self.refused.append(f"booked before it was sent: {number}")
                    self.acknowledged.append(time.monotonic())
                    break
                if status not in (0, 503):
                    self.refused.append(f"{status} {answer[:200]!r}")
                unknown = True
                time.sleep(0.05)
            time.sleep(_PAUSE)

    def _look(self, port: int, path: str) -> None:
        asking = self._asking(port)
        while not self._over.is_set():
            begun = time.monotonic()
            status, got, _ = asking.ask("GET", path, {}, None)
            self.ready[path].append(Told(begun, time.monotonic(), status, got.get("retry-after")))
            time.sleep(0.1)

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
            elif told.status not in (0, 503):
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
        wrong = [
            f"acknowledged and lost: {n}" for n in range(len(self.acknowledged)) if f"{self._run}-{n}" not in booked
        ]
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
        """Status 0 when no answer came."""
        if self._connection is None:
            self._connection = HTTPConnection("127.0.0.1", self._port, timeout=_PATIENCE)
        try:
            self._connection.request(method, path, body=body, headers=headers)
            got = self._connection.getresponse()
            return got.status, {name.lower(): value for name, value in got.getheaders()}, got.read()
        except (OSError, HTTPException):
            self.close()
            return 0, {}, b""

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def cells_of(stand: Stand, url: str, begun: float, ended: float) -> dict[str, Cell]:
    """For what was asked from the fault's beginning until it was over and everything good again."""
    cells = {}
    ready = zip(("read", "posting"), stand.ready.values(), strict=True)
    for (kind, looks), told in zip(ready, (stand.reads, stand.posts), strict=True):
        good = [one.ended for one in told if one.begun >= ended and one.status in (200, 201)]
        bad = [one.ended for one in told if one.begun <= good[0] and one.status not in (200, 201)]
        over = max([ended, *bad])
        seen = [one for one in told if one.ended >= begun and one.begun <= over]
        meanwhile = [one for one in looks if one.begun >= begun and one.ended <= ended]
        cells[kind] = Cell(
            _counted(seen),
            round(max(one.ended - one.begun for one in seen), 2),
            round(max(0.0, good[0] - ended), 2),
            _counted(meanwhile),
            stand.found_booked if kind == "posting" else 0,
            (stand.wrong_reads() if kind == "read" else stand.wrong_posts(url))[:5],
        )
    return cells


def _counted(told: list[Told]) -> dict[str, int]:
    names = {0: "no answer", 201: "200"}
    return dict(Counter(names.get(one.status, str(one.status)) for one in told).most_common())
