"""`alikassa certificate`: a merchant's public keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alikassa.cli.on_database import on_database
from alikassa.cli.options import DatabaseOption, JsonOption, PurposeChoice, parse_uuid
from alikassa.cli.output import message, print_id, print_json, print_records

if TYPE_CHECKING:
    from alikassa.ledger.model import Certificate

__all__ = ["app"]

app = typer.Typer(help="A merchant's certificates: the public halves of its keys.", no_args_is_help=True)
CertificateArgument = Annotated[str, typer.Argument(metavar="ID", help="The certificate's id.")]


@app.command(epilog="Example: `alikassa certificate add --merchant ID --purpose payout cert/payout/public.pem`")
def add(
    public_pem: Annotated[Path, typer.Argument(metavar="PUBLIC_PEM", help="public.pem, or an X.509 certificate.")],
    merchant: Annotated[str, typer.Option("--merchant", metavar="ID", help="Whose key it is.")],
    purpose: Annotated[PurposeChoice, typer.Option("--purpose", help="The balance request takes payout.")],
    database: DatabaseOption,
    sha1: Annotated[
        bool, typer.Option("--sha1/--no-sha1", help="Accept SHA-1 signatures, as the page's PHP program makes.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Register a public key of a merchant."""
    from alikassa.errors import CertificateError
    from alikassa.ledger.model import Purpose
    from alikassa.ledger.registry import Registry
    from alikassa.protocol.certificates import load_public_key

    owner = parse_uuid(merchant, "a merchant")
    try:
        with public_pem.open("rb") as file:
            pem = file.read(64 * 1024)
    except OSError as error:
        raise CertificateError(f"Cannot read {public_pem}: {error.strerror}.") from error
    try:
        key = load_public_key(pem)
    except CertificateError as error:
        raise CertificateError(f"{public_pem}: {error}", remedy=error.remedy) from error

    added = on_database(
        database,
        lambda opened: Registry(opened).add_certificate(owner, Purpose(purpose.value), key, sha1_allowed=sha1),
    )
    if as_json:
        print_json(_record(added))
    else:
        print_id(added.id)
        message(f"Added {added.purpose} certificate {added.id} (RSA {added.bits}).")
        message(f"Fingerprint: {added.fingerprint}")


@app.command("list", epilog="Example: `alikassa certificate list --merchant ID`")
def list_(
    database: DatabaseOption,
    merchant: Annotated[str | None, typer.Option("--merchant", metavar="ID", help="Only this merchant's.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List certificates, active ones first."""
    from alikassa.ledger.registry import Registry

    owner = None if merchant is None else parse_uuid(merchant, "a merchant")

    found = on_database(database, lambda opened: Registry(opened).certificates(owner))
    print_records(
        [_record(one) for one in found],
        as_json=as_json,
        empty="No certificates yet. Add one with: alikassa certificate add --merchant ID --purpose payout PUBLIC_PEM",
    )


@app.command(epilog="Example: `alikassa certificate revoke ID`")
def revoke(certificate: CertificateArgument, database: DatabaseOption, as_json: JsonOption = False) -> None:
    """Revoke a certificate for good: from the next request on, what it signs is refused."""
    from alikassa.ledger.registry import Registry

    id_ = parse_uuid(certificate, "a certificate")

    revoked = on_database(database, lambda opened: Registry(opened).revoke_certificate(id_))
    if as_json:
        print_json(_record(revoked))
    else:
        message(f"Revoked {revoked.purpose} certificate {revoked.id} at {revoked.revoked_at:%Y-%m-%d %H:%M:%S} UTC.")


@app.command(epilog="Example: `alikassa certificate sha1 ID --forbid`")
def sha1(
    certificate: CertificateArgument,
    allow: Annotated[bool, typer.Option("--allow/--forbid", help="Whether SHA-1 signatures are accepted.")],
    database: DatabaseOption,
    as_json: JsonOption = False,
) -> None:
    """Switch SHA-1 signatures on or off for one certificate."""
    from alikassa.ledger.registry import Registry

    id_ = parse_uuid(certificate, "a certificate")

    changed = on_database(database, lambda opened: Registry(opened).allow_sha1(id_, allowed=allow))
    if as_json:
        print_json(_record(changed))
    else:
        message(f"SHA-1 is {'allowed' if changed.sha1_allowed else 'forbidden'} for certificate {changed.id}.")


def _record(certificate: Certificate) -> dict[str, object]:
    return {
        "certificate": str(certificate.id),
        "merchant": str(certificate.merchant),
        "purpose": certificate.purpose.value,
        "state": certificate.state.value,
        "sha1_allowed": certificate.sha1_allowed,
        "bits": certificate.bits,
        "fingerprint": certificate.fingerprint,
        "created_at": certificate.created_at.isoformat(),
        "revoked_at": certificate.revoked_at.isoformat() if certificate.revoked_at else None,
    }
