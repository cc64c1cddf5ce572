"""Logging in and out, and the language."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alikassa import clock
from alikassa.cabinet.codes import accepted_step
from alikassa.cabinet.passwords import LONGEST_PASSWORD
from alikassa.cabinet.routing import form, page, safe_target, text_of
from alikassa.cabinet.users import LANGUAGES, LONGEST_LOGIN, Role
from alikassa.errors import NotFoundError

if TYPE_CHECKING:
    from litestar.datastructures import FormMultiDict
    from litestar.response import Response

    from alikassa.cabinet.users import User
    from alikassa.cabinet.visits import Visit

__all__ = ["ROUTES"]


@page("/", roles=None)
async def _first(visit: Visit) -> Response[Any]:
    if visit.session is None:
        return visit.go("/cabinet/login")
    return visit.go("/cabinet/operator" if visit.user.role is Role.OPERATOR else "/cabinet/accounts")


@page("/login", roles=None)
async def _login(visit: Visit) -> Response[Any]:
    target = safe_target(visit.request.query_params.get("next", ""))
    if visit.session is not None:
        return visit.go(target)
    return visit.page("login.html", target=target, login="", problem="", wait=0)


@form("/login", roles=None)
async def _log_in(visit: Visit, values: FormMultiDict) -> Response[Any]:
    login = text_of(values, "login", LONGEST_LOGIN).strip()
    target = safe_target(text_of(values, "next"))
    office, address = visit.office, visit.address
    with office.throttle.attempt(login, address) as attempt:
        if attempt.wait:
            office.log.warning("login throttled", address=address)
            minutes = -(-attempt.wait // 60)
            return visit.page("login.html", status=429, target=target, login=login, problem="throttled", wait=minutes)
        user = await _who(visit, login, text_of(values, "password", LONGEST_PASSWORD + 1), text_of(values, "code", 20))
        attempt.failed = user is None
    if user is None:
        office.log.warning("login refused", address=address)
        return visit.page("login.html", status=400, target=target, login=login, problem="refused", wait=0)
    if visit.session is not None:
        # Its cookie is about to be replaced: nobody could end it any more.
        await office.sessions.end(visit.session.hash)
    visit.keep_token(await office.sessions.open(user.id, address, visit.user_agent))
    visit.keep_language(user.language)
    office.log.info("login", user=str(user.id), role=user.role.value, address=address)
    return visit.go(target)


async def _who(visit: Visit, login: str, password: str, code: str) -> User | None:
    """The user, if everything fits. One answer, and about one time, for whatever does not."""
    office = visit.office
    user = await office.users.by_login(login)
    fits = await office.passwords.fits(user.password if user else None, password)
    if user is None or not fits or user.disabled_at is not None:
        return None
    if user.totp_secret is None:
        return user
    step = accepted_step(user.totp_secret, code, clock.now(), user.totp_step)
    if step is None or not await office.users.take_code(user.id, step):
        return None
    return user


@form("/logout")
async def _log_out(visit: Visit, _: FormMultiDict) -> Response[Any]:
    assert visit.session is not None  # noqa: S101 - the routing lets nobody else here
    await visit.office.sessions.end(visit.session.hash)
    visit.drop_token()
    return visit.go("/cabinet/login?done=logged-out")


@form("/language", roles=None)
async def _choose(visit: Visit, values: FormMultiDict) -> Response[Any]:
    language = text_of(values, "language", 10)
    if language in LANGUAGES:
        if visit.session is not None:
            await visit.office.users.set_language(visit.user.id, language)
        visit.keep_language(language)
    return visit.go(safe_target(text_of(values, "next")))


@page("/{rest:path}", roles=None)
async def _elsewhere(visit: Visit) -> Response[Any]:
    raise NotFoundError(visit.path)


ROUTES = [_first, _login, _log_in, _log_out, _choose, _elsewhere]
