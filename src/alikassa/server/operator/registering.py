"""Merchants, their certificates, their accounts, and the terms of those."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from alikassa.ledger.model import Account, Certificate, CertificateState, Merchant, Purpose
from alikassa.ledger.registry import Registry
from alikassa.protocol.certificates import load_public_key
from alikassa.server.operator.answers import AccountAnswer, account_answer
from alikassa.server.operator.fields import Moment
from alikassa.server.operator.once import Reply, register
from alikassa.server.operator.routing import Asked, NoBody, NoQuery, Question, answer, asking, doing

if TYPE_CHECKING:
    from alikassa.ledger.attempts import Answer
    from alikassa.server.operator.desk import Desk

__all__ = ["ROUTES"]

_NOT_THERE = frozenset({404})


class Page(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`after` is the `cursor` of the page before."""

    after: uuid.UUID | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


# Merchants


class MerchantBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": 200})]


class MerchantAnswer(msgspec.Struct, frozen=True):
    id: uuid.UUID
    name: str
    created_at: Moment


class MerchantPage(msgspec.Struct, frozen=True):
    """In the order of adding. `cursor` is null on the last page."""

    merchants: list[MerchantAnswer]
    cursor: uuid.UUID | None


def _merchant(merchant: Merchant) -> MerchantAnswer:
    return MerchantAnswer(merchant.id, merchant.name, merchant.created_at)


@doing("/merchants", MerchantBody, {201: MerchantAnswer}, "Add a merchant.")
async def add_merchant(asked: Asked[MerchantBody]) -> Reply:
    return await register(
        asked.desk,
        asked.once,
        lambda registry: registry.add_merchant(asked.body.name),
        lambda merchant: answer(_merchant(merchant), 201),
    )


@asking("/merchants", Page, MerchantPage, "List merchants.")
async def list_merchants(question: Question[Page]) -> Answer:
    query = question.query
    found = await Registry(question.desk.database).merchants(after=query.after, limit=query.limit)
    return answer(MerchantPage([_merchant(one) for one in found], found[-1].id if len(found) == query.limit else None))


@asking("/merchants/{merchant:uuid}", NoQuery, MerchantAnswer, "One merchant.", refusals=_NOT_THERE)
async def one_merchant(question: Question[NoQuery]) -> Answer:
    return answer(_merchant(await Registry(question.desk.database).merchant(question.id("merchant"))))


# Certificates


class CertificateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`public_key` is PEM: a public key, or an X.509 certificate that is valid now."""

    purpose: Purpose
    public_key: Annotated[str, Meta(extra_json_schema={"maxLength": 65536})]
    sha1_allowed: bool = True


class CertificateAnswer(msgspec.Struct, frozen=True):
    """`fingerprint` is the SHA-256 of the public key (DER, SubjectPublicKeyInfo)."""

    id: uuid.UUID
    merchant: uuid.UUID
    purpose: Purpose
    state: CertificateState
    sha1_allowed: bool
    fingerprint: str
    bits: int
    created_at: Moment
    revoked_at: Moment | None


class CertificateList(msgspec.Struct, frozen=True):
    """Active ones first, then the newest."""

    certificates: list[CertificateAnswer]


class Sha1Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    allowed: bool


def _certificate(one: Certificate) -> CertificateAnswer:
    return CertificateAnswer(
        id=one.id,
        merchant=one.merchant,
        purpose=one.purpose,
        state=one.state,
        sha1_allowed=one.sha1_allowed,
        fingerprint=one.fingerprint,
        bits=one.bits,
        created_at=one.created_at,
        revoked_at=one.revoked_at,
    )


@doing(
    "/merchants/{merchant:uuid}/certificates",
    CertificateBody,
    {201: CertificateAnswer},
    "Register a merchant's public key.",
    refusals=frozenset({404, 409}),
)
async def add_certificate(asked: Asked[CertificateBody]) -> Reply:
    body = asked.body
    key = load_public_key(body.public_key.encode())
    return await register(
        asked.desk,
        asked.once,
        lambda registry: registry.add_certificate(
            asked.id("merchant"), body.purpose, key, sha1_allowed=body.sha1_allowed
        ),
        lambda certificate: answer(_certificate(certificate), 201),
    )


@asking(
    "/merchants/{merchant:uuid}/certificates",
    NoQuery,
    CertificateList,
    "A merchant's certificates.",
    refusals=_NOT_THERE,
)
async def list_certificates(question: Question[NoQuery]) -> Answer:
    found = await Registry(question.desk.database).certificates(question.id("merchant"))
    return answer(CertificateList([_certificate(one) for one in found]))


@doing(
    "/certificates/{certificate:uuid}/revoke",
    NoBody,
    {200: CertificateAnswer},
    "Revoke a certificate for good.",
    refusals=_NOT_THERE,
)
async def revoke_certificate(asked: Asked[NoBody]) -> Reply:
    return await register(
        asked.desk,
        asked.once,
        lambda registry: registry.revoke_certificate(asked.id("certificate")),
        lambda certificate: answer(_certificate(certificate)),
    )


@doing(
    "/certificates/{certificate:uuid}/sha1",
    Sha1Body,
    {200: CertificateAnswer},
    "Switch SHA-1 signatures on or off for a certificate.",
    refusals=_NOT_THERE,
)
async def allow_sha1(asked: Asked[Sha1Body]) -> Reply:
    return await register(
        asked.desk,
        asked.once,
        lambda registry: registry.allow_sha1(asked.id("certificate"), allowed=asked.body.allowed),
        lambda certificate: answer(_certificate(certificate)),
    )


# Accounts


class AccountBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`id` only when it is to have a certain one."""

    merchant: uuid.UUID
    currency: Annotated[
        str, Meta(examples=["RUB"], extra_json_schema={"pattern": "^[A-Z][A-Z0-9]{2,9}$", "minLength": 3})
    ]
    id: uuid.UUID | None = None


class FreshBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`required`: only with account, timestamp and nonce in the signed body; else any signed request is taken."""

    required: bool


class AccountPage(msgspec.Struct, frozen=True):
    """`cursor` is null on the last page."""

    accounts: list[AccountAnswer]
    cursor: uuid.UUID | None


class AccountQuery(Page, frozen=True, forbid_unknown_fields=True):
    """Of one merchant, or all."""

    merchant: uuid.UUID | None = None


@doing("/accounts", AccountBody, {201: AccountAnswer}, "Open an account.", refusals=frozenset({404, 409}))
async def open_account(asked: Asked[AccountBody]) -> Reply:
    body = asked.body
    return await register(
        asked.desk,
        asked.once,
        lambda registry: registry.open_account(body.merchant, body.currency, body.id),
        lambda account: answer(account_answer(account), 201),
    )


@doing(
    "/accounts/{account:uuid}/fresh",
    FreshBody,
    {200: AccountAnswer},
    "Say whether an account takes only requests that are good once.",
    refusals=_NOT_THERE,
)
async def require_fresh(asked: Asked[FreshBody]) -> Reply:
    return await register(
        asked.desk,
        asked.once,
        lambda registry: registry.require_fresh(asked.id("account"), required=asked.body.required),
        lambda account: answer(account_answer(account)),
    )


async def _answered_now(desk: Desk, account: Account) -> AccountAnswer:
    """With the numbers that a balance request is answered now: what is due counts."""
    standing = await desk.reader.find(str(account.id))
    if standing is None:
        return account_answer(account)
    return account_answer(
        account, (standing.balance, standing.hold, standing.rolling_reserve, standing.pending_payouts)
    )


@asking("/accounts", AccountQuery, AccountPage, "List accounts.", refusals=_NOT_THERE)
async def list_accounts(question: Question[AccountQuery]) -> Answer:
    query = question.query
    found = await Registry(question.desk.database).accounts(query.merchant, after=query.after, limit=query.limit)
    answered = await asyncio.gather(*[_answered_now(question.desk, one) for one in found])
    return answer(AccountPage(answered, found[-1].id if len(found) == query.limit else None))


@asking(
    "/accounts/{account:uuid}",
    NoQuery,
    AccountAnswer,
    "One account, with its four numbers as answered now.",
    refusals=_NOT_THERE,
)
async def one_account(question: Question[NoQuery]) -> Answer:
    account = await Registry(question.desk.database).account(question.id("account"))
    return answer(await _answered_now(question.desk, account))


ROUTES = (
    *(add_merchant, list_merchants, one_merchant),
    *(add_certificate, list_certificates, revoke_certificate, allow_sha1),
    *(open_account, require_fresh, list_accounts, one_account),
)
