"""Tokens of the operator's API: made and revoked on the command line, kept as hashes alone."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from datetime import datetime
from pathlib import Path

import pytest

from alikassa.ledger.database import Database
from alikassa.ledger.tokens import Scope, Tokens
from command_line import REFUSED, USAGE
from conftest import cli_json, run_cli
from operator_server import make_tokens, operator_again, operator_here


def create(url: str, scope: str = "write", *options: str) -> str:
    done = run_cli("operator", "token", "create", "--name", "billing", "--scope", scope, "--database", url, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_token_is_shown_once_and_kept_as_its_hash(sqlite_url: str) -> None:
    """Alone on stdout; afterwards neither the list nor the database has it, only its SHA-256."""
    shown = create(sqlite_url)
    token = shown.removesuffix("\n")
    assert token.startswith("alk_")
    # 32 bytes in base64.
    assert len(token) == 4 + 43
    assert token not in run_cli("operator", "token", "list", "--database", sqlite_url).stdout
    (listed,) = cli_json("operator", "token", "list", "--database", sqlite_url)
    assert (listed["name"], listed["scope"], listed["revoked_at"], listed["last_used_at"]) == (
        *("billing", "write"),
        *(None, None),
    )
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    assert not any(token.encode() in one.read_bytes() for one in file.parent.glob(f"{file.name}*"))
    with sqlite3.connect(file) as books:
        assert books.execute("SELECT hash FROM operator_tokens").fetchall() == [
            (hashlib.sha256(token.encode()).digest(),)
        ]


def test_two_tokens_differ(sqlite_url: str) -> None:
    """Also of the same name."""
    made = json.loads(create(sqlite_url, "read", "--json"))
    assert made["token"] != create(sqlite_url, "read").strip()
    assert made["scope"] == "read"


def test_a_revoked_token_is_refused_from_the_next_request_on(database_url: str) -> None:
    """While the server runs, on both engines; revoking again changes nothing."""
    token = create(database_url).strip()
    (listed,) = cli_json("operator", "token", "list", "--database", database_url)
    with operator_here(database_url) as operator:
        bearer = operator.bearing(token)
        assert bearer.get("/merchants").status == 200
        revoked = cli_json("operator", "token", "revoke", listed["id"], "--database", database_url)
        assert bearer.get("/merchants").status == 401
        assert operator.get("/merchants").status == 200
    again = cli_json("operator", "token", "revoke", listed["id"], "--database", database_url)
    assert again["revoked_at"] == revoked["revoked_at"]
    assert revoked["revoked_at"] is not None


def test_the_last_use_is_written_down_once_a_minute(sqlite_url: str) -> None:
    """Of many requests the first is noted; of those a minute later again."""

    def last_use() -> datetime | None:
        """Of the token that writes."""

        async def find() -> datetime | None:
            async with await Database.open(sqlite_url) as database:
                return next(one for one in await Tokens(database).all() if one.scope is Scope.WRITE).last_used_at

        return asyncio.run(find())

    def use(token: str) -> None:
        with operator_again(sqlite_url, token) as again:
            for _ in range(3):
                assert again.get("/merchants").status == 200

    with operator_here(sqlite_url) as operator:
        assert last_use() is None
        assert operator.get("/merchants").status == 200
    first = last_use()
    assert first is not None
    use(operator.token)
    assert last_use() == first
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as books:
        books.execute("UPDATE operator_tokens SET last_used_at = '2026-01-01T00:00:00.000000Z'")
    use(operator.token)
    second = last_use()
    assert second is not None
    assert second > first


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with a token."""
    url = f"sqlite:///{tmp_path_factory.mktemp('tokens') / 'books.db'}"
    asyncio.run(make_tokens(url))
    return url


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["create", "--name", "x", "--scope", "all"], USAGE),
        (["create", "--name", " ", "--scope", "read"], USAGE),
        (["revoke", "17"], USAGE),
        (["revoke", "93d5df06-996c-48c3-9847-348d6b580b80"], REFUSED),
    ],
)
def test_what_cannot_be_done_is_said(prepared: str, arguments: list[str], code: int) -> None:
    """A scope that is none, a name that is none, an id that is none, and one of no token."""
    done = run_cli("operator", "token", *arguments, "--database", prepared)
    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr
