"""What is sent to the cabinet to make it do something for others, or to bring it down."""

from __future__ import annotations

import asyncio
import re
import socket
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

import pytest
from litestar.handlers import HTTPRouteHandler

from alikassa.cabinet.assets import serve_asset
from alikassa.cabinet.pages import ROUTES
from alikassa.cabinet.pages.statement import _Asked, _lines
from alikassa.cabinet.routing import safe_target
from alikassa.ledger.books import Books
from alikassa.ledger.commands import Payment, SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.policy import Policy
from alikassa.ledger.questions.reading import find_account
from alikassa.ledger.registry import Registry
from cabinet_server import PASSWORD, Cabinet, Visitor, cabinet_served, cookie_of, text_of

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECONDS = 1.0  # the server's patience with a form that does not come
FORM = b"application/x-www-form-urlencoded"
PARTS = b"multipart/form-data; boundary=x"


@pytest.fixture(scope="module")
def cabinet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cabinet]:
    folder = tmp_path_factory.mktemp("attacks")
    with cabinet_served(folder, f"sqlite:///{folder / 'books.db'}", "--body-seconds", str(SECONDS)) as served:
        yield served


@pytest.fixture(scope="module")
def owner(cabinet: Cabinet) -> Visitor:
    return cabinet.visitor("owner")


@pytest.fixture(autouse=True)
def nothing_unexpected(cabinet: Cabinet) -> Iterator[None]:
    """Whatever is sent, no error is one that we had not thought of."""
    before = cabinet.server.log().count("unexpected error")
    yield
    assert cabinet.server.log().count("unexpected error") == before


def paths(method: str) -> list[str]:
    """Every address of the cabinet that takes this method, with uuids that nobody has."""
    handlers: Iterable[HTTPRouteHandler] = [*ROUTES, serve_asset]
    found = [path for one in handlers if method in {str(own) for own in one.http_methods} for path in one.paths]
    return sorted("/cabinet" + re.sub(r"{\w+:(\w+)}", lambda kind: _filled(kind[1]), path) for path in found)


def _filled(kind: str) -> str:
    return {"uuid": str(uuid.UUID(int=7)), "int": "1", "str": "x", "path": "elsewhere"}[kind]


def kept(cabinet: Cabinet) -> list[Any]:
    """All that a form could change. When a session was last seen is none of it."""
    with closing(sqlite3.connect(f"file:{urlsplit(cabinet.database).path[1:]}?mode=ro", uri=True)) as database:
        return [
            database.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            for table in ("users", "merchants", "certificates", "accounts", "journal_entries")
        ] + database.execute("SELECT hash, user_id FROM sessions ORDER BY 1").fetchall()


def raw(cabinet: Cabinet, method: bytes, path: bytes, *headers: bytes, body: bytes = b"") -> tuple[int, bytes]:
    """The status and the whole answer to bytes that no client library would send."""
    lines = [b"%s %s HTTP/1.1" % (method, path), b"Host: cabinet", b"Connection: close", *headers]
    if body or method == b"POST":
        lines.append(b"Content-Length: %d" % len(body))
    with socket.create_connection(("127.0.0.1", urlsplit(cabinet.url).port or 0), timeout=10) as connection:
        answer = b""
        try:
            connection.sendall(b"\r\n".join([*lines, b"", body]))
            while data := connection.recv(65536):
                answer += data
        except ConnectionError:
            # A body that is too large is not read to its end.
            pass
    return int(answer.split(b" ", 2)[1]) if answer else 0, answer


def posted(cabinet: Cabinet, visitor: Visitor, path: str, kind: bytes, body: bytes) -> int:
    cookie = b"Cookie: __Host-alikassa=" + cookie_of(visitor).encode()
    return raw(cabinet, b"POST", path.encode(), b"Content-Type: " + kind, cookie, body=body)[0]


# Forms of others


@pytest.mark.parametrize("path", paths("POST"))
def test_a_form_of_elsewhere_does_nothing(path: str, cabinet: Cabinet, owner: Visitor, others: list[str]) -> None:
    """Without the token, with another session's, with that of before the login, from another site: the same refusal,
    before anything else is looked at."""
    before = kept(cabinet)
    for token in others:
        answer = Visitor(owner.url, owner.cookies, token).post(path, {"password": PASSWORD, "new": "a new password"})
        assert answer.status_code == 403
        assert "This form is too old, or from another session." in text_of(answer.text)
    for site in ("cross-site", "same-site"):
        answer = owner.post(path, {"purpose": "payout"}, sec_fetch_site=site)
        assert "This form is too old, or from another session." in text_of(answer.text)
    assert posted(cabinet, owner, path, b"application/json", b'{"csrf": "%s"}' % owner.csrf.encode()) == 403
    assert posted(cabinet, owner, path, b"text/plain", b"csrf=" + owner.csrf.encode()) == 403
    assert kept(cabinet) == before


@pytest.fixture(scope="module")
def others(cabinet: Cabinet) -> list[str]:
    """Tokens that are not the owner's."""
    early = cabinet.visitor()
    early.read_token("/cabinet/login")
    return ["", "x", "%", early.csrf, cabinet.visitor("stranger").csrf]


def test_no_page_changes_anything(cabinet: Cabinet, owner: Visitor) -> None:
    """Whatever link somebody is made to follow."""
    visitors = [owner, cabinet.visitor("operator")]
    before = kept(cabinet)
    for path in paths("GET"):
        for visitor in visitors:
            assert visitor.get(path).status_code < 500
    assert kept(cabinet) == before
    # Nor does a form's address, when it is only opened.
    for path in set(paths("POST")) - set(paths("GET")):
        assert owner.get(path).status_code in (404, 405)
    assert kept(cabinet) == before


# Ways out


ELSEWHERE = [
    *("//evil.example", "/\\evil.example", "https:evil.example", "https://evil.example/cabinet", "javascript:alert(1)"),
    *("/cabinet/../evil", "/cabinet/..//evil.example", "/cabinet/./x", "/cabinet/%2f/evil.example", "/cabinet//evil"),
    *("/cabinetevil", "/cabinet.evil.example", "cabinet", " /cabinet", "/cabinet\r\nSet-Cookie: a=b", "/cabinet?a=\n"),
    *("/cabinet\\..", "/cabinet?next=https://evil.example#", "/cabinet/" + "x" * 500, "/cabinet/%0d%0aSet-Cookie:a=b"),
    *("/cabinet/\N{FULLWIDTH SOLIDUS}evil", "/cabinet@evil.example", "/cabinet/accounts;//evil", "\0/cabinet"),
]


@pytest.mark.parametrize("given", ELSEWHERE)
def test_nobody_is_sent_elsewhere(given: str) -> None:
    """What is no page of ours is the first page."""
    assert safe_target(given) == "/cabinet"


@pytest.mark.parametrize(
    "given",
    [
        "/cabinet",
        "/cabinet/",
        f"/cabinet/accounts/{uuid.UUID(int=1)}/statement.csv?from=2026-01-31&reference=a%2Fb+c",
        "/cabinet/accounts?after=x",
    ],
)
def test_a_page_of_ours_is_gone_to(given: str) -> None:
    """With all that it was asked for."""
    assert safe_target(given) == given


def test_every_way_to_another_page_is_ours(cabinet: Cabinet, owner: Visitor) -> None:
    """The login's form and page, the choice of a language, and being sent to log in: by path alone, in one header."""
    for given in ELSEWHERE:
        chosen = owner.post("/cabinet/language", {"language": "en", "next": given})
        assert chosen.status_code == (400 if "\0" in given else 303)
        assert chosen.headers.get("location", "/cabinet") == "/cabinet"
        seen = owner.get(f"/cabinet/login?next={quote(given)}")
        assert seen.headers.get("location", "/cabinet") == "/cabinet"
        page = cabinet.visitor().get(f"/cabinet/login?next={quote(given)}")
        assert page.status_code == 400 or 'name="next" value="/cabinet"' in page.text
    host = owner.get("/cabinet/login?next=/cabinet/keys", Host="evil.example", X_Forwarded_Host="evil.example")
    assert host.headers["location"] == "/cabinet/keys"
    for path in (b"/cabinet/accounts?a=%0d%0aSet-Cookie:%20a=b", b"/cabinet//accounts/%0d%0aX:y", b"//cabinet/keys"):
        status, answer = raw(cabinet, b"GET", path)
        assert status in (303, 404)
        assert answer.lower().count(b"\r\nlocation:") == (status == HTTPStatus.SEE_OTHER)
        assert b"\r\nset-cookie" not in answer.lower()
        assert b"location: /cabinet/login?next=" in answer.lower() or status == HTTPStatus.NOT_FOUND


def test_no_header_is_made_of_what_was_sent(cabinet: Cabinet) -> None:
    """Languages, hosts, schemes, and who it was sent for."""
    sent = (
        *(b"Accept-Language: ru\t;q=nan, xx;q=1e999, ru;q=-1, *", b"X-Forwarded-Proto: https", b"X-Forwarded-For: ::1"),
        *(b"X-Forwarded-Host: evil.example", b"Forwarded: host=evil.example", b"X-Original-URL: /cabinet/operator"),
        *(b"X-HTTP-Method-Override: POST", b"Cookie: alikassa-language=xx%0d%0aa; __Host-alikassa=%00%ff; ;=;"),
    )
    status, answer = raw(cabinet, b"GET", b"/cabinet/login", *sent)
    assert status == 200
    head = answer.partition(b"\r\n\r\n")[0]
    assert b"evil" not in answer
    assert b"xx" not in head
    assert b"strict-transport-security" not in head
    assert b'<html lang="en">' in answer


# What every answer has


@pytest.mark.parametrize(
    "path",
    [
        *("/cabinet", "/cabinet/", "/cabinet/login", "/cabinet/nothing", "/cabinet/accounts", "/cabinet/accounts/7"),
        *("//cabinet/login", "/%2fcabinet/login", "///cabinet", "/cabinet//login", "/cabinet/login/"),
        *("/cabinet/static/x/cabinet.css", "/cabinet/static/x/nothing.css", "/cabinet/static/"),
        *("/cabinet/login?next=%ff%fe", "/cabinet/%ff", "/cabinet/%ed%a0%80"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "TRACE", "NOTHING", "OPTIONS"])
def test_every_answer_says_what_may_run_in_it(method: str, path: str, cabinet: Cabinet) -> None:
    """Pages, files, refusals, whatever the method, however many strokes the address begins with: once, and with the
    headers that go with it."""
    status, answer = raw(cabinet, method.encode(), path.encode())
    assert status < 500
    head = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    headers = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in head)]
    said = dict(headers)
    assert [value for name, value in headers if name == "content-security-policy"] == [POLICY]
    assert said["x-frame-options"] == "DENY"
    assert said["x-content-type-options"] == "nosniff"
    assert said["referrer-policy"] == "same-origin"
    if "/static/" not in path:
        assert said["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/cabinet/accounts/7", 404), ("PUT", "/cabinet/login", 405)]
)
def test_people_are_told_by_a_page(method: str, path: str, status: int, cabinet: Cabinet) -> None:
    """Also of an address that the router itself refuses."""
    got, answer = raw(cabinet, method.encode(), path.encode())
    assert got == status
    assert b"content-type: text/html" in answer
    assert b"<h1>There is nothing here.</h1>" in answer
    assert (b"allow: GET, HEAD, OPTIONS, POST" in answer) is (status == HTTPStatus.METHOD_NOT_ALLOWED)


@pytest.mark.parametrize(
    "path",
    [
        *("../../visits.py", "..%2f..%2fvisits.py", "%2e%2e/%2e%2e/visits.py", "....//visits.py", "..\\visits.py"),
        *("/etc/passwd", "%2fetc%2fpasswd", "vendor/../../visits.py", "cabinet.css%00.png", "vendor", "vendor/", "."),
        *("vendor/README.md", "vendor/htmx.LICENSE", "file:///etc/passwd", "x" * 7000),
    ],
)
def test_only_our_own_files_are_given(path: str, cabinet: Cabinet) -> None:
    """An address is looked up among them, and never becomes a path on the disk."""
    status, answer = raw(cabinet, b"GET", b"/cabinet/static/0/" + path.encode())
    assert status == 404
    assert b"import" not in answer
    assert b"root:" not in answer


# What cannot be read


def part(disposition: bytes, content: bytes = b"x", *headers: bytes) -> bytes:
    lines = [b"--x", b"Content-Disposition: " + disposition, *headers, b"", content, b""]
    return b"\r\n".join(lines)


CSRF = b'form-data; name="csrf"'
#: What is sent, and the status that it gets.
UNREADABLE: dict[str, tuple[bytes, bytes, tuple[int, ...]]] = {
    "a token that is not ASCII": (FORM, "csrf=Ж".encode(), (403,)),
    "bytes that are not UTF-8": (FORM, b"csrf=\xff", (400,)),
    "escaped bytes that are not UTF-8": (FORM, b"csrf=%ff", (400,)),
    "half of a surrogate pair": (FORM, b"csrf=%ed%a0%80", (400,)),
    "a NUL": (FORM, b"csrf=x&login=a%00b", (400,)),
    "a hundred thousand fields": (FORM, b"a=1&" * 100_000, (400,)),
    "two megabytes": (FORM, b"a=" + b"x" * 2_000_000, (413, 0)),
    "a character set that there is not": (FORM + b"; charset=nothing", b"csrf=x", (403,)),
    "a character set that makes surrogates": (FORM + b"; charset=unicode_escape", b"csrf=\\ud800", (403,)),
    "another type": (b"application/json", b"[" * 100_000, (403,)),
    "XML": (b"text/xml", b'<!DOCTYPE x [<!ENTITY a "a">]><x>&a;</x>', (403,)),
    "no type": (b"", b"csrf=x", (403,)),
    "nothing": (PARTS, b"", (403,)),
    "parts without a boundary": (b"multipart/form-data", b"x", (400,)),
    "parts with another boundary": (b"multipart/form-data; boundary=y", part(CSRF) + b"--x--", (400,)),
    "a boundary of a thousand": (b"multipart/form-data; boundary=" + b"y" * 1000, b"x", (400,)),
    "a boundary that is not ASCII": (b"multipart/form-data; boundary=\xff", b"x", (403,)),
    "parts that do not end": (PARTS, part(CSRF), (400,)),
    "a part without a name": (PARTS, part(b"form-data") + b"--x--", (400, 403)),
    "a part that is not UTF-8": (PARTS, part(CSRF, b"\xff") + b"--x--", (400,)),
    "a part with a NUL": (PARTS, part(CSRF, b"\0") + b"--x--", (400,)),
    "a part in no character set": (PARTS, part(CSRF, b"x", b"Content-Type: text/plain; charset=no") + b"--x--", (400,)),
    "a part in UTF-7": (PARTS, part(CSRF, b"+2AA-", b"Content-Type: text/plain; charset=utf-7") + b"--x--", (400, 403)),
    "a token that is a file": (PARTS, part(CSRF + b'; filename="../../x"') + b"--x--", (403,)),
    "five thousand parts": (PARTS, part(CSRF) * 5000 + b"--x--", (400,)),
    "a part in parts": (PARTS, part(CSRF, b"x", b"Content-Type: multipart/mixed; boundary=x") + b"--x--", (400, 403)),
    "a header of a part that is long": (PARTS, part(CSRF, b"x", b"X: " + b"y" * 100_000) + b"--x--", (400,)),
}


@pytest.mark.by_the_clock
@pytest.mark.parametrize("name", UNREADABLE)
def test_a_form_that_cannot_be_read_is_refused(name: str, cabinet: Cabinet, owner: Visitor) -> None:
    """At the login, by a stranger, and where a file is uploaded, by an owner: never with an error of ours."""
    kind, body, statuses = UNREADABLE[name]
    started = time.monotonic()
    for path in ("/cabinet/login", "/cabinet/keys/add"):
        assert posted(cabinet, owner, path, kind, body) in statuses
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("kind", [FORM, PARTS], ids=["form", "parts"])
def test_a_form_in_chunks_is_refused(kind: bytes, cabinet: Cabinet, owner: Visitor) -> None:
    """No browser sends one, and half of it could be taken for the whole. It is no error of ours."""
    head = b"POST /cabinet/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: " + kind
    with socket.create_connection(("127.0.0.1", urlsplit(cabinet.url).port or 0), timeout=10) as connection:
        connection.sendall(head + b"\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na=1\r\n0\r\n\r\n")
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 411 ")
    assert b"How long it is was not said." in answer


def test_a_cookie_of_another_site_that_hides_ours_is_told(cabinet: Cabinet, owner: Visitor) -> None:
    """The web server hands over no cookie when one of them is not ASCII: whoever logs in learns what to delete."""
    cookies = "city=\u041c\u043e\u0441\u043a\u0432\u0430; __Host-alikassa=" + cookie_of(owner)
    headers = (b"Content-Type: " + FORM, b"Cookie: " + cookies.encode())
    status, body = raw(cabinet, b"POST", b"/cabinet/login", *headers, body=b"csrf=" + owner.csrf.encode())
    assert status == 403
    assert b"A cookie that your browser sent cannot be read" in body


@pytest.mark.by_the_clock
def test_a_form_that_does_not_come_is_not_waited_for(cabinet: Cabinet) -> None:
    """Whoever stalls is answered when their time is over; whoever hangs up is no error of ours."""
    head = b"POST /cabinet/login HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: 50\r\n\r\ncsrf="
    address = "127.0.0.1", urlsplit(cabinet.url).port or 0
    started = time.monotonic()
    stalled = [socket.create_connection(address, timeout=10) for _ in range(4)]
    for connection, kind in zip(stalled, (FORM, PARTS, FORM, PARTS), strict=True):
        connection.sendall(head % kind)
    for connection in stalled[2:]:
        connection.close()
    for connection in stalled[:2]:
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"The form did not arrive whole." in answer
        assert SECONDS * 0.9 < time.monotonic() - started < SECONDS + 3
        connection.close()
    # It has noticed by the time that it has answered somebody else.
    assert cabinet.visitor().get("/cabinet/login").status_code == 200


ABSURD = [
    *("from=0001-01-01&to=9999-12-31", "from=99999-01-01&kind=nothing", "from=2026-02-30&from=%ff", "to=-1&days=-1"),
    *("reference=" + "x" * 2000, "reference=%00", "reference=%e2%80%ae", "reference='%20OR%201=1--&days=1e9"),
    *("after=x&state=x&show=x&live=99999&outcome=x&verified=x", "after=" + "A" * 4000, "after=%00", "after=-1&live=-1"),
    *("after=99999999999999999999999999&days=99999999999999999999", "with=../../etc/passwd&done=%3Cscript%3E"),
    *("a=1&" * 1500, "&&&===%", "name=%25_%5C&uuid=zz&currency=x", "merchant=x&account=x&certificate=x", "name=%00"),
    "account=" + "9" * 3000,
]


@pytest.mark.parametrize("query", ABSURD)
def test_absurd_questions_are_answered(query: str, cabinet: Cabinet, asked: list[tuple[Visitor, str]]) -> None:
    """On every page, by whoever may open it. A NUL is refused before a database that keeps none sees it."""
    fine = () if "%00" in query else (200,)
    for visitor, path in asked:
        assert visitor.get(f"{path}?{query}").status_code in (*fine, 303, 400, 403, 404)


@pytest.fixture(scope="module")
def asked(cabinet: Cabinet, owner: Visitor, account: uuid.UUID) -> list[tuple[Visitor, str]]:
    nobody = str(uuid.UUID(int=7))
    operator = cabinet.visitor("operator")
    own = [path.replace(nobody, str(account)) for path in paths("GET") if f"/accounts/{nobody}" in path]
    listing = [path for path in paths("GET") if nobody not in path and "static" not in path]
    return [(owner, path) for path in own] + [(operator, path) for path in listing]


@pytest.fixture(scope="module")
def account(cabinet: Cabinet) -> uuid.UUID:
    """One with a few entries, and terms with a time zone that is far from UTC."""

    async def book() -> uuid.UUID:
        async with await Database.open(cabinet.database) as database:
            id_ = (await Registry(database).open_account(cabinet.merchant, "RUB")).id
            books = Books(database)
            terms = Policy(hold_percent=5 * 10**8, hold_days=3, time_zone="Pacific/Kiritimati")
            await books.book(SetPolicy(account=id_, policy=terms, reference="terms"))
            await books.book(Payment(account=id_, amount=10**10, reference="order-1;=1+1"))
            return id_

    return asyncio.run(book())


@pytest.mark.parametrize("sequence", ["0", "-1", "9223372036854775808", "9" * 5000, "1.5", "١", "1%00", "0x1", "1_0"])
def test_an_entry_of_an_absurd_number_is_not_there(
    sequence: str, cabinet: Cabinet, owner: Visitor, account: uuid.UUID
) -> None:
    """404, however it is written; the digits of another script are digits, though."""
    path = f"/cabinet/accounts/{account}/entries/{quote(sequence, safe='%')}"
    assert owner.get(path).status_code == (200 if sequence == "١" else 404)


def test_a_reference_is_no_formula(owner: Visitor, account: uuid.UUID) -> None:
    """Also where a spreadsheet parts cells at semicolons."""
    table = owner.get(f"/cabinet/accounts/{account}/statement.csv").text
    assert "order-1;'=1+1" in table
    assert ";=" not in table


def test_a_download_that_stalls_holds_no_connection(cabinet: Cabinet, account: uuid.UUID) -> None:
    """Between two pages nothing is being read: whoever stops in the middle takes nothing from others, on SQLite no
    checkpoint and on PostgreSQL none of the fifteen connections."""

    async def stall() -> int:
        async with await Database.open(cabinet.database) as database:
            async with database.read() as connection:
                found = await find_account(connection, account)
            lines = _lines(database, found, ZoneInfo("UTC"), _Asked(None, None, None, "", "", ""))
            head, first = await anext(lines), await anext(lines)
            assert head.startswith(b"sequence,")
            assert b"order-1" in first
            with closing(sqlite3.connect(urlsplit(cabinet.database).path[1:], timeout=0.2)) as other:
                other.execute("UPDATE users SET language = 'ru' WHERE login = 'viewer'")
                other.commit()
                (busy, *_) = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            with pytest.raises(StopAsyncIteration):
                await anext(lines)
            return int(busy)

    assert asyncio.run(stall()) == 0
