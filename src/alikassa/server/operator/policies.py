"""The terms of an account, as they are and as they were. They are set by booking `policy_set`."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from alikassa.ledger.attempts import Answer
from alikassa.ledger.ids import lane_of
from alikassa.ledger.policy import Policy
from alikassa.ledger.registry import Registry
from alikassa.ledger.schema import policies
from alikassa.server.operator.answers import encode
from alikassa.server.operator.routing import NoQuery, Question, asking
from alikassa.server.operator.shapes import wire, wire_type

__all__ = ["ROUTES"]

_TERMS = Policy.__struct_fields__


class PolicyVersion(msgspec.Struct, frozen=True):
    """A version of the terms, in force from entry number `sequence` on. Percentages are text, as amounts are."""

    version: int
    sequence: int
    policy: Policy


class PolicyVersions(msgspec.Struct, frozen=True):
    """All versions, the oldest first. `current` is the one that new payments come under, 0: none."""

    current: int
    versions: list[PolicyVersion]


@asking(
    "/accounts/{account:uuid}/policies",
    NoQuery,
    wire_type(PolicyVersions),
    "The terms of an account: the current ones and all before.",
    refusals=frozenset({404}),
)
async def versions(question: Question[NoQuery]) -> Answer:
    account = await Registry(question.desk.database).account(question.id("account"))
    statement = (
        sa.select(policies)
        .where(policies.c.lane == lane_of(account.id), policies.c.account_id == account.id)
        .order_by(policies.c.version)
    )
    async with question.desk.database.read() as connection:
        rows = (await connection.execute(statement)).mappings().all()
    found = [
        PolicyVersion(row["version"], row["sequence"], msgspec.convert({name: row[name] for name in _TERMS}, Policy))
        for row in rows
    ]
    return Answer(200, encode(wire(PolicyVersions(account.policy, found))))


ROUTES = (versions,)
