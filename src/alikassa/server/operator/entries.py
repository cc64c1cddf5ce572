"""Booking: every command of the books, one at a time at an address of its own, or many at once."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Annotated, Any, Union

import msgspec
from msgspec import Meta

from alikassa.ledger.commands import COMMANDS
from alikassa.server.operator.answers import BookedAnswer
from alikassa.server.operator.bodies import BODIES, Body
from alikassa.server.operator.once import Reply, book
from alikassa.server.operator.refusals import RefusalDetail, problem_of
from alikassa.server.operator.routing import Asked, answer, doing

if TYPE_CHECKING:
    from litestar.handlers import HTTPRouteHandler

    from alikassa.ledger.attempts import Answer
    from alikassa.ledger.model import Kind
    from alikassa.server.operator.desk import Desk
    from alikassa.server.operator.once import Once

__all__ = ["MOST_IN_BULK", "routes"]

MOST_IN_BULK = 1000
#: What the books may say: no such account, against what is there, or not allowed by the rules.
_REFUSALS = frozenset({404, 409, 422})


def _single(kind: Kind, body: type[Body]) -> HTTPRouteHandler:
    summary = (COMMANDS[kind].__doc__ or f"Book: {kind}.").strip().partition("\n")[0]

    @doing(
        f"/accounts/{{account:uuid}}/{kind}",
        body,
        {201: BookedAnswer, 200: BookedAnswer},
        summary,
        refusals=_REFUSALS,
    )
    async def one(asked: Asked[Body]) -> Reply:
        return await book(asked.desk, asked.body.command(asked.id("account")), asked.once)

    return one


# In a bulk, each body also names its kind and its account.
_IN_BULK: Any = Union[  # noqa: UP007 - of a tuple that is known at run time
    tuple(
        msgspec.defstruct(
            f"Bulk{body.__name__}",
            [("account", uuid.UUID)],
            bases=(body,),
            namespace={"__doc__": body.__doc__},
            module=__name__,
            frozen=True,
            kw_only=True,
            forbid_unknown_fields=True,
            tag=kind.value,
            tag_field="kind",
        )
        for kind, body in BODIES.items()
    )
]


class Bulk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Commands, each booked or refused by itself. A shape that is wrong anywhere refuses all of them."""

    commands: Annotated[list[_IN_BULK], Meta(max_length=MOST_IN_BULK)]


class BulkResult(msgspec.Struct, frozen=True):
    """What came of one command, as it would have been answered by itself: a booking, or an error."""

    status: int
    entry: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    account: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    repeated: bool | msgspec.UnsetType = msgspec.UNSET
    error: RefusalDetail | msgspec.UnsetType = msgspec.UNSET


class BulkAnswer(msgspec.Struct, frozen=True):
    """A result for each command, in their order."""

    results: list[BulkResult]


class _Results(msgspec.Struct, frozen=True):
    """As `BulkAnswer`, of results that are JSON already."""

    results: list[msgspec.Raw]


@doing("/bulk", Bulk, {200: BulkAnswer}, f"Book up to {MOST_IN_BULK} commands, each by itself.")
async def _bulk(asked: Asked[Bulk]) -> Reply:
    """All join the writer's queue at once, so that it commits many of them together."""
    replies = await asyncio.gather(
        *[_one_of_bulk(asked.desk, one, asked.once, part) for part, one in enumerate(asked.body.commands)]
    )
    replayed = bool(replies) and all(one.replayed for one in replies)
    return Reply(answer(_Results([_result(one.answer) for one in replies])), replayed)


async def _one_of_bulk(desk: Desk, one: Any, once: Once | None, part: int) -> Reply:
    try:
        return await book(desk, one.command(one.account), once, part)
    except Exception as error:  # of one command: the others are booked all the same
        problem = problem_of(error)
        if problem.unexpected:
            desk.log.failed("POST", "/operator/v1/bulk", error)
        return Reply(problem.answer)


def _result(one: Answer) -> msgspec.Raw:
    # The body is an object: the status becomes the first of its fields.
    return msgspec.Raw(b'{"status":%d,%b' % (one.status, one.body[1:]))


def routes() -> list[HTTPRouteHandler]:
    return [*(_single(kind, body) for kind, body in BODIES.items()), _bulk]
