"""Merchants as an operator finds them, and accounts over all of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from alikassa.cabinet.certificates import certificates_of
from alikassa.cabinet.pages.accounts import id_of
from alikassa.cabinet.pages.filters import query_with, uuid_filter
from alikassa.cabinet.routing import OPERATORS, page
from alikassa.errors import InvalidInputError
from alikassa.ledger.model import BUCKETS, Account, Bucket
from alikassa.ledger.questions.finding import MOST_NAMES, merchants_named, merchants_of, search_accounts
from alikassa.ledger.registry import LONGEST_NAME, Registry
from alikassa.money import to_units

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence

    from litestar.response import Response

    from alikassa.cabinet.visits import Visit
    from alikassa.ledger.database import Database

__all__ = ["ROUTES"]

_LISTED = 50
#: A merchant's accounts that its page shows, with a way to the others.
_ACCOUNTS = 20
_LONGEST_CURRENCY = 10
#: How often the search for a name goes on by itself, each time through `MOST_NAMES`.
_MOST_LOOKS = 5


@page("/merchants", OPERATORS)
async def _merchants(visit: Visit) -> Response[Any]:
    name = visit.request.query_params.get("name", "").strip()[:LONGEST_NAME]
    after, _ = uuid_filter(visit, "after")
    found = await merchants_named(visit.office.desk.database, name, after=after, limit=_LISTED)
    return visit.page(
        "operator_merchants.html",
        merchants=found.merchants,
        name=name,
        is_first=after is None,
        is_short=len(found.merchants) < _LISTED,
        most=MOST_NAMES,
        next=query_with(visit, after=str(found.cursor) if found.cursor else None),
    )


@page("/merchants/{merchant:uuid}", OPERATORS)
async def _merchant(visit: Visit) -> Response[Any]:
    database, id_ = visit.office.desk.database, id_of(visit, "merchant")
    merchant = await Registry(database).merchant(id_)
    found = await search_accounts(database, of_merchants=[id_], limit=_ACCOUNTS + 1)
    return visit.page(
        "operator_merchant.html",
        merchant=merchant,
        accounts=await _standing(visit, found[:_ACCOUNTS]),
        has_more=len(found) > _ACCOUNTS,
        users=await visit.office.users.all(id_),
        certificates=await certificates_of(database, id_),
    )


class Standing(msgspec.Struct, frozen=True):
    """An account, and its numbers as a balance request is answered now."""

    account: Account
    buckets: dict[Bucket, int]


async def _standing(visit: Visit, accounts: Sequence[Account]) -> list[Standing]:
    """In one read, as many requests for balances share one."""
    reader = visit.office.desk.reader
    found = await asyncio.gather(*[reader.find(str(one.id)) for one in accounts])
    return [
        Standing(
            one, one.buckets if now is None else {bucket: to_units(getattr(now, bucket.value)) for bucket in BUCKETS}
        )
        for one, now in zip(accounts, found, strict=True)
    ]


@page("/accounts/search", OPERATORS)
async def _search(visit: Visit) -> Response[Any]:
    """By uuid or its beginning, by the merchant's name or uuid, by currency; all that are given must fit."""
    database = visit.office.desk.database
    asked = {
        name: visit.request.query_params.get(name, "").strip()[:longest]
        for name, longest in (("uuid", 40), ("name", LONGEST_NAME), ("currency", _LONGEST_CURRENCY))
    }
    merchant, _ = uuid_filter(visit, "merchant")
    after, _ = uuid_filter(visit, "after")
    of_merchants: list[uuid.UUID] | None = None if merchant is None else [merchant]
    has_more_names = False
    if asked["name"]:
        named, has_more_names = await _named(database, asked["name"])
        of_merchants = [one for one in named if merchant in (None, one)]
    problem = ""
    found: list[Account] = []
    try:
        found = await search_accounts(
            database,
            beginning=asked["uuid"],
            of_merchants=of_merchants,
            currency=asked["currency"].upper(),
            after=after,
            limit=_LISTED + 1,
        )
    except InvalidInputError:
        problem = "uuid"
    shown = found[:_LISTED]
    return visit.page(
        "operator_accounts.html",
        accounts=await _standing(visit, shown),
        owners=await merchants_of(database, [one.id for one in shown]),
        asked=asked,
        merchant=None if merchant is None else await Registry(database).merchant(merchant),
        problem=problem,
        has_more_names=has_more_names,
        most=_LISTED,
        is_first=after is None,
        next=query_with(visit, after=str(shown[-1].id) if len(found) > _LISTED else None),
    )


async def _named(database: Database, part: str) -> tuple[list[uuid.UUID], bool]:
    """The first merchants whose name has this part, and whether there may be more."""
    found: list[uuid.UUID] = []
    after = None
    for _ in range(_MOST_LOOKS):
        page_ = await merchants_named(database, part, after=after, limit=_LISTED - len(found))
        found += [one.id for one in page_.merchants]
        after = page_.cursor
        if after is None or len(found) == _LISTED:
            break
    return found, after is not None


ROUTES = [_merchants, _merchant, _search]
