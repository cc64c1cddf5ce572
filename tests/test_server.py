"""The balance endpoint, asked over real connections."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conftest import PAGE_ANSWER, Server, Shop, signed

PATH = "/v1/account/balance"


@pytest.mark.parametrize(("body", "digest"), [(b"{}", "sha256"), (b"[]", "sha1"), (b"null", "sha256")])
def test_signed_request_is_answered_with_the_pages_bytes(
    shop: Shop, serve: Callable[..., Server], body: bytes, digest: str
) -> None:
    """A body signed with the payout certificate brings exactly the page's answer, on both engines."""
    server = serve(shop.database)
    status, headers, answer = server.request("POST", PATH, signed(shop.payout, body, digest), body)
    assert (status, headers["content-type"], answer) == (200, "application/json", PAGE_ANSWER)
