"""A merchant's accounts, and one account: its four numbers, why they are what they are, and what comes."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from alikassa.cabinet.charts import sparkline
from alikassa.cabinet.formats import zone_of
from alikassa.cabinet.routing import OPERATORS, OWNERS, form, page, text_of
from alikassa.ledger.questions.accounts import find_accounts
from alikassa.ledger.questions.daily import daily_balances_of
from alikassa.ledger.questions.explain import explain
from alikassa.ledger.questions.policies import find_policies
from alikassa.ledger.questions.schedule import schedule
from alikassa.ledger.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from litestar.datastructures import FormMultiDict
    from litestar.response import Response

    from alikassa.cabinet.visits import Visit
    from alikassa.ledger.questions.schedule import ScheduleDay

__all__ = ["ROUTES", "chosen_days", "id_of"]

_LISTED = 50
_SPARK_DAYS = 30
#: Items of each number, and days of the schedule, that the page shows; the rest is summed up.
_ITEMS, _DAYS = 12, 31
#: A payout that waits for longer is pointed out.
_OLD = timedelta(days=3)
_CHART_DAYS = (30, 90, 365)
#: Whoever answers for the account's programs, and whoever answers for the server.
_MAY_REQUIRE_FRESH = OWNERS | OPERATORS


@page("/accounts")
async def _accounts(visit: Visit) -> Response[Any]:
    database = visit.office.desk.database
    after = _uuid_or_none(visit.request.query_params.get("after", ""))
    found = await find_accounts(database, visit.user.merchant, after=after, limit=_LISTED + 1)
    more, found = len(found) > _LISTED, found[:_LISTED]
    daily = await daily_balances_of(database, [one.id for one in found], days=_SPARK_DAYS)
    sparks = {account: sparkline([one.balance for one in days]) for account, days in daily.items() if days[-1].sequence}
    return visit.page("accounts.html", accounts=found, sparks=sparks, next=found[-1].id if more else None)


class _Later(msgspec.Struct):
    """What the days say that are not listed."""

    days: int = 0
    hold: int = 0
    rolling_reserve: int = 0


@page("/accounts/{account:uuid}")
async def _account(visit: Visit) -> Response[Any]:
    database = visit.office.desk.database
    account = await visit.account(id_of(visit))
    # Side by side: of a long year, each of the first two reads a hundred thousand lots.
    explained, released, versions = await asyncio.gather(
        explain(database, account.id, limit=_ITEMS),
        schedule(database, account.id),
        find_policies(database, account.id),
    )
    shown, rest = released.days[:_DAYS], released.days[_DAYS:]
    return visit.page(
        "account.html",
        zone=zone_of(released.time_zone),
        account=account,
        explained=explained,
        schedule=released,
        listed_days=_DAYS,
        bars=_bars(shown),
        later=_Later(len(rest), sum(one.hold for one in rest), sum(one.rolling_reserve for one in rest)),
        policy=next((one.policy for one in versions if one.version == account.policy), None),
        days=chosen_days(visit),
        old=_OLD,
        may_require_fresh=visit.user.role in _MAY_REQUIRE_FRESH,
    )


@form("/accounts/{account:uuid}/fresh", _MAY_REQUIRE_FRESH)
async def _require_fresh(visit: Visit, values: FormMultiDict) -> Response[Any]:
    account = await visit.account(id_of(visit))
    required = text_of(values, "required", 3) == "yes"
    await Registry(visit.office.desk.database).require_fresh(account.id, required=required)
    visit.office.log.info("fresh switched", user=str(visit.user.id), account=str(account.id), required=required)
    return visit.go(f"/cabinet/accounts/{account.id}?done=fresh-{'on' if required else 'off'}#fresh")


def _bars(days: Sequence[ScheduleDay]) -> list[tuple[int, int]]:
    """How long each day's two bars are, in percent of the largest day."""
    largest = max((one.hold + one.rolling_reserve for one in days), default=0) or 1
    return [(one.hold * 100 // largest, one.rolling_reserve * 100 // largest) for one in days]


def chosen_days(visit: Visit) -> int:
    """How far back the chart goes."""
    given = visit.request.query_params.get("days", "")
    return next((days for days in _CHART_DAYS if given == str(days)), _CHART_DAYS[0])


def id_of(visit: Visit, name: str = "account") -> uuid.UUID:
    """A uuid of the address."""
    found: uuid.UUID = visit.request.path_params[name]
    return found


def _uuid_or_none(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


ROUTES = [_accounts, _account, _require_fresh]
