"""Try it: the ready request for one account, in several languages, and what it is answered at this moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from litestar.response import Response

from alikassa.cabinet.pages.accounts import id_of
from alikassa.cabinet.programs import PROGRAMS, program_named
from alikassa.cabinet.routing import page
from alikassa.errors import NotFoundError
from alikassa.money import to_units
from alikassa.protocol.messages import encode_balance

if TYPE_CHECKING:
    from alikassa.cabinet.visits import Visit

__all__ = ["ROUTES"]

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


@page("/accounts/{account:uuid}/try")
async def _try(visit: Visit) -> Response[Any]:
    account = await visit.account(id_of(visit))
    desk = visit.office.desk
    # The same read as a request's, so that the page says what the request is answered.
    standing = await desk.reader.find(str(account.id))
    if standing is None:
        raise NotFoundError(f"There is no account {account.id}.")
    numbers = {
        "balance": standing.balance,
        "hold": standing.hold,
        "rolling_reserve": standing.rolling_reserve,
        "pending_payouts": standing.pending_payouts,
    }
    chosen = program_named(visit.request.query_params.get("with", ""))
    at = urlsplit(desk.public_url)
    return visit.page(
        "try.html",
        account=account,
        programs=PROGRAMS,
        program=chosen,
        run=chosen.filled_in(str(account.id), desk.public_url),
        url=desk.public_url,
        in_clear=at.scheme == "http" and at.hostname not in _THIS_MACHINE,
        answer=encode_balance(standing.currency, **numbers).decode(),
        numbers={name: to_units(text) for name, text in numbers.items()},
        may_sign=bool(standing.certificates),
    )


@page("/programs/{name:str}")
async def _program(visit: Visit) -> Response[Any]:
    """One of our example programs, to be saved."""
    name = visit.request.path_params["name"]
    for one in PROGRAMS:
        if one.file and one.save_as == name:
            headers = {"content-disposition": f'attachment; filename="{name}"'}
            return Response(one.source, media_type="text/plain", headers=headers)
    raise NotFoundError("There is no such program.")


ROUTES = [_try, _program]
