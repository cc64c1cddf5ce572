"""Chain heads: the hash of each account's last entry. Kept elsewhere, they show later what was cut or redone."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from alikassa.errors import InvalidInputError
from alikassa.ledger.ids import lane_of
from alikassa.ledger.schema import accounts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alikassa.ledger.database import Database

__all__ = ["Head", "Heads", "format_heads", "parse_heads", "read_heads"]


class Head(msgspec.Struct, frozen=True):
    """The hash of the account's entry number `sequence`; 0 is the account itself, before the first."""

    account: uuid.UUID
    sequence: int
    hash: bytes


#: Of one time or of several.
Heads = tuple[Head, ...]


async def read_heads(database: Database, account: uuid.UUID | None = None) -> Heads:
    """Those that the accounts have now, as their rows say."""
    statement = sa.select(accounts.c.id, accounts.c.sequence, accounts.c.head).order_by(accounts.c.lane, accounts.c.id)
    if account is not None:
        statement = statement.where(accounts.c.lane == lane_of(account), accounts.c.id == account)
    async with database.read() as connection:
        return tuple(Head(id_, sequence, head) for id_, sequence, head in await connection.execute(statement))


def format_heads(heads: Heads) -> str:
    """JSON, one head a line."""
    return "".join(
        json.dumps({"account": str(one.account), "sequence": one.sequence, "hash": one.hash.hex()}) + "\n"
        for one in heads
    )


def parse_heads(text: str) -> Heads:
    """From JSON lines, or one JSON array. InvalidInputError for anything else."""
    try:
        found: Iterable[Any] = (
            json.loads(text) if text.lstrip().startswith("[") else map(json.loads, filter(str.strip, text.split("\n")))
        )
        heads = []
        for one in found:
            if type(one["sequence"]) is not int or one["sequence"] < 0:
                raise ValueError
            heads.append(Head(uuid.UUID(one["account"]), one["sequence"], bytes.fromhex(one["hash"])))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise InvalidInputError(
            "The file holds no chain heads.",
            remedy='A line reads {"account": ID, "sequence": NUMBER, "hash": HEX}, as --write-heads writes it.',
        ) from None
    return tuple(heads)
