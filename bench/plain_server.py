"""The peer: what a competent developer writes in an afternoon for the same page.

FastAPI, SQLAlchemy's ORM (asyncio), cryptography, on uvicorn with uvloop and httptools, one worker, no access log.
Two tables; at each request a session, one query for the account with its merchant's payout certificates, the key
loaded from its PEM, the signature verified (SHA-256, then SHA-1), a response model. Written as these projects' own
guides have it, and with what helps it: one query, not two, and a pool of a fitting size. What it lacks is what the
comparison is about: reads of several requests joined, signatures remembered, no framework on the way. Nor has it a
journal, bounds on requests, or refusals that tell a stranger nothing.
"""

import argparse
import base64
import binascii
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Annotated

import uvicorn
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from fastapi import Depends, FastAPI, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, PlainSerializer
from sqlalchemy import Numeric, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = ["Account", "Base", "Certificate", "make_app", "make_engine"]


class Base(DeclarativeBase):
    """The two tables."""


class Account(Base):
    __tablename__ = "accounts"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    merchant_id: Mapped[int] = mapped_column(index=True)
    currency: Mapped[str]
    balance: Mapped[Decimal] = mapped_column(Numeric(38, 8))
    hold: Mapped[Decimal] = mapped_column(Numeric(38, 8))
    rolling_reserve: Mapped[Decimal] = mapped_column(Numeric(38, 8))
    pending_payouts: Mapped[Decimal] = mapped_column(Numeric(38, 8))


class Certificate(Base):
    __tablename__ = "certificates"

    id: Mapped[int] = mapped_column(primary_key=True)
    merchant_id: Mapped[int] = mapped_column(index=True)
    purpose: Mapped[str]
    active: Mapped[bool]
    public_key: Mapped[str]


# Left to itself pydantic writes a zero of eight decimals as 0E-8.
Amount = Annotated[Decimal, PlainSerializer("{:.8f}".format, return_type=str)]


class Balance(BaseModel):
    """The answer."""

    model_config = ConfigDict(from_attributes=True)

    currency: str
    balance: Amount
    hold: Amount
    rolling_reserve: Amount
    pending_payouts: Amount


class RefusedError(Exception):
    """A 400 with the page's error body."""

    def __init__(self, field: str, text: str) -> None:
        self.content = {"message": "The given data was invalid.", "errors": {field: [text]}}


def make_engine(url: str) -> AsyncEngine:
    # No connections past the pool's size: they would be opened and closed at each request. Tried: 8, 16 and 32 do
    # alike, the defaults worse.
    return create_async_engine(url, pool_size=16, max_overflow=0)


def is_signed(public_key: str, signature: bytes, body: bytes) -> bool:
    key = load_pem_public_key(public_key.encode())
    assert isinstance(key, RSAPublicKey)
    for digest in (hashes.SHA256(), hashes.SHA1()):  # noqa: S303 - the page's PHP program signs with SHA-1
        try:
            key.verify(signature, body, padding.PKCS1v15(), digest)
        except InvalidSignature:
            continue
        return True
    return False


def make_app(database: str) -> FastAPI:
    engine = make_engine(database)
    sessions = async_sessionmaker(engine)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await engine.dispose()

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with sessions() as session:
            yield session

    app = FastAPI(lifespan=lifespan)

    @app.exception_handler(RefusedError)
    async def refuse(_: Request, refusal: RefusedError) -> JSONResponse:
        return JSONResponse(refusal.content, status_code=400)

    @app.post("/v1/account/balance", response_model=Balance)
    async def balance(
        request: Request,
        session: Annotated[AsyncSession, Depends(get_session)],
        account: Annotated[uuid.UUID, Header()],
        sign: Annotated[str, Header()],
    ) -> Account:
        body = await request.body()
        rows = await session.execute(
            select(Account, Certificate)
            .join(Certificate, Certificate.merchant_id == Account.merchant_id)
            .where(Account.id == account, Certificate.purpose == "payout", Certificate.active)
        )
        found = rows.all()
        if not found:
            raise RefusedError("account", "There is no such account, or it has no payout certificate.")
        try:
            signature = base64.b64decode(sign, validate=True)
        except binascii.Error:
            raise RefusedError("sign", "The signature is not base64.") from None
        if not any(is_signed(certificate.public_key, signature, body) for _, certificate in found):
            raise RefusedError("sign", "The signature does not match.")
        return found[0][0]

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the plain implementation.")
    parser.add_argument("--database", required=True, help="sqlite+aiosqlite:///... or postgresql+asyncpg://...")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    uvicorn.run(
        make_app(options.database),
        host="127.0.0.1",
        port=options.port,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    main()
