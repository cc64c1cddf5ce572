"""What happened to a request, and what to do: for each outcome, reason and field, in English.

Texts are constants, so that a catalogue can translate them. `{certificate}` in them is the id of the certificate that
did sign; whoever shows them fills it in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alikassa.server.freshness import Stale
from alikassa.server.refusals import Reason
from alikassa.server.requests.kept import CUT_OFF, MALFORMED, TOO_LARGE, TOO_LATE, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FIELDS", "OUTCOMES", "REASONS", "STALE", "UNREAD", "Remedy", "remedies", "texts"]


class Remedy(NamedTuple):
    """What happened, and what to do about it ("" for nothing)."""

    happened: str
    remedy: str


#: When no more is known than what became of a request.
OUTCOMES = {
    Outcome.OK: Remedy("The request was answered with the balance.", ""),
    Outcome.REFUSED: Remedy(
        "The signature was refused, and why was not looked into: too many were refused at that moment.",
        "Ask again and look here: if it is refused once more, the reason will be told.",
    ),
    Outcome.MALFORMED: Remedy(
        "The request is not what a balance request has to be.",
        "Compare it with the documentation, header by header.",
    ),
    Outcome.LIMITED: Remedy(
        "There were more requests than are allowed in that time.",
        "Wait as long as Retry-After says, and ask less often. Your signature was not the reason.",
    ),
    Outcome.UNAVAILABLE: Remedy(
        "The service was temporarily unavailable. Nothing was wrong with the request.",
        "Send it again.",
    ),
    Outcome.ERROR: Remedy(
        "Something went wrong at our side. Nothing was wrong with the request, as far as we know.",
        "Send it again; we are told of it.",
    ),
}

#: Why a signature was refused.
REASONS = {
    Reason.UNKNOWN_ACCOUNT: Remedy(
        "The uuid in Account is not that of an account.",
        "Copy the uuid from the section Accounts.",
    ),
    Reason.NO_CERTIFICATE: Remedy(
        "There is no active payout certificate.",
        "Register the public.pem of your payout archive in the section Keys.",
    ),
    Reason.PAYMENT_CERTIFICATE: Remedy(
        "The request was signed with the payment certificate {certificate}.",
        "Sign it with the payout certificate: the private.pem in the folder cert/payout of the archive.",
    ),
    Reason.REVOKED_CERTIFICATE: Remedy(
        "The request was signed with the certificate {certificate}, which is revoked.",
        "Sign with the key of an active payout certificate. If nobody should have the old key any more, find out who"
        " sent this.",
    ),
    Reason.SHA1_NOT_ALLOWED: Remedy(
        "The signature uses SHA-1, which is switched off for the certificate {certificate}.",
        "Sign with SHA-256. In PHP, give openssl_sign the argument OPENSSL_ALGO_SHA256.",
    ),
    Reason.WRONG_LENGTH: Remedy(
        "The signature has another length than the payout certificate makes.",
        "Sign with the key of the payout certificate, and send the whole base64 on one line.",
    ),
    Reason.WRONG_SIGNATURE: Remedy(
        "The signature does not match the body with any certificate of this merchant.",
        "Sign exactly the bytes that are sent (RSASSA-PKCS1-v1_5, SHA-256) with the payout key, and encode as base64"
        " once. If the key is another merchant's, check the uuid in Account.",
    ),
}

#: Why a request that was signed well was not taken all the same.
STALE = {
    Stale.NOT_STAMPED: Remedy(
        "The account takes only requests that are good once, and this one could be sent again.",
        "Put account, timestamp and nonce into the signed body. Our client does it with Client(fresh=True) or --fresh.",
    ),
    Stale.WRONG_STAMP: Remedy(
        "The body has some of account, timestamp and nonce, but not all three as they have to be.",
        "Put all three into the signed body, or none: the account's uuid, Unix seconds as a whole number, and 22 to 64"
        " random letters or digits.",
    ),
    Stale.OTHER_ACCOUNT: Remedy(
        "The signed body is for another account than the header Account names.",
        "Sign a body for each account. If you did not send this, find out who tried another account with your request.",
    ),
    Stale.WRONG_TIME: Remedy(
        "The time in the signed body is more than 300 seconds from ours.",
        "Set the clock of the machine that signs, and sign a new body for each request. If the clock is right, somebody"
        " may have sent an old request again.",
    ),
    Stale.USED_NONCE: Remedy(
        "The same signed request, or its nonce, was sent before.",
        "Make a new nonce for each request. If you do, somebody or something between sends your requests again.",
    ),
    Stale.TOO_MANY_NONCES: Remedy(
        "The certificate {certificate} has sent as many requests that are good once as are kept count of.",
        "Ask less often.",
    ),
}

#: What was wrong with the request itself, by the field that the answer names.
FIELDS = {
    "account": Remedy(
        "The header Account is missing, sent more than once, or no uuid.",
        "Send the uuid of the account in it, once: 8-4-4-4-12 hexadecimal digits, without braces.",
    ),
    "sign": Remedy(
        "The header Sign is missing, sent more than once, or no base64.",
        "Send the base64 of the signature in it, once: the standard alphabet, with padding, on one line.",
    ),
    "content_type": Remedy(
        "The header Content-Type is missing, sent more than once, or another than application/json.",
        "Send Content-Type: application/json.",
    ),
    "body": Remedy(
        "The signature is right, but the body is not JSON, or nested too deeply.",
        "Send {{}} as the body, and sign these two bytes.",
    ),
}

#: Why a body was not read to its end.
UNREAD = {
    TOO_LARGE: Remedy("The body is larger than is read.", "Send {{}} as the body."),
    TOO_LATE: Remedy(
        "The body did not arrive in time.",
        "Send it at once after the headers. If it is, look at the connection and at what lies between.",
    ),
    CUT_OFF: Remedy(
        "The body broke off before it was whole.",
        "Send as many bytes as Content-Length says. If you do, look at the connection and at what lies between.",
    ),
}


def remedies(outcome: Outcome, reason: str) -> tuple[Remedy, ...]:
    """What happened and what to do: one, or one for each field that was malformed. To be filled by `str.format`."""
    found: list[Remedy | None] = []
    if reason in STALE:
        found = [STALE[Stale(reason)]]
    elif outcome is Outcome.REFUSED and reason in {one.value for one in Reason}:
        found = [REASONS.get(Reason(reason))]
    elif outcome is Outcome.MALFORMED and reason.startswith(MALFORMED):
        found = [FIELDS.get(field) for field in reason.removeprefix(MALFORMED).split(",")]
    elif outcome is Outcome.MALFORMED:
        found = [UNREAD.get(reason)]
    return tuple(remedy for remedy in found if remedy is not None) or (OUTCOMES[outcome],)


def texts() -> Iterator[str]:
    """Every text here, for a catalogue."""
    for table in (OUTCOMES, REASONS, STALE, FIELDS, UNREAD):
        for remedy in table.values():
            yield from filter(None, remedy)
