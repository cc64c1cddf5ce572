"""Getting into the cabinet without being let in: guessing, planting, replaying, outstaying. And what keeps from it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from http.client import HTTPConnection
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

import pyotp
import pytest
import requests
import sqlalchemy as sa

from alikassa.cabinet.passwords import Passwords
from alikassa.cabinet.throttle import Throttle
from alikassa.cabinet.users import Role, User, Users
from alikassa.errors import OverloadedError
from alikassa.ledger.database import Database
from alikassa.ledger.schema import sessions
from cabinet_server import PASSWORD, Cabinet, Visitor, cabinet_served, cookie_of, password_hash, text_of

T = TypeVar("T")
REFUSED = "Login, password and code do not fit together."
WRONG = "wrong horse battery"
#: One for each test that changes what its user has.
PEOPLE = ("leaver", "roamer", "banned", "changer", "idler", "coder", "finder", "guessed", "crowded", "keeper")


@pytest.fixture(scope="module")
def cabinet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cabinet]:
    folder = tmp_path_factory.mktemp("login")
    with cabinet_served(folder, f"sqlite:///{folder / 'books.db'}") as served:

        async def add(database: Database) -> None:
            for login in PEOPLE:
                await Users(database).add(login, Role.OWNER, password_hash(), merchant=served.merchant, language="en")

        on_database(served, add)
        yield served


def on_database(cabinet: Cabinet, work: Callable[[Database], Awaitable[T]]) -> T:
    async def run() -> T:
        async with await Database.open(cabinet.database) as database:
            return await work(database)

    return asyncio.run(run())


def user_of(cabinet: Cabinet, login: str) -> User:
    found = on_database(cabinet, lambda database: Users(database).by_login(login))
    assert found is not None
    return found


def is_in(visitor: Visitor) -> bool:
    status = visitor.get("/cabinet/profile").status_code
    assert status in (200, 303)
    return status == 200


def held_by(cookie: str, cabinet: Cabinet) -> Visitor:
    """Somebody who got hold of a cookie."""
    return Visitor(cabinet.url, {"__Host-alikassa": cookie})


@dataclass
class Stranger:
    """Somebody at an address of their own; all of 127.0.0.0/8 is this machine."""

    url: str
    address: str
    csrf: str = ""

    def attempt(self, login: str, password: str, code: str = "") -> tuple[int, str]:
        """The status and text of one attempt."""
        if not self.csrf:
            page = self._ask("GET", None)[1]
            self.csrf = re.findall(r'name="csrf" value="([^"]+)"', page)[0]
        return self._ask("POST", {"csrf": self.csrf, "login": login, "password": password, "code": code})

    def _ask(self, method: str, values: dict[str, str] | None) -> tuple[int, str]:
        port = urlsplit(self.url).port
        connection = HTTPConnection("127.0.0.1", port, timeout=30, source_address=(self.address, 0))
        # Whoever guesses chooses their own cookie: the token goes with it.
        headers = {"Cookie": "__Host-alikassa=guess", "Content-Type": "application/x-www-form-urlencoded"}
        try:
            connection.request(method, "/cabinet/login", urlencode(values) if values else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


# Cookies and sessions


def test_the_cookies_are_for_this_host_and_no_script(cabinet: Cabinet) -> None:
    """Both are Secure, HttpOnly and SameSite; the session's is bound to the host by its prefix, and names no domain."""
    visitor = cabinet.visitor()
    visitor.read_token("/cabinet/login")
    answer = visitor.post("/cabinet/login", {"login": "keeper", "password": PASSWORD})
    given = answer.headers["set-cookie"].split(", ")
    assert [one.partition("=")[0] for one in given] == ["__Host-alikassa", "alikassa-language"]
    for one, path in zip(given, ("/", "/cabinet"), strict=True):
        flags = {flag.strip().lower() for flag in one.split(";")[1:]}
        assert {"secure", "httponly", "samesite=lax", f"path={path}"} <= flags
        assert not any(flag.startswith("domain") for flag in flags)
    assert re.match(r"__Host-alikassa=[A-Za-z0-9_-]{43};", given[0])


def test_a_cookie_from_before_the_login_is_worth_nothing_after_it(cabinet: Cabinet) -> None:
    """Neither one that was planted, nor the token that its page's form carried."""
    planted = "A" * 43
    victim = held_by(planted, cabinet)
    victim.read_token("/cabinet/login")
    before = victim.csrf
    assert victim.post("/cabinet/login", {"login": "keeper", "password": PASSWORD}).status_code == 303
    assert cookie_of(victim) != planted
    assert is_in(victim)
    assert not is_in(held_by(planted, cabinet))
    victim.csrf = before
    assert victim.post("/cabinet/profile/everywhere").status_code == 403
    assert is_in(victim)


def test_logging_in_again_ends_the_session_before(cabinet: Cabinet) -> None:
    """Its cookie is replaced, so nobody could end it any more."""
    visitor = cabinet.visitor("keeper")
    before = cookie_of(visitor)
    assert visitor.post("/cabinet/login", {"login": "keeper", "password": PASSWORD}).status_code == 303
    assert is_in(visitor)
    assert not is_in(held_by(before, cabinet))


def test_logging_out_ends_the_session_on_the_server(cabinet: Cabinet) -> None:
    """Whoever kept the cookie is out too, and the browser is told to drop it."""
    visitor = cabinet.visitor()
    visitor.log_in("leaver")
    kept = cookie_of(visitor)
    answer = visitor.post("/cabinet/logout")
    assert answer.headers["location"] == "/cabinet/login?done=logged-out"
    assert "__Host-alikassa=;" in answer.headers["set-cookie"].replace('""', "")
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert not is_in(held_by(kept, cabinet))


def test_logging_out_everywhere_ends_all_of_the_users_sessions(cabinet: Cabinet) -> None:
    """And nobody else's."""
    one, two, other = cabinet.visitor("roamer"), cabinet.visitor("roamer"), cabinet.visitor("keeper")
    assert one.post("/cabinet/profile/everywhere").status_code == 303
    assert not is_in(two)
    assert is_in(other)


def test_a_disabled_user_is_out_at_once_and_stays_out(cabinet: Cabinet) -> None:
    """The open session ends, and the right password gets the answer of a wrong one."""
    visitor = cabinet.visitor("banned")
    on_database(cabinet, lambda database: Users(database).disable("banned"))
    assert not is_in(visitor)
    answer = cabinet.visitor().log_in("banned")
    assert answer.status_code == 400
    assert REFUSED in text_of(answer.text)


def test_a_changed_password_ends_the_other_sessions(cabinet: Cabinet) -> None:
    """The one that changed it goes on under a new cookie; the old password is no longer one."""
    mine, other = cabinet.visitor("changer"), cabinet.visitor("changer")
    before = cookie_of(mine)
    wrong = mine.post("/cabinet/profile/password", {"old": WRONG, "new": "another horse battery"})
    assert wrong.status_code == 400
    assert mine.post("/cabinet/profile/password", {"old": PASSWORD, "new": "another horse battery"}).status_code == 303
    assert is_in(mine)
    assert not is_in(other)
    assert not is_in(held_by(before, cabinet))
    assert cabinet.visitor().log_in("changer").status_code == 400
    assert cabinet.visitor().log_in("changer", "another horse battery").status_code == 303


@pytest.mark.parametrize(("column", "hours"), [("seen_at", 1), ("created_at", 12)])
def test_a_session_ends_by_itself(column: str, hours: int, cabinet: Cabinet) -> None:
    """An hour after it was last used, and twelve after it began, however much it was used."""
    visitor = cabinet.visitor("idler")
    whose = user_of(cabinet, "idler").id

    async def age(database: Database, by: timedelta) -> None:
        async with database.write() as connection:
            mine = sessions.c.user_id == whose
            then = await connection.scalar(sa.select(sessions.c[column]).where(mine).order_by(sessions.c.created_at))
            assert then is not None
            await connection.execute(sessions.update().where(mine).values({column: then - by}))

    on_database(cabinet, lambda database: age(database, timedelta(hours=hours, minutes=-1)))
    assert is_in(visitor)
    on_database(cabinet, lambda database: age(database, timedelta(hours=hours)))
    assert not is_in(visitor)


def test_no_secret_is_in_the_log_or_in_a_page(cabinet: Cabinet) -> None:
    """Passwords right and wrong, the cookie, a code and its secret; a page shows its form's token alone."""
    visitor, wrong = cabinet.visitor(), cabinet.visitor()
    visitor.log_in("keeper")
    wrong.log_in("keeper", "a password that is wrong")
    offered = visitor.post("/cabinet/profile/codes", {"password": PASSWORD}).text
    secret = re.findall(r'name="secret" value="([^"]+)"', offered)[0]
    code = pyotp.TOTP(secret).now()
    wrong.log_in("keeper", code)
    for page in ("/cabinet/accounts", "/cabinet/profile", "/cabinet/keys", "/cabinet/nothing"):
        assert cookie_of(visitor) not in visitor.get(page).text
    log = cabinet.server.log()
    assert '"event": "login"' in log
    assert '"event": "login refused"' in log
    for kept in (PASSWORD, "a password that is wrong", secret, f'"{code}"', cookie_of(visitor), visitor.csrf):
        assert kept not in log


def test_what_forms_bring_does_not_stay_in_memory(cabinet: Cabinet) -> None:
    """Strangers send large forms to the login; the server is no larger after them, and keeps no passwords."""

    def size() -> int:
        """In MiB, of the server and all of its processes."""
        return sum(resident(pid) for pid in family(cabinet.server.process.pid)) // 1024

    def send(number: int) -> None:
        body = f"csrf=x&password={number}{'x' * 1_000_000}"
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        assert requests.post(f"{cabinet.url}/cabinet/login", body, headers=headers, timeout=30).status_code == 403

    for number in range(5):
        send(number)
    before = size()
    for number in range(5, 55):
        send(number)
    assert size() - before < 50


def family(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        children = [int(one) for one in file.read().split()]
    return [pid, *(one for child in children for one in family(child))]


def resident(pid: int) -> int:
    """In KiB."""
    with open(f"/proc/{pid}/status") as file:
        found = re.search(r"VmRSS:\s+(\d+)", file.read())
    return int(found[1]) if found else 0


# Guessing


def test_after_five_wrong_passwords_the_right_one_is_refused_too(cabinet: Cabinet) -> None:
    """From that address, in whatever capitals; from elsewhere its owner still gets in."""
    guesser, owner = Stranger(cabinet.url, "127.0.0.2"), Stranger(cabinet.url, "127.0.0.3")
    assert [guesser.attempt("guessed", f"{WRONG} {n}")[0] for n in range(5)] == [400] * 5
    status, page = guesser.attempt("GUESSED", PASSWORD)
    assert status == 429
    assert "Too many failed attempts. Try again in 15 minutes." in text_of(page)
    assert owner.attempt("guessed", PASSWORD)[0] == 303


@pytest.mark.by_the_clock
def test_attempts_made_at_once_are_no_more_than_one_by_one(cabinet: Cabinet) -> None:
    """Of fifty that come together five are looked at, and the server answers others meanwhile."""
    guesser = Stranger(cabinet.url, "127.0.0.4")
    guesser.attempt("", "")
    with ThreadPoolExecutor(50) as pool:
        under_way = [pool.submit(guesser.attempt, "crowded", f"{WRONG} {n}") for n in range(50)]
        started = time.monotonic()
        assert requests.get(f"{cabinet.url}/operator/healthz", timeout=10).status_code == 200
        assert time.monotonic() - started < 2
        statuses = [one.result()[0] for one in under_way]
    assert sorted(set(statuses)) == [400, 429]
    assert statuses.count(400) <= 5
    assert Stranger(cabinet.url, "127.0.0.5").attempt("crowded", PASSWORD)[0] == 303


def test_an_unknown_login_is_not_told_from_a_wrong_password(cabinet: Cabinet) -> None:
    """Not by the answer, and not by the time that it takes."""
    guesser = Stranger(cabinet.url, "127.0.0.6")

    def asked(login: str) -> tuple[int, str, float]:
        started = time.monotonic()
        status, page = guesser.attempt(login, WRONG)
        return status, page.replace(login, "LOGIN"), time.monotonic() - started

    known, unknown = ([asked(login) for _ in range(4)] for login in ("viewer", "nobody"))
    assert {one[:2] for one in known} == {one[:2] for one in unknown}
    fastest_known, fastest_unknown = min(one[2] for one in known), min(one[2] for one in unknown)
    assert fastest_known / 3 < fastest_unknown < fastest_known * 3


def test_failures_are_counted_by_address_and_by_login() -> None:
    """Thirty from one address, whoever is tried; a hundred of one login, wherever from. What succeeds is not counted,
    nor what failed for another reason."""
    throttle = Throttle()

    def fail(login: str, address: str) -> bool:
        with throttle.attempt(login, address) as attempt:
            return attempt.wait == 0

    for _ in range(50):
        with throttle.attempt("fine", "192.0.2.1") as attempt:
            assert attempt.wait == 0
            attempt.failed = False
        with pytest.raises(OSError, match="away"), throttle.attempt("fine", "192.0.2.1"):
            raise OSError("away")
    assert [fail(f"login {n}", "192.0.2.1") for n in range(31)] == [True] * 30 + [False]
    assert [fail("wanted", f"198.51.100.{n}") for n in range(101)] == [True] * 100 + [False]
    with throttle.attempt("fine", "192.0.2.1") as attempt:
        assert 890 <= attempt.wait <= 901


def test_an_ipv6_network_is_one_address() -> None:
    """Whoever has one address of it has them all; one that only carries an IPv4 address is that one."""
    throttle = Throttle()

    def fail(address: str) -> bool:
        with throttle.attempt("login", address) as attempt:
            return attempt.wait == 0

    assert [fail(f"2001:db8:0:1::{n}") for n in range(6)] == [True] * 5 + [False]
    assert fail("2001:db8:0:2::1")
    assert [fail(f"::ffff:192.0.2.{n}") for n in range(6)] == [True] * 6
    assert [fail("192.0.2.5") for _ in range(5)] == [True] * 4 + [False]


def test_too_many_passwords_at_once_are_refused() -> None:
    """Rather than that each waits behind all the others."""

    async def ask() -> None:
        passwords = Passwords()
        asked = [asyncio.create_task(passwords.fits(None, WRONG)) for _ in range(60)]
        done, waiting = await asyncio.wait(asked, return_when=asyncio.FIRST_EXCEPTION)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        refused = [one for one in done if isinstance(one.exception(), OverloadedError)]
        assert 20 < len(refused) < 40

    asyncio.run(ask())


# One-time codes


def test_a_code_serves_once(cabinet: Cabinet) -> None:
    """Not after it was shown to switch codes on, not twice at the same moment, not again, and never without."""
    visitor = cabinet.visitor("coder")
    offered = visitor.post("/cabinet/profile/codes", {"password": PASSWORD}).text
    secret, proof = (re.findall(rf'name="{name}" value="([^"]+)"', offered)[0] for name in ("secret", "proof"))
    app = pyotp.TOTP(secret)
    present = int(time.time())
    confirmed = {"secret": secret, "proof": proof, "code": app.at(present)}
    assert visitor.post("/cabinet/profile/codes/confirm", confirmed).status_code == 303
    someone = Stranger(cabinet.url, "127.0.0.7")
    assert someone.attempt("coder", PASSWORD)[0] == 400
    assert someone.attempt("coder", PASSWORD, app.at(present))[0] == 400
    # The next one is taken already: clocks differ.
    following = app.at(present + 30)
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: someone.attempt("coder", PASSWORD, following)[0], range(2)))
    assert sorted(both) == [303, 400]
    assert someone.attempt("coder", PASSWORD, following)[0] == 400
    assert someone.attempt("coder", PASSWORD, "000000")[0] == 400
    # Whoever knows the password guesses codes no longer than others guess passwords.
    assert someone.attempt("coder", PASSWORD, "000001")[0] == 429


def test_an_open_session_alone_does_not_switch_codes_on(cabinet: Cabinet) -> None:
    """Whoever finds one cannot lock its owner out with a secret of their own, or with one offered to themselves."""
    found, mine = cabinet.visitor("finder"), cabinet.visitor("keeper")
    secret = pyotp.random_base32()
    offered = mine.post("/cabinet/profile/codes", {"password": PASSWORD}).text
    theirs = {name: re.findall(rf'name="{name}" value="([^"]+)"', offered)[0] for name in ("secret", "proof")}
    for given in ({"secret": secret}, {"secret": secret, "proof": theirs["proof"]}, theirs):
        code = pyotp.TOTP(given["secret"]).now()
        assert found.post("/cabinet/profile/codes/confirm", {**given, "code": code}).status_code == 400
    assert user_of(cabinet, "finder").totp_secret is None
