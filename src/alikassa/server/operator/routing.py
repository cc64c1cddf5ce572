"""How a request becomes a call and its answer a response: token, body, query, key. And what of it is documented."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec
from litestar import Request, get, post
from litestar.response import Response

from alikassa.ledger.attempts import Answer
from alikassa.server.operator.answers import encode
from alikassa.server.operator.once import Once, Reply, check_key
from alikassa.server.operator.refusals import RequestError, malformed

if TYPE_CHECKING:
    import uuid
    from collections.abc import Awaitable, Callable

    from litestar.handlers import HTTPRouteHandler

    from alikassa.server.operator.desk import Desk

__all__ = ["Asked", "Contract", "NoBody", "NoQuery", "Question", "answer", "asking", "contract_of", "desk_of", "doing"]

HTTP = Request[Any, Any, Any]
Body = TypeVar("Body", bound=msgspec.Struct)
Query = TypeVar("Query", bound=msgspec.Struct)

JSON = "application/json"


class NoBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing is asked beyond the address."""


class NoQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


@dataclass(frozen=True)
class Contract:
    """What an address takes and gives, for the document: statuses with their shapes, beyond what any may answer."""

    summary: str
    gives: dict[int, Any]
    refusals: frozenset[int]
    body: type[msgspec.Struct] | None
    query: type[msgspec.Struct]


@dataclass(frozen=True)
class Asked(Generic[Body]):
    """A request to change something. `once` is None without an Idempotency-Key."""

    desk: Desk
    path: dict[str, Any]
    body: Body
    once: Once | None

    def id(self, name: str) -> uuid.UUID:
        """A uuid of the address."""
        return cast("uuid.UUID", self.path[name])


@dataclass(frozen=True)
class Question(Generic[Query]):
    """A request to know something."""

    desk: Desk
    path: dict[str, Any]
    query: Query

    def id(self, name: str) -> uuid.UUID:
        """A uuid of the address."""
        return cast("uuid.UUID", self.path[name])


def answer(value: msgspec.Struct, status: int = 200) -> Answer:
    return Answer(status, encode(value))


def desk_of(request: HTTP) -> Desk:
    return cast("Desk", request.app.state["desk"])


def contract_of(handler: HTTPRouteHandler) -> Contract | None:
    return cast("Contract | None", handler.opt.get("contract"))


def doing(
    path: str, body: type[Body], gives: dict[int, Any], summary: str, *, refusals: frozenset[int] = frozenset()
) -> Callable[[Callable[[Asked[Body]], Awaitable[Reply]]], HTTPRouteHandler]:
    """A POST that changes something, for tokens that may write."""
    decoder = msgspec.json.Decoder(body)
    empty = body is NoBody
    contract = Contract(summary, gives, refusals, body, NoQuery)

    def decorate(work: Callable[[Asked[Body]], Awaitable[Reply]]) -> HTTPRouteHandler:
        async def handler(request: HTTP) -> Response[bytes]:
            desk = desk_of(request)
            token = await desk.access.admit(request.headers.get("authorization"), writes=True)
            raw = await request.body()
            key = check_key(request.headers.getall("idempotency-key", []))
            _query(NoQuery, request)
            if not (empty and not raw):
                _check_type(request)
            try:
                decoded = decoder.decode(raw or (b"{}" if empty else raw))
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise malformed(error) from None
            if key is None:
                return _response(await work(Asked(desk, request.path_params, decoded, None)))
            once = Once.of(token.id, key, request.method, request.scope["path"], raw)
            async with desk.turns.take((token.id, key)):
                return _response(await work(Asked(desk, request.path_params, decoded, once)))

        name = f"do {path}"
        return post(path, name=name, opt={"contract": contract})(handler)

    return decorate


def asking(
    path: str, query: type[Query], gives: Any, summary: str, *, refusals: frozenset[int] = frozenset()
) -> Callable[[Callable[[Question[Query]], Awaitable[Answer]]], HTTPRouteHandler]:
    """A GET, for any token."""
    contract = Contract(summary, {200: gives}, refusals, None, query)

    def decorate(work: Callable[[Question[Query]], Awaitable[Answer]]) -> HTTPRouteHandler:
        async def handler(request: HTTP) -> Response[bytes]:
            desk = desk_of(request)
            await desk.access.admit(request.headers.get("authorization"), writes=False)
            return _response(Reply(await work(Question(desk, request.path_params, _query(query, request)))))

        return get(path, name=f"ask {path}", opt={"contract": contract})(handler)

    return decorate


def _query(shape: type[Query], request: HTTP) -> Query:
    """The parameters of the address; one that the shape declares as a list may be repeated, or separated by commas."""
    lists = {one.encode_name for one in msgspec.structs.fields(shape) if one.type == list[Any] or _is_list(one.type)}
    values: dict[str, Any] = {}
    for name in request.query_params:
        given = request.query_params.getall(name)
        if name in lists:
            values[name] = [part for text in given for part in text.split(",")]
        elif len(given) > 1:
            raise RequestError(
                400, "MalformedRequest", "A parameter is there twice.", remedy="Send each parameter once."
            )
        else:
            values[name] = given[0]
    try:
        return msgspec.convert(values, shape, strict=False)
    except msgspec.ValidationError as error:
        raise malformed(error) from None


def _is_list(kind: Any) -> bool:
    return getattr(kind, "__origin__", None) is list


def _check_type(request: HTTP) -> None:
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.replace(" ", "").replace('"', "").lower()
    if kind.strip().lower() != JSON or charset not in ("", "charset=utf-8"):
        raise RequestError(
            415,
            "UnsupportedMediaType",
            "The body has to be JSON.",
            remedy="Send it in UTF-8, as Content-Type: application/json.",
        )


def _response(reply: Reply) -> Response[bytes]:
    headers = {"Idempotent-Replayed": "true"} if reply.replayed else {}
    return Response(reply.answer.body, status_code=reply.answer.status, media_type=JSON, headers=headers)
