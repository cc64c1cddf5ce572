"""The OpenAPI document, and a page that shows it. Both are this program's own: nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import get
from litestar.response import Response

from alikassa.server.operator.refusals import Refusal
from alikassa.server.operator.routing import Contract, contract_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from litestar.handlers import HTTPRouteHandler

__all__ = ["DOCS", "document", "document_routes"]

DOCS = "/operator/docs"
_JSON = "application/json"
_REFS = "#/components/schemas/{name}"

#: What any address may answer, and what each means.
_ALWAYS = (400, 401, 500, 503)
_MEANINGS = {
    200: "Done.",
    201: "Made.",
    400: "The request is malformed.",
    401: "No token, or one that is unknown or revoked.",
    403: "The token is for reading.",
    404: "There is no such thing.",
    408: "The body did not arrive in time.",
    409: "Against what is there: a reference, key or state that is taken.",
    411: "The length of the body is not stated, and it is no JSON in chunks.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "Refused by the books.",
    500: "A defect of the server's.",
    503: "Not now: try again after Retry-After seconds.",
}
_HEADERS = {401: "WWW-Authenticate", 403: "WWW-Authenticate", 503: "Retry-After"}
_DESCRIPTION = """The books of merchants' accounts: booking, registering and asking.

Amounts are strings, so that no program rounds them: plain decimals in, eight decimals out. Times are ISO 8601 with
their zone. `POST /accounts/{account}/{kind}` books a journal entry of that kind; its `reference` names the event, once
for its account and kind, and the same command again gives the same entry (200 in place of 201). `Idempotency-Key`
names one attempt: its answer, refusals by the books included, is given again for 24 hours, with the header
`Idempotent-Replayed: true`. Whatever is not done is answered in one shape, `Refusal`."""

_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Names this attempt; its answer is given again for 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]([ -~]*[!-~])?$"},
}


def document(prefix: str, handlers: Sequence[HTTPRouteHandler]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these handlers."""
    contracts = [(handler, contract) for handler in handlers if (contract := contract_of(handler)) is not None]
    shapes: list[Any] = [Refusal]
    for _, contract in contracts:
        shapes += [*contract.gives.values(), contract.query, *([contract.body] if contract.body else [])]
    schemas, components = msgspec.json.schema_components(shapes, ref_template=_REFS)
    # In place: what `schemas` refers to is by name.
    by_shape = {id(shape): schema for shape, schema in zip(shapes, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for handler, contract in contracts:
        path = prefix + next(iter(handler.paths)).replace(":uuid", "")
        method = "post" if contract.body is not None else "get"
        paths.setdefault(path, {})[method] = _operation(path, method, contract, by_shape, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "alikassa: the operator's API", "version": version("alikassa"), "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(
    path: str, method: str, contract: Contract, by_shape: dict[int, Any], components: dict[str, Any]
) -> dict[str, Any]:
    refusals = {*_ALWAYS, *contract.refusals}
    if contract.body is not None:
        refusals |= {403, 408, 409, 411, 413, 415}
    responses: dict[str, Any] = {
        str(status): _response(status, by_shape[id(shape)]) for status, shape in contract.gives.items()
    }
    responses |= {str(status): _response(status, by_shape[id(Refusal)]) for status in refusals}
    operation: dict[str, Any] = {
        "operationId": f"{method} {path}".replace("/operator/v1/", "").replace("/", "_").replace(" ", "_"),
        "summary": contract.summary,
        "tags": [path.split("/")[3]],
        "parameters": [*_path_parameters(path), *_query_parameters(contract, components)],
        "responses": dict(sorted(responses.items())),
    }
    if contract.body is not None:
        operation["parameters"].append(_KEY)
        operation["requestBody"] = {
            "required": bool(msgspec.structs.fields(contract.body)),
            "content": {_JSON: {"schema": by_shape[id(contract.body)]}},
        }
    return operation


def _response(status: int, schema: Any) -> dict[str, Any]:
    response = {"description": _MEANINGS[status], "content": {_JSON: {"schema": schema}}}
    if status in _HEADERS:
        response["headers"] = {_HEADERS[status]: {"required": True, "schema": {"type": "string"}}}
    return response


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}} for name in names
    ]


def _query_parameters(contract: Contract, components: dict[str, Any]) -> list[dict[str, Any]]:
    shape = components[contract.query.__name__]
    parameters = []
    for name, schema in shape["properties"].items():
        # A parameter is there or is not: it is never null.
        options = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
        plain = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
        if len(options) == 1:
            plain |= options[0]
        if schema.get("default") is not None:
            plain["default"] = schema["default"]
        parameters.append({"name": name, "in": "query", "required": False, "schema": plain})
    return parameters


# The page

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2530}"
    "h2{margin-top:2rem;text-transform:capitalize}pre{background:#f3f5f7;padding:.7rem;overflow:auto;font-size:13px}"
    "summary{cursor:pointer;padding:.3rem 0}code{font-size:13px}b{display:inline-block;width:3.2rem}"
)


def _page(found: dict[str, Any]) -> bytes:
    groups: dict[str, list[str]] = {}
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append(_section(path, method, operation))
    schemas = "".join(
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>{_pre(schema)}</details>'
        for name, schema in sorted(found["components"]["schemas"].items())
    )
    body = "".join(f"<h2>{escape(name)}</h2>{''.join(parts)}" for name, parts in groups.items())
    info = found["info"]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<h1>{escape(info['title'])}</h1><p>{escape(info['description'])}</p>"
        f'<p>For programs: <a href="{DOCS}/openapi.json">openapi.json</a></p>{body}<h2>Shapes</h2>{schemas}'
        "</body></html>"
    ).encode()


def _section(path: str, method: str, operation: dict[str, Any]) -> str:
    parts = {name: operation[name] for name in ("parameters", "requestBody", "responses") if operation.get(name)}
    return (
        f"<details><summary><b>{method.upper()}</b> <code>{escape(path)}</code> — {escape(operation['summary'])}"
        f"</summary>{_pre(parts)}</details>"
    )


def _pre(value: Any) -> str:
    return f"<pre>{escape(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())}</pre>"


def document_routes(prefix: str, handlers: Sequence[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """The document and the page, for everybody: they hold nothing that is not in the source."""
    found = document(prefix, handlers)
    encoded, page = msgspec.json.encode(found), _page(found)
    style = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; frame-ancestors 'none'"

    @get(f"{DOCS}/openapi.json", name="document", sync_to_thread=False)
    def openapi() -> Response[bytes]:
        return Response(encoded, media_type=_JSON)

    @get(DOCS, name="page", sync_to_thread=False)
    def docs() -> Response[bytes]:
        headers = {"Content-Security-Policy": policy}
        return Response(page, media_type="text/html; charset=utf-8", headers=headers)

    return [openapi, docs]
