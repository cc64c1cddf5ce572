"""A merchant's certificates: adding one, replacing one without a gap, and revoking it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from litestar.datastructures import UploadFile
from litestar.response import Response

from alikassa import clock
from alikassa.cabinet.certificates import (
    ENDING,
    IDLE,
    active,
    certificates_of,
    has_room,
    register,
    replacement_of,
    revoke,
)
from alikassa.cabinet.pages.accounts import id_of
from alikassa.cabinet.routing import MERCHANTS, OPERATORS, OWNERS, form, page, text_of
from alikassa.cabinet.uploads import LARGEST_UPLOAD, TEXTS, Problem, Wrong, read_public
from alikassa.errors import InvalidInputError, NotFoundError
from alikassa.ledger.model import Certificate, Purpose
from alikassa.ledger.registry import MOST_ACTIVE, Registry
from alikassa.protocol import archive

if TYPE_CHECKING:
    import uuid

    from litestar.datastructures import FormMultiDict

    from alikassa.cabinet.certificates import SeenCertificate
    from alikassa.cabinet.visits import Visit
    from alikassa.ledger.database import Database
    from alikassa.ledger.model import Merchant

__all__ = ["ROUTES"]


@page("/keys", MERCHANTS)
async def _keys(visit: Visit) -> Response[Any]:
    return await _shown(visit)


@page("/merchants/{merchant:uuid}/keys", OPERATORS)
async def _merchants_keys(visit: Visit) -> Response[Any]:
    id_ = id_of(visit, "merchant")
    return await _listed(visit, id_, await Registry(visit.office.desk.database).merchant(id_))


async def _shown(visit: Visit, problem: Problem | None = None) -> Response[Any]:
    return await _listed(visit, _merchant(visit), problem=problem)


def _merchant(visit: Visit) -> uuid.UUID:
    """Whose keys the user may see here."""
    merchant = visit.user.merchant
    assert merchant is not None  # noqa: S101 - everybody but operators has one, and the routing lets none of them here
    return merchant


async def _listed(
    visit: Visit, id_: uuid.UUID, merchant: Merchant | None = None, problem: Problem | None = None
) -> Response[Any]:
    found = await certificates_of(visit.office.desk.database, id_)
    return visit.page(
        "keys.html",
        status=400 if problem else 200,
        merchant=merchant,
        certificates=found,
        active={purpose: active(found, purpose) for purpose in (Purpose.PAYOUT, Purpose.PAYMENT)},
        # The last one revoked comes first.
        revoked=sorted(
            (one for one in found if one.certificate.revoked_at is not None),
            key=lambda one: one.certificate.revoked_at or one.certificate.created_at,
            reverse=True,
        ),
        replacement=replacement_of(found, clock.now()),
        idle_hours=IDLE.total_seconds() // 3600,
        most=MOST_ACTIVE,
        problem=problem,
        texts=TEXTS,
    )


@form("/keys/add", OWNERS)
async def _add(visit: Visit, values: FormMultiDict) -> Response[Any]:
    purpose = _purpose(values)
    key = read_public(await _given(values), clock.now())
    done = key if isinstance(key, Problem) else await register(_database(visit), _merchant(visit), purpose, key)
    if isinstance(done, Problem):
        visit.office.log.warning("certificate refused", user=str(visit.user.id), reason=done.wrong.value)
        return await _shown(visit, done)
    _log_added(visit, done)
    return visit.go("/cabinet/keys?done=added")


async def _given(values: FormMultiDict) -> bytes:
    """The file, or else the text; one byte more than is looked at shows that it is too large."""
    file = values.get("file")
    content = await file.read() if isinstance(file, UploadFile) else b""
    return content or text_of(values, "pem", LARGEST_UPLOAD + 1).encode()


@form("/keys/make", OWNERS)
async def _make(visit: Visit, values: FormMultiDict) -> Response[Any]:
    """A new pair as a download. It exists in this answer alone; only the public half is kept."""
    purpose, database, merchant = _purpose(values), _database(visit), _merchant(visit)
    if not await has_room(database, merchant, purpose):
        return await _shown(visit, Problem(Wrong.FULL, {"most": MOST_ACTIVE}))
    files = await asyncio.to_thread(archive.generate)
    done = await register(database, merchant, purpose, files.public_key)
    if isinstance(done, Problem):
        return await _shown(visit, done)
    _log_added(visit, done)
    name = f"{purpose.value}-{done.fingerprint[-ENDING:]}.zip"
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return Response(archive.zipped(files, purpose.value), media_type="application/zip", headers=headers)


@form("/keys/{certificate:uuid}/sha1", OWNERS)
async def _switch_sha1(visit: Visit, values: FormMultiDict) -> Response[Any]:
    certificate = (await _theirs(visit)).certificate
    allowed = text_of(values, "allowed", 3) == "yes"
    await Registry(_database(visit)).allow_sha1(certificate.id, allowed=allowed)
    visit.office.log.info("sha1 switched", user=str(visit.user.id), certificate=str(certificate.id), allowed=allowed)
    return visit.go(f"/cabinet/keys?done=sha1-{'on' if allowed else 'off'}")


@page("/keys/{certificate:uuid}/revoke", OWNERS)
async def _ask_to_revoke(visit: Visit) -> Response[Any]:
    return await _revoking(visit, await _theirs(visit))


async def _revoking(visit: Visit, one: SeenCertificate, problem: str = "") -> Response[Any]:
    if not one.is_active:
        return visit.go("/cabinet/keys?done=revoked")
    purpose = one.certificate.purpose
    remaining = len(active(await certificates_of(_database(visit), one.certificate.merchant), purpose)) - 1
    return visit.page(
        "keys_revoke.html",
        status=400 if problem else 200,
        one=one,
        remaining=remaining,
        is_last=remaining == 0 and purpose is Purpose.PAYOUT,
        ending=ENDING,
        problem=problem,
    )


@form("/keys/{certificate:uuid}/revoke", OWNERS)
async def _revoke(visit: Visit, values: FormMultiDict) -> Response[Any]:
    one = await _theirs(visit)
    if text_of(values, "typed", 100).strip().lower() != one.ending:
        return await _revoking(visit, one, "typed")
    if not await revoke(_database(visit), one.certificate, also_the_last=text_of(values, "last", 3) == "yes"):
        return await _revoking(visit, one, "last")
    visit.office.log.info("certificate revoked", user=str(visit.user.id), certificate=str(one.certificate.id))
    return visit.go("/cabinet/keys?done=revoked")


async def _theirs(visit: Visit) -> SeenCertificate:
    """The certificate of the address. NotFoundError also when it is another merchant's."""
    id_ = id_of(visit, "certificate")
    for one in await certificates_of(_database(visit), _merchant(visit)):
        if one.certificate.id == id_:
            return one
    raise NotFoundError(f"There is no certificate {id_}.")


def _purpose(values: FormMultiDict) -> Purpose:
    try:
        return Purpose(text_of(values, "purpose", 10))
    except ValueError:
        raise InvalidInputError("There is no such purpose.", remedy="Choose payout or payment.") from None


def _database(visit: Visit) -> Database:
    return visit.office.desk.database


def _log_added(visit: Visit, certificate: Certificate) -> None:
    visit.office.log.info(
        "certificate added",
        user=str(visit.user.id),
        certificate=str(certificate.id),
        purpose=certificate.purpose.value,
        fingerprint=certificate.fingerprint,
    )


ROUTES = [_keys, _merchants_keys, _add, _make, _switch_sha1, _ask_to_revoke, _revoke]
