"""The operator's OpenAPI document: true, whole, and shown without help from elsewhere.

With ALIKASSA_LONG=1 forty times as many requests, of either role."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from operator_server import API, Operator, Served, operator_here, operator_served

DOCS = "/operator/docs"
LONG = os.environ.get("ALIKASSA_LONG") == "1"
#: Of each address, in each way.
EXAMPLES = 120 if LONG else 3
CHECKS = [
    *(not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance),
    *(response_headers_conformance, negative_data_rejection, unsupported_method),
]


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with operator_here(f"sqlite:///{tmp_path_factory.mktemp('operator') / 'books.db'}") as here:
        yield here


@pytest.fixture(scope="module")
def document(operator: Operator) -> Any:
    """It needs no token."""
    answer = operator.bearing("").ask("GET", f"{DOCS}/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    return answer.json


def test_the_page_loads_nothing_from_elsewhere(operator: Operator) -> None:
    """No address of another host, no script, and a policy under which a browser would load none."""
    page = operator.bearing("").ask("GET", DOCS)
    text = page.body.decode()
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert re.findall(r"(?:src|href)=\"(?!/operator/docs)[^\"]*", text) == []
    assert not re.search(r"https?://|<script|<img|<link|@import|url\(", text)


def test_the_page_shows_every_address(operator: Operator, document: Any) -> None:
    """And every shape that they refer to."""
    text = operator.ask("GET", DOCS).body.decode()
    assert [path for path in document["paths"] if path not in text] == []
    assert [name for name in document["components"]["schemas"] if f'id="{name}"' not in text] == []


def test_references_are_to_shapes_that_are_there(document: Any) -> None:
    """No dangling reference."""
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert named <= document["components"]["schemas"].keys()


def test_amounts_are_strings_everywhere(document: Any) -> None:
    """No shape has a number where money is."""
    money = {"amount", "balance", "fee", "remaining", "total", "change", "fee_fixed", "available", "asked"}
    for name, shape in document["components"]["schemas"].items():
        for field, schema in shape.get("properties", {}).items():
            if field in money:
                assert '"number"' not in json.dumps(schema), (name, field)
                assert '"integer"' not in json.dumps(schema), (name, field)


def test_every_change_may_carry_a_key(document: Any) -> None:
    """And is refused without a token that writes."""
    for path, methods in document["paths"].items():
        assert path.startswith(API)
        if "post" in methods:
            assert "Idempotency-Key" in [one["name"] for one in methods["post"]["parameters"]], path
            assert {"401", "403", "409", "413", "415"} <= methods["post"]["responses"].keys(), path


# What schemathesis makes of it


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    with operator_served(folder, f"sqlite:///{folder / 'books.db'}") as both:
        yield both


@pytest.fixture(scope="module")
def account(served: Served) -> str:
    """The uuid of an account with something on it."""
    account = served.operator.open_account()
    served.operator.done(f"{account}/policy_set", {"policy": {"hold_percent": "5", "hold_days": 9}, "reference": "t"})
    served.operator.done(f"{account}/payment", {"amount": "10", "reference": "order-1"})
    return account.rpartition("/")[2]


@pytest.fixture(scope="module")
def promised(served: Served) -> Any:
    return schemathesis.openapi.from_url(f"{served.url}{DOCS}/openapi.json")


def ask(operation: Any, mode: GenerationMode, token: str, account: str) -> list[int]:
    """Asks with what the document allows, or with what it does not; the statuses."""
    # In a bulk, what is wrong beyond the shape is said command by command, of a request that is taken.
    checks = [one for one in CHECKS if one is not negative_data_rejection or operation.path != f"{API}/bulk"]
    statuses = []

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    def run(case: Any) -> None:
        if "account" in case.path_parameters and mode is GenerationMode.POSITIVE:
            case.path_parameters["account"] = account
        # A parameter that is an empty list or object is not sent at all, and then nothing is wrong with the request.
        assume(not any(value in ([], {}) for value in (case.query or {}).values()))
        answer = case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=checks)
        statuses.append(answer.status_code)

    run()
    return statuses


@pytest.mark.parametrize(("mode", "some"), [(GenerationMode.POSITIVE, 201), (GenerationMode.NEGATIVE, 400)])
def test_what_is_asked_by_the_document_is_answered_by_it(
    promised: Any, served: Served, account: str, mode: GenerationMode, some: int
) -> None:
    """No server error, no status and no shape that the document does not name, and nothing malformed is taken."""
    token = served.operator.write_token
    statuses = [status for found in promised.get_all_operations() for status in ask(found.ok(), mode, token, account)]
    assert some in statuses


@pytest.mark.parametrize(("role", "refused"), [("read", 403), ("none", 401)])
def test_who_may_not_change_anything_does_not(
    promised: Any, served: Served, account: str, role: str, refused: int
) -> None:
    """What is asked with a token that only reads, or with none, changes nothing, and is answered by the document."""
    token = served.operator.read_token if role == "read" else "nobody's"
    before = served.operator.ask("GET", f"{API}/accounts/{account}/statement")
    assert before.status == 200
    statuses = [
        status
        for found in promised.get_all_operations()
        for status in ask(found.ok(), GenerationMode.POSITIVE, token, account)
    ]
    assert refused in statuses
    assert 201 not in statuses
    assert served.operator.ask("GET", f"{API}/accounts/{account}/statement").json == before.json
