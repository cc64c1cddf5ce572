"""Questions to the books."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from alikassa.ledger.attempts import Answer
from alikassa.ledger.model import Kind, PayoutState
from alikassa.ledger.questions.balance_at import BalanceAt, Basis, balance_at
from alikassa.ledger.questions.explain import MOST_ITEMS, Explanation, explain
from alikassa.ledger.questions.payouts import MOST_PAYOUTS, DiscrepancyPage, PayoutPage, discrepancies, payouts
from alikassa.ledger.questions.schedule import Schedule, schedule
from alikassa.ledger.questions.statement import MOST_LINES, Statement, statement
from alikassa.ledger.questions.trial_balance import TrialBalance, trial_balance
from alikassa.server.operator.answers import encode
from alikassa.server.operator.fields import Moment, utc
from alikassa.server.operator.routing import NoQuery, Question, asking
from alikassa.server.operator.shapes import wire, wire_type

__all__ = ["ROUTES"]

_NOT_THERE = frozenset({404})


def _told(found: msgspec.Struct) -> Answer:
    return Answer(200, encode(wire(found)))


def _moment(moment: datetime | None, name: str) -> datetime | None:
    return None if moment is None else utc(moment, name)


class BalanceQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At a moment, now if there is none. By `recorded`, the past is what was answered then; by `effective`, what is
    known of it now. The future is what falls due by then."""

    at: Moment | None = None
    by: Basis = Basis.RECORDED


@asking(
    "/accounts/{account:uuid}/balance",
    BalanceQuery,
    wire_type(BalanceAt),
    "What the four numbers were, are or will be.",
    refusals=_NOT_THERE,
)
async def balance(question: Question[BalanceQuery]) -> Answer:
    query = question.query
    at = _moment(query.at, "at")
    return _told(await balance_at(question.desk.database, question.id("account"), at=at, by=query.by))


class StatementQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Entries recorded in [start, end); `after` is the `cursor` of the page before, of the same question."""

    start: Moment | None = None
    end: Moment | None = None
    kinds: list[Kind] = []
    reference: str | None = None
    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST_LINES)] = 100
    newest: bool = False


@asking(
    "/accounts/{account:uuid}/statement",
    StatementQuery,
    wire_type(Statement),
    "An account's entries of a period, between what it stood at before and after.",
    refusals=_NOT_THERE,
)
async def lines(question: Question[StatementQuery]) -> Answer:
    query = question.query
    found = await statement(
        question.desk.database,
        question.id("account"),
        start=_moment(query.start, "start"),
        end=_moment(query.end, "end"),
        kinds=query.kinds,
        reference=query.reference,
        after=query.after,
        limit=query.limit,
        newest=query.newest,
    )
    return _told(found)


@asking(
    "/accounts/{account:uuid}/schedule",
    NoQuery,
    wire_type(Schedule),
    "When held money is released, by day.",
    refusals=_NOT_THERE,
)
async def releases(question: Question[NoQuery]) -> Answer:
    return _told(await schedule(question.desk.database, question.id("account")))


class ExplainQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Up to `limit` items a number, and the sum of the rest."""

    limit: Annotated[int, Meta(ge=0, le=MOST_ITEMS)] = 20


@asking(
    "/accounts/{account:uuid}/explain",
    ExplainQuery,
    wire_type(Explanation),
    "What each of the four numbers is made up of.",
    refusals=_NOT_THERE,
)
async def explained(question: Question[ExplainQuery]) -> Answer:
    return _told(await explain(question.desk.database, question.id("account"), limit=question.query.limit))


class PayoutQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """In a state; made at least so many seconds ago."""

    state: PayoutState | None = None
    older_than: Annotated[float, Meta(ge=0, le=10**9, description="Seconds.")] | None = None
    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST_PAYOUTS)] = 100


async def _payouts(question: Question[PayoutQuery], account: Any) -> Answer:
    query = question.query
    found = await payouts(
        question.desk.database,
        account,
        state=query.state,
        older_than=None if query.older_than is None else timedelta(seconds=query.older_than),
        after=query.after,
        limit=query.limit,
    )
    return _told(found)


@asking(
    "/accounts/{account:uuid}/payouts", PayoutQuery, wire_type(PayoutPage), "An account's payouts.", refusals=_NOT_THERE
)
async def payouts_of_account(question: Question[PayoutQuery]) -> Answer:
    return await _payouts(question, question.id("account"))


@asking("/payouts", PayoutQuery, wire_type(PayoutPage), "All payouts.")
async def all_payouts(question: Question[PayoutQuery]) -> Answer:
    return await _payouts(question, None)


class DiscrepancyQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Open ones, or with `open_only=false` also those that a correction has closed."""

    open_only: bool = True
    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST_PAYOUTS)] = 100


async def _discrepancies(question: Question[DiscrepancyQuery], account: Any) -> Answer:
    query = question.query
    found = await discrepancies(
        question.desk.database, account, open_only=query.open_only, after=query.after, limit=query.limit
    )
    return _told(found)


@asking(
    "/accounts/{account:uuid}/discrepancies",
    DiscrepancyQuery,
    wire_type(DiscrepancyPage),
    "What banks said against an account's payouts.",
    refusals=_NOT_THERE,
)
async def discrepancies_of_account(question: Question[DiscrepancyQuery]) -> Answer:
    return await _discrepancies(question, question.id("account"))


@asking("/discrepancies", DiscrepancyQuery, wire_type(DiscrepancyPage), "What banks said against payouts.")
async def all_discrepancies(question: Question[DiscrepancyQuery]) -> Answer:
    return await _discrepancies(question, None)


@asking("/trial-balance", NoQuery, wire_type(TrialBalance), "Every bucket and system account, by currency.")
async def balances(question: Question[NoQuery]) -> Answer:
    return _told(await trial_balance(question.desk.database))


ROUTES = (
    *(balance, lines, releases, explained, payouts_of_account, all_payouts),
    *(discrepancies_of_account, all_discrepancies, balances),
)
