"""The last requests that named an account: what became of each, why, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from alikassa import clock
from alikassa.cabinet.certificates import SeenCertificate, certificates_of
from alikassa.cabinet.formats import zone_of
from alikassa.cabinet.pages.accounts import id_of
from alikassa.cabinet.pages.filters import chosen, query_with, uuid_filter
from alikassa.cabinet.routing import page
from alikassa.cabinet.users import Role
from alikassa.errors import NotFoundError
from alikassa.ledger.model import Account, Merchant
from alikassa.ledger.questions.certificates import owner_of
from alikassa.ledger.questions.finding import search_accounts
from alikassa.ledger.questions.policies import find_policies
from alikassa.ledger.registry import Registry
from alikassa.server.requests.asking import SeenRequest, requests_of
from alikassa.server.requests.kept import NOBODY, Outcome
from alikassa.server.requests.remedies import Remedy, remedies
from alikassa.server.requests.rows import MOST_OTHERS, MOST_VERIFIED

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping

    from litestar.response import Response

    from alikassa.cabinet.visits import Visit

__all__ = ["ROUTES", "explained"]

_LISTED = 25
#: Accounts whose requests are shown together; of others, one at a time.
_ACCOUNTS = 200
#: How often a page that was asked to do so looks again, in seconds, and how many times: it must not keep somebody
#: logged in who has gone away.
_EVERY, _TIMES = 5, 120


class Told(msgspec.Struct, frozen=True):
    """A request, with what happened and what to do, in the reader's language."""

    request: SeenRequest
    texts: list[Remedy]


class Asked(msgspec.Struct, frozen=True):
    """Whose requests are shown. `accounts` are all that may be chosen from."""

    accounts: list[Account]
    chosen: Account | None = None
    merchant: Merchant | None = None
    certificates: list[SeenCertificate] = []
    has_more: bool = False
    is_nobodys: bool = False


@page("/requests")
async def _requests(visit: Visit) -> Response[Any]:
    """Of all of a merchant's accounts, or one. An operator chooses whose; else of nobody's."""
    account, problem = uuid_filter(visit, "account")
    if account is not None:
        return await _shown(visit, await _of_account(visit, account))
    merchant = visit.user.merchant
    if visit.user.role is Role.OPERATOR:
        merchant, _ = uuid_filter(visit, "merchant")
    if merchant is None:
        return await _shown(visit, Asked([], is_nobodys=True), problem=problem)
    return await _shown(visit, await _of_merchant(visit, merchant), problem=problem)


@page("/accounts/{account:uuid}/requests")
async def _accounts_requests(visit: Visit) -> Response[Any]:
    asked = await _of_account(visit, id_of(visit))
    return await _shown(visit, asked, within=True)


@page("/keys/{certificate:uuid}/requests")
async def _certificates_requests(visit: Visit) -> Response[Any]:
    """NotFoundError also when it is another merchant's."""
    id_ = id_of(visit, "certificate")
    merchant = await owner_of(visit.office.desk.database, id_)
    if merchant is None:
        raise NotFoundError(f"There is no certificate {id_}.")
    return await _shown(visit, await _of_merchant(visit, merchant), certificate=id_)


async def _of_account(visit: Visit, account: uuid.UUID) -> Asked:
    found = await visit.account(account)
    asked = await _of_merchant(visit, found.merchant)
    there = any(one.id == account for one in asked.accounts)
    return msgspec.structs.replace(asked, chosen=found, accounts=[*asked.accounts, *([] if there else [found])])


async def _of_merchant(visit: Visit, merchant: uuid.UUID) -> Asked:
    if not visit.may_see(merchant):
        raise NotFoundError(f"There is no merchant {merchant}.")
    database = visit.office.desk.database
    accounts = await search_accounts(database, of_merchants=[merchant], limit=_ACCOUNTS + 1)
    return Asked(
        accounts=accounts[:_ACCOUNTS],
        merchant=await Registry(database).merchant(merchant),
        certificates=await certificates_of(database, merchant),
        has_more=len(accounts) > _ACCOUNTS,
    )


async def _shown(
    visit: Visit,
    asked: Asked,
    *,
    certificate: uuid.UUID | None = None,
    problem: str = "",
    within: bool = False,
) -> Response[Any]:
    """`within`: among an account's own pages."""
    database, parameters = visit.office.desk.database, visit.request.query_params
    outcome = chosen(parameters.get("outcome", ""), Outcome)
    verified = {"yes": True, "no": False}.get(parameters.get("verified", ""))
    if certificate is None:
        certificate, _ = uuid_filter(visit, "certificate")
    after = parameters.get("after") or None
    of = [one.id for one in asked.accounts] if asked.chosen is None else [asked.chosen.id]
    found = await requests_of(
        database,
        [NOBODY] if asked.is_nobodys else of,
        verified=verified,
        outcome=outcome,
        certificate=certificate,
        after=after,
        limit=_LISTED,
    )
    left = _times_left(parameters.get("live", "")) if after is None else 0
    zone = None
    if asked.chosen is not None:
        versions = await find_policies(database, asked.chosen.id)
        zone = next((zone_of(one.policy.time_zone) for one in versions if one.version == asked.chosen.policy), None)
    endings = {one.certificate.id: one.ending for one in asked.certificates}
    return visit.page(
        "requests.html",
        zone=zone,
        within=within,
        asked=asked,
        account=asked.chosen,
        told=[Told(one, explained(visit, one, endings)) for one in found.requests],
        currencies={one.id: one.currency for one in asked.accounts},
        endings=endings,
        outcome=outcome,
        outcomes=list(Outcome),
        verified=verified,
        certificate=certificate,
        problem=problem,
        is_filtered=outcome is not None or verified is not None or certificate is not None,
        is_first=after is None,
        older=query_with(visit, after=found.cursor, live=""),
        newest=query_with(visit, after="", live=""),
        live=query_with(visit, after="", live=str(_TIMES)),
        again=query_with(visit, live=str(left - 1)) if left else "",
        left=left,
        every=_EVERY,
        most_verified=MOST_VERIFIED,
        most_others=MOST_OTHERS,
        at=clock.now(),
    )


def _times_left(text: str) -> int:
    """How many times the page still looks again by itself."""
    return min(int(text), _TIMES) if text.isascii() and text.isdecimal() and len(text) < 4 else 0


def explained(visit: Visit, request: SeenRequest, endings: Mapping[uuid.UUID, str]) -> list[Remedy]:
    """What happened and what to do: one, or one for each field that was malformed. A certificate is called by the end
    of its fingerprint, as on the page of keys."""
    name = str(request.certificate or "")
    if request.certificate is not None and request.certificate in endings:
        name = f"…{endings[request.certificate]}"
    return [
        Remedy(*(visit.gettext(text).format(certificate=name) if text else "" for text in one))
        for one in remedies(request.outcome, request.reason)
    ]


ROUTES = [_requests, _accounts_requests, _certificates_requests]
