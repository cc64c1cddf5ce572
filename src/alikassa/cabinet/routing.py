"""How a request becomes a visit: who is logged in, may they come here, and is the form ours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

from litestar import Request, get, post
from litestar.datastructures import FormMultiDict
from litestar.enums import RequestEncodingType
from litestar.response import Response  # noqa: TC002 - the framework reads the handlers' annotations

from alikassa.cabinet.office import office_of
from alikassa.cabinet.refusals import NO_COOKIE, STALE_FORM, UNREADABLE_COOKIE, ForbiddenError, FormError
from alikassa.cabinet.users import Role
from alikassa.cabinet.visits import COOKIE, Visit
from alikassa.errors import InvalidInputError
from alikassa.server.limits.addresses import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from litestar.handlers import HTTPRouteHandler

__all__ = ["EVERYBODY", "MERCHANTS", "OPERATORS", "OWNERS", "form", "page", "safe_target", "visit_of"]

EVERYBODY = frozenset(Role)
MERCHANTS = frozenset({Role.OWNER, Role.VIEWER})
OWNERS = frozenset({Role.OWNER})
OPERATORS = frozenset({Role.OPERATOR})

# No part begins with a dot: `..` would lead out of the cabinet.
_TARGET = re.compile(r"/cabinet(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?(?:\?[A-Za-z0-9._~=&%:+-]*)?", re.ASCII)

_MOST_FIELDS = 100
# A NUL, which PostgreSQL does not keep, and half of a surrogate pair, which nothing encodes.
_UNFIT = re.compile("[\0\ud800-\udfff]")

HTTP = Request[Any, Any, Any]


async def visit_of(request: HTTP) -> Visit:
    """Whose request it is."""
    office = office_of(request)
    token = request.cookies.get(COOKIE, "")
    session = await office.sessions.find(token) if token else None
    return Visit(request, office, token, session)


def page(
    path: str, roles: frozenset[Role] | None = EVERYBODY
) -> Callable[[Callable[[Visit], Awaitable[Response[Any]]]], HTTPRouteHandler]:
    """A page for users of these roles; None: for anybody. Who is not logged in is sent to do so, and back."""

    def decorate(work: Callable[[Visit], Awaitable[Response[Any]]]) -> HTTPRouteHandler:
        async def handler(request: HTTP) -> Response[Any]:
            visit = await visit_of(request)
            if roles is not None:
                if visit.session is None:
                    target = request.scope["path"]
                    query = request.scope["query_string"].decode("latin-1")
                    return visit.go(f"/cabinet/login?next={quote(f'{target}?{query}' if query else target)}")
                if visit.user.role not in roles:
                    raise ForbiddenError
            _refuse_unfit(request.query_params.values())
            return await work(visit)

        return get(path, name=f"page {path}", opt={"roles": roles, "public": roles is None})(handler)

    return decorate


def form(
    path: str, roles: frozenset[Role] | None = EVERYBODY
) -> Callable[[Callable[[Visit, FormMultiDict], Awaitable[Response[Any]]]], HTTPRouteHandler]:
    """What a form on one of our pages sends. FormError when it was on somebody else's."""

    def decorate(work: Callable[[Visit, FormMultiDict], Awaitable[Response[Any]]]) -> HTTPRouteHandler:
        async def handler(request: HTTP) -> Response[Any]:
            visit = await visit_of(request)
            if roles is not None and visit.session is None:
                return visit.go("/cabinet/login")
            values = await _values_of(request)
            given = values.get("csrf", "")
            if not isinstance(given, str) or not visit.is_form_ours(given):
                raise FormError(_told_of_form(request, visit))
            if roles is not None and visit.user.role not in roles:
                raise ForbiddenError
            return await work(visit, values)

        return post(path, name=f"form {path}", status_code=200, opt={"roles": roles, "public": roles is None})(handler)

    return decorate


def _told_of_form(request: HTTP, visit: Visit) -> tuple[str, str]:
    if visit.has_token():
        return STALE_FORM
    cookies = request.headers.get("cookie", "").encode("latin-1", "replace")
    return UNREADABLE_COOKIE if cookies == UNREADABLE else NO_COOKIE


async def _values_of(request: HTTP) -> FormMultiDict:
    """A form's fields. InvalidInputError for what no browser makes of one, and nothing of what came is in it."""
    try:
        if request.content_type[0] == RequestEncodingType.URL_ENCODED:
            # Not the framework's own way: it keeps the last thousand bodies, with their passwords, in memory.
            text = (await request.body()).decode()
            pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
            values = FormMultiDict(pairs)
        else:
            values = await request.form()
    except (ValueError, LookupError):
        raise _unreadable() from None
    _refuse_unfit(values.values())
    return values


def _refuse_unfit(values: Iterable[object]) -> None:
    if any(_UNFIT.search(value) for value in values if isinstance(value, str)):
        raise _unreadable()


def _unreadable() -> InvalidInputError:
    return InvalidInputError("What was sent cannot be read.", remedy="Send it from its page.")


def safe_target(given: str) -> str:
    """A page of ours to go to after the login; the first one for anything else."""
    return given if len(given) <= 500 and _TARGET.fullmatch(given) else "/cabinet"


def text_of(values: FormMultiDict, name: str, longest: int = 1000) -> str:
    """A field's text, "" when it is not there or is a file; cut to `longest`."""
    value = values.get(name, "")
    return value[:longest] if isinstance(value, str) else ""
