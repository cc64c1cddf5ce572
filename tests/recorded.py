"""What tests of the log of requests share: requests that were made, and what is written of them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa

from alikassa.ledger.database import Database
from alikassa.ledger.schema import requests
from alikassa.server.balance import Asked
from alikassa.server.log import RequestLog
from alikassa.server.requests.recorder import Recorder
from alikassa.server.requests.writer import RequestWriter
from conftest import PAGE_ACCOUNT

ACCOUNT = uuid.UUID(PAGE_ACCOUNT)


class Sent:
    """Headers as the web server gives them."""

    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = headers

    def get(self, name: str) -> str | None:
        return self._headers.get(name)

    def __contains__(self, name: str, /) -> bool:
        return bool(self.get_all(name))

    def get_all(self, name: str, /) -> list[str]:
        return [self._headers[name]] if name in self._headers else []


def asked(account: object = PAGE_ACCOUNT, agent: str = "", client: str = "192.0.2.7:50123") -> Asked:
    """A request that named this account."""
    headers = {"account": str(account), "sign": "AAAA", "content-type": "application/json"}
    return Asked(Sent(headers | ({"user-agent": agent} if agent else {})), SimpleNamespace(client=client))


def refuse(recorder: Recorder, ended: Asked, *, stranger: bool = False) -> None:
    """Refused at the signature, for a reason that is found at once."""
    kept = recorder.refused(ended, stranger=stranger)
    if kept is not None:
        kept.explain("unknown_account" if stranger else "wrong_signature")


def write(database: Database, recorder: Recorder) -> RequestWriter:
    return RequestWriter(database, recorder, RequestLog())


async def all_rows(database: Database) -> list[Any]:
    async with database.read() as connection:
        return list((await connection.execute(sa.select(requests).order_by(requests.c.id))).all())


def total(rows: Iterable[Any]) -> int:
    """How many requests these rows stand for."""
    return sum(1 + row.others for row in rows)
