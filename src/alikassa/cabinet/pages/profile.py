"""A user's own settings: password, one-time codes, where they are logged in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from alikassa import clock
from alikassa.cabinet.codes import accepted_step, new_secret, picture, secret_text
from alikassa.cabinet.passwords import LONGEST_PASSWORD, check_password
from alikassa.cabinet.routing import form, page, text_of
from alikassa.errors import InvalidInputError

if TYPE_CHECKING:
    from litestar.datastructures import FormMultiDict
    from litestar.response import Response

    from alikassa.cabinet.visits import Visit

__all__ = ["ROUTES"]


@page("/profile")
async def _profile(visit: Visit) -> Response[Any]:
    return await _shown(visit)


async def _shown(visit: Visit, problem: str = "", status: int = 200) -> Response[Any]:
    return visit.page(
        "profile.html",
        status=status,
        problem=problem,
        sessions=await visit.office.sessions.of(visit.user.id),
        present=visit.session.hash if visit.session else b"",
    )


@form("/profile/password")
async def _change_password(visit: Visit, values: FormMultiDict) -> Response[Any]:
    old, new = (text_of(values, name, LONGEST_PASSWORD + 1) for name in ("old", "new"))
    if not await _is_password(visit, old):
        return await _shown(visit, "password-wrong", 400)
    try:
        check_password(new, visit.user.login)
    except InvalidInputError:
        return await _shown(visit, "password-weak", 400)
    office = visit.office
    await office.users.set_password(visit.user.id, await office.passwords.hash(new))
    visit.keep_token(await office.sessions.open(visit.user.id, visit.address, visit.user_agent))
    office.log.info("password changed", user=str(visit.user.id))
    return visit.go("/cabinet/profile?done=password")


async def _is_password(visit: Visit, password: str) -> bool:
    """Guessing it from an open session is throttled as it is at the login."""
    office, user = visit.office, visit.user
    with office.throttle.attempt(user.login, visit.address) as attempt:
        if attempt.wait:
            return False
        fits = await office.passwords.fits(user.password, password)
        attempt.failed = not fits
    return fits


@form("/profile/codes")
async def _begin_codes(visit: Visit, values: FormMultiDict) -> Response[Any]:
    """A secret for the app. It counts only once the app has shown a code of it, and comes back from where the
    password was given: else whoever finds an open session could lock its owner out with a secret of their own."""
    if not await _is_password(visit, text_of(values, "password", LONGEST_PASSWORD + 1)):
        return await _shown(visit, "password-wrong", 400)
    return _codes(visit, new_secret())


def _codes(visit: Visit, secret: bytes, problem: str = "") -> Response[Any]:
    drawn = Markup(picture(secret, visit.user.login))  # noqa: S704 - made of the secret and an escaped login
    return visit.page(
        "codes.html",
        status=400 if problem else 200,
        picture=drawn,
        secret=secret_text(secret),
        proof=visit.office.offers.proof(_session_of(visit), secret),
        problem=problem,
    )


def _session_of(visit: Visit) -> bytes:
    assert visit.session is not None  # noqa: S101 - the routing lets nobody else here
    return visit.session.hash


@form("/profile/codes/confirm")
async def _confirm_codes(visit: Visit, values: FormMultiDict) -> Response[Any]:
    secret = _secret_of(text_of(values, "secret", 64))
    if secret is None or not visit.office.offers.is_ours(_session_of(visit), secret, text_of(values, "proof", 64)):
        return await _shown(visit, "codes-wrong", 400)
    if visit.user.totp_secret is not None:
        return await _shown(visit, "codes-wrong", 400)
    step = accepted_step(secret, text_of(values, "code", 20), clock.now(), None)
    if step is None:
        return _codes(visit, secret, "code-wrong")
    await visit.office.users.set_codes(visit.user.id, secret, step)
    visit.office.log.info("one-time codes switched on", user=str(visit.user.id))
    return visit.go("/cabinet/profile?done=codes")


def _secret_of(text: str) -> bytes | None:
    import base64
    import binascii

    try:
        secret = base64.b32decode(text)
    except (binascii.Error, ValueError):
        return None
    return secret if len(secret) == len(new_secret()) else None


@form("/profile/codes/off")
async def _end_codes(visit: Visit, values: FormMultiDict) -> Response[Any]:
    if not await _is_password(visit, text_of(values, "password", LONGEST_PASSWORD + 1)):
        return await _shown(visit, "password-wrong", 400)
    await visit.office.users.set_codes(visit.user.id, None, None)
    visit.office.log.info("one-time codes switched off", user=str(visit.user.id))
    return visit.go("/cabinet/profile?done=codes-off")


@form("/profile/everywhere")
async def _log_out_everywhere(visit: Visit, _: FormMultiDict) -> Response[Any]:
    await visit.office.sessions.end_all(visit.user.id)
    visit.drop_token()
    return visit.go("/cabinet/login?done=everywhere")


ROUTES = [_profile, _change_password, _begin_codes, _confirm_codes, _end_codes, _log_out_everywhere]
