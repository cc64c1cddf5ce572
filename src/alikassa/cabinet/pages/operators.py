"""What an operator sees over all merchants: the overview, payouts, discrepancies, the trial balance."""

from __future__ import annotations

import shlex
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from alikassa.cabinet.overview import LATELY, OLD, SHA1_LATELY, STUCK, overviews_of
from alikassa.cabinet.pages.filters import chosen, query_with, uuid_filter
from alikassa.cabinet.routing import OPERATORS, form, page
from alikassa.errors import InvariantError
from alikassa.ledger.model import PayoutState
from alikassa.ledger.questions.finding import merchants_of
from alikassa.ledger.questions.payouts import discrepancies, payouts
from alikassa.ledger.questions.pending import pending_payouts
from alikassa.ledger.verify import last_verification

if TYPE_CHECKING:
    import uuid

    from litestar.datastructures import FormMultiDict
    from litestar.response import Response

    from alikassa.cabinet.visits import Visit

__all__ = ["ROUTES"]

_LISTED = 50
#: Ages in days that payouts are asked for by.
_AGES = (1, 3, 7, 30)


@page("/operator", OPERATORS)
async def _overview(visit: Visit) -> Response[Any]:
    return visit.page(
        "operator.html",
        overview=await overviews_of(visit).now(),
        verification=await last_verification(visit.office.desk.database),
        stuck_after=STUCK,
        old_after=OLD,
        sha1_within=SHA1_LATELY,
        lately=LATELY,
    )


@page("/payouts", OPERATORS)
async def _payouts(visit: Visit) -> Response[Any]:
    """Those under way, unless others are asked for."""
    database = visit.office.desk.database
    given = visit.request.query_params.get("state", PayoutState.PENDING.value)
    state = chosen(given, PayoutState)
    account, problem = uuid_filter(visit, "account")
    days = next((one for one in _AGES if visit.request.query_params.get("days", "") == str(one)), None)
    older_than = None if days is None else timedelta(days=days)
    after = visit.request.query_params.get("after") or None
    if account is not None:
        await visit.account(account)
    if state is PayoutState.PENDING and account is None:
        found = await pending_payouts(database, older_than=older_than, after=after, limit=_LISTED)
    else:
        found = await payouts(database, account, state=state, older_than=older_than, after=after, limit=_LISTED)
    return visit.page(
        "operator_payouts.html",
        found=found,
        owners=await merchants_of(database, [one.account for one in found.payouts]),
        state=state,
        states=list(PayoutState),
        days=days,
        ages=_AGES,
        account=account,
        problem=problem,
        stuck_after=STUCK,
        older=query_with(visit, after=found.cursor),
        is_first=after is None,
    )


@page("/discrepancies", OPERATORS)
async def _discrepancies(visit: Visit) -> Response[Any]:
    """Those that are open; with `all`, also what corrections have closed."""
    database = visit.office.desk.database
    open_only = visit.request.query_params.get("show") != "all"
    after = visit.request.query_params.get("after") or None
    found = await discrepancies(database, open_only=open_only, after=after, limit=_LISTED)
    return visit.page(
        "operator_discrepancies.html",
        found=found.discrepancies,
        owners=await merchants_of(database, [one.discrepancy.account for one in found.discrepancies]),
        open_only=open_only,
        quote=_correction,
        older=query_with(visit, after=found.cursor),
        is_first=after is None,
    )


def _correction(account: uuid.UUID, payout: str, to: str) -> str:
    """The command. A reference may be anything: a shell must take it as one word."""
    words = ["alikassa", "payout", "correct", str(account), payout, "--to", to]
    return f"{shlex.join(words)} --reference REFERENCE --reason 'REASON'"


@page("/trial-balance", OPERATORS)
async def _trial_balance(visit: Visit) -> Response[Any]:
    overviews = overviews_of(visit)
    return visit.page(
        "operator_trial_balance.html",
        worked_out=overviews.trial_balance,
        is_summing=overviews.is_summing,
        problem="",
    )


@form("/trial-balance", OPERATORS)
async def _work_out(visit: Visit, _: FormMultiDict) -> Response[Any]:
    """Only when asked for: it reads every posting."""
    overviews = overviews_of(visit)
    if not overviews.is_summing:
        try:
            await overviews.sum()
        except InvariantError as error:
            visit.office.log.error("the books do not balance", problem=str(error))
            return visit.page("operator_trial_balance.html", worked_out=None, is_summing=False, problem=str(error))
    return visit.go("/cabinet/trial-balance")


ROUTES = [_overview, _payouts, _discrepancies, _trial_balance, _work_out]
