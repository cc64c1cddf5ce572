"""Alerts between their decision and their receivers: kept, shared, tried again; and a history that fails."""

from __future__ import annotations

import io
import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import anyio
import msgspec
import pytest
from rich.console import Console

from alikassa import AsyncClient
from alikassa.cli.watch import recall
from alikassa.errors import ConfigurationError
from alikassa.monitor.decisions import Alert, AlertKind
from alikassa.monitor.history import History, HistoryError
from alikassa.monitor.listener import Listener
from alikassa.monitor.monitor import run_monitor
from alikassa.monitor.outbox import MOST_ATTEMPTS, Outbox
from alikassa.monitor.poller import look, poll, wait_after
from alikassa.monitor.rules import Rules
from alikassa.monitor.screen import Board
from alikassa.monitor.snapshots import Failure, FailureKind, Figures, Snapshot
from alikassa.profiles import Profile
from conftest import Shop
from wire_server import ok, respond, wire_server

START = datetime(2026, 1, 1, tzinfo=UTC)
LOW = {"name": "low", "when": "below", "amount": "100"}


class Watchdog:
    """A history with rules, on a clock of its own."""

    def __init__(self, history: History, *rules: Mapping[str, object], channels: tuple[str, ...] = ("one",)) -> None:
        self.history, self.now = history, START
        self.rules = msgspec.convert({"rule": rules or (LOW,)}, Rules)
        self.outbox = Outbox(history, self.rules, channels, now=lambda: self.now)

    def see(self, balance: str, after: timedelta = timedelta(minutes=1)) -> list[AlertKind]:
        self.now += after
        figures = Figures("RUB", Decimal(balance), Decimal(0), Decimal(0), None, b"{}")
        self.history.keep(Snapshot("shop", "account", self.now, 0.1, figures), timedelta(days=400))
        return [alert.kind for alert in self.outbox.decide("shop")]


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with History(tmp_path / "history.db") as opened:
        yield opened


def test_a_clock_that_is_set_back_silences_nobody(history: History) -> None:
    """What was seen at times that are yet to come does not hide what is seen now, and its return does not either."""
    dog = Watchdog(history)
    assert dog.see("500") == []
    assert dog.see("500", -timedelta(days=1)) == []
    assert dog.see("50") == [AlertKind.FIRED]
    assert dog.see("500") == [AlertKind.OVER]


def test_a_start_shows_what_went_before(history: History, sqlite_shop: Shop) -> None:
    """The last answer with its age, though later looks have failed, and the alert that is on; another profile's, or
    one whose rule is gone, is not shown."""
    dog = Watchdog(history, LOW, {"name": "gone", "when": "below", "amount": "100"})
    dog.see("50")
    for minute in range(1, 20):
        failure = Failure(FailureKind.NETWORK, "no way")
        history.add(Snapshot("shop", "account", dog.now + timedelta(minutes=minute), 0.1, failure=failure))
    board = Board(["shop"], timedelta(minutes=1))
    profile = msgspec.structs.replace(profile_of(sqlite_shop, ""), account="account")
    recall(board, history, {"shop": profile}, msgspec.convert({"rule": [LOW]}, Rules))
    console = Console(file=io.StringIO(), width=120)
    with console.capture() as capture:
        console.print(board.draw(dog.now + timedelta(hours=3), 120))
    text = capture.get()
    assert re.search(r"shop +RUB +50 .* 3 h", text)
    assert "shop: no answer for 3 h: no way" in text
    assert "3 h ago: alikassa shop: low began" in text
    assert "gone began" not in text


def test_a_clock_that_was_ahead_costs_little(history: History) -> None:
    """A look in the year 2100 drops a thousand old ones at most, not all."""
    dog = Watchdog(history)
    with history.transaction():
        for minute in range(1500):
            figures = Figures("RUB", Decimal(1), Decimal(0), Decimal(0), None, b"{}")
            history.add(Snapshot("shop", "account", START + timedelta(minutes=minute), 0.1, figures))
    dog.see("1", timedelta(days=36_000))
    assert sum(1 for _ in history.between()) == 501
    dog.see("1")
    assert sum(1 for _ in history.between()) == 2


def test_two_on_one_history_tell_an_alert_once(history: History, tmp_path: Path) -> None:
    """Who claims an alert has it for two minutes; if he dies, another may."""
    mine = Watchdog(history)
    with History(tmp_path / "history.db") as same:
        theirs = Watchdog(same)
        assert mine.see("50") == [AlertKind.FIRED]
        assert theirs.see("50", timedelta(minutes=1)) == []
        due = mine.outbox.claim("one")
        assert due is not None
        assert theirs.outbox.claim("one") is None
        theirs.now += timedelta(minutes=3)
        again = theirs.outbox.claim("one")
        assert again is not None
        assert again.alert == due.alert
        mine.outbox.tried(due, delivered=True)
        theirs.now += timedelta(minutes=3)
        assert theirs.outbox.claim("one") is None


def test_a_receiver_that_fails_is_asked_ever_more_seldom(history: History) -> None:
    """Looks come every second; twenty attempts last for twelve hours and more, and then there are no more."""
    dog = Watchdog(history)
    dog.see("50")
    tried = []
    while dog.now < START + timedelta(days=1):
        due = dog.outbox.claim("one")
        if due is not None:
            tried.append(dog.now)
            dog.outbox.tried(due, delivered=False)
        dog.now += timedelta(seconds=30)
    assert len(tried) == MOST_ATTEMPTS
    assert tried[-1] - tried[0] >= timedelta(hours=12)
    assert tried[2] - tried[1] <= timedelta(minutes=1)


def test_an_end_is_not_told_before_its_beginning(history: History) -> None:
    """While the beginning waits for its next attempt its end waits too; another rule's alert does not."""
    dog = Watchdog(history, LOW, {"name": "empty", "when": "below", "amount": "10"})
    dog.see("50")
    first = dog.outbox.claim("one")
    assert first is not None
    dog.see("5", timedelta(seconds=10))
    dog.see("500", timedelta(seconds=10))
    other = dog.outbox.claim("one")
    assert other is not None
    assert (other.alert.rule, other.alert.kind) == ("empty", AlertKind.FIRED)
    assert dog.outbox.claim("one") is None
    dog.outbox.tried(first, delivered=True)
    end = dog.outbox.claim("one")
    assert end is not None
    assert (end.alert.rule, end.alert.kind) == ("low", AlertKind.OVER)


def test_alerts_for_channels_that_are_gone_do_not_stand_in_the_way(history: History) -> None:
    """Those that nobody takes any more wait; the new channel gets its own."""
    old = Watchdog(history, channels=("old",))
    for _ in range(5):
        old.see("50")
        old.see("500")
    new = Watchdog(history, channels=("new",))
    new.now = old.now
    new.see("50")
    due = new.outbox.claim("new")
    assert due is not None
    assert due.alert.at == new.now


def test_a_history_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    """Its snapshots, states and alerts are there after it."""
    path = tmp_path / "history.db"
    with History(path) as history:
        Watchdog(history).see("50")
    with sqlite3.connect(path) as file:
        file.executescript(
            "DROP INDEX alerts_to_tell; DROP INDEX alerts_by_time; ALTER TABLE alerts DROP COLUMN not_before;"
            "PRAGMA user_version = 1"
        )
    file.close()
    with History(path) as history:
        dog = Watchdog(history)
        assert dog.see("40") == []
        assert dog.outbox.claim("one") is not None


def test_a_foreign_file_keeps_every_byte(tmp_path: Path) -> None:
    """Not even its journal's mode is changed."""
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE theirs (x)")
    file.close()
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="is no history"):
        History(path)
    assert path.read_bytes() == before


def test_a_full_disk_does_not_end_the_history(history: History) -> None:
    """A write that finds no room is undone and said; once there is room, the next one goes."""
    dog = Watchdog(history)
    dog.see("500")
    pages = history.execute("PRAGMA page_count")[0][0]
    history.execute(f"PRAGMA max_page_count = {pages}")
    figures = Figures("RUB", Decimal(1), Decimal(0), Decimal(0), None, b"x" * 100_000)
    large = Snapshot("shop", "account", dog.now, 0.1, figures)
    for _ in range(2):
        with pytest.raises(HistoryError, match="full"):
            history.keep(large, timedelta(days=1))
    history.execute("PRAGMA max_page_count = 100000")
    history.keep(large, timedelta(days=1))
    assert sum(1 for _ in history.between()) == 2


async def until(done: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not done():  # noqa: ASYNC110 - the receiver is a thread, and sets no event
            await anyio.sleep(0.01)


def profile_of(shop: Shop, url: str) -> Profile:
    return msgspec.convert({"account": str(shop.account), "keys": str(shop.payout), "base_url": url}, Profile)


def test_watching_goes_on_without_its_history(sqlite_shop: Shop, tmp_path: Path) -> None:
    """The file is locked for a while: looks are still shown, the trouble is said once, also to where alerts go, and
    its end too; then the alert comes that could not be raised."""
    seen: list[Snapshot] = []
    said: list[str] = []
    with wire_server() as provider, wire_server(respond(200, b"")) as receiver, History(tmp_path / "h.db") as history:
        history.execute("PRAGMA busy_timeout = 20")
        rules = msgspec.convert({"webhook": {"url": receiver.url}, "rule": [LOW]}, Rules)

        async def work() -> None:
            lock = sqlite3.connect(tmp_path / "h.db", isolation_level=None)
            lock.execute("BEGIN IMMEDIATE")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(
                    run_monitor, {"shop": profile_of(sqlite_shop, provider.url)}, timedelta(milliseconds=50),
                    timedelta(days=1), history, rules, Listener(seen.append, problem=said.append),
                )  # fmt: skip
                await until(lambda: len(seen) >= 3 and len(receiver.requests) == 1)
                lock.close()
                await until(lambda: len(receiver.requests) == 3)
                tasks.cancel_scope.cancel()

        anyio.run(work)
    assert [text.partition(".")[0] for text in said] == [
        "Looks are not kept, and no alert is raised",
        "Looks are kept again, and alerts are raised",
    ]
    bodies = [json.loads(request.partition(b"\r\n\r\n")[2]) for request in receiver.requests]
    assert sorted((one["rule"], one["kind"]) for one in bodies) == [
        ("history", "fired"), ("history", "over"), ("low", "fired"),
    ]  # fmt: skip


# Apprise imports a module of Python's that 3.13 has no more, where it is there.
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_each_address_of_notify_is_told_by_itself(sqlite_shop: Shop, tmp_path: Path) -> None:
    """Of two, one fails at first: it is told again, and the other one is not."""
    with (
        wire_server() as provider,
        wire_server(respond(200, b"")) as good,
        wire_server(respond(500, b""), respond(200, b"")) as bad,
    ):
        notify = [f"{one.url.replace('http://', 'json://')}/hidden-path" for one in (good, bad)]
        rules = msgspec.convert({"notify": notify, "rule": [LOW]}, Rules)
        said: list[str] = []

        async def twice() -> None:
            with History(tmp_path / "h.db") as history:
                for _ in range(2):
                    await run_monitor(
                        {"shop": profile_of(sqlite_shop, provider.url)}, timedelta(minutes=1), timedelta(days=1),
                        history, rules, Listener(lambda _: None, problem=said.append), once=True,
                    )  # fmt: skip

        anyio.run(twice)
        assert (len(good.requests), len(bad.requests)) == (1, 2)
        told = json.loads(good.requests[0].partition(b"\r\n\r\n")[2])
    assert (told["title"], "93.84000000 RUB" in told["message"]) == ("alikassa shop: low", True)
    assert said == ["Alert low of shop is not told yet: notify 2 failed."]


def test_silence_is_told_by_the_clock(sqlite_shop: Shop, tmp_path: Path) -> None:
    """A server that sends everybody away for an hour is not looked at again, and its silence is told in time."""
    told: list[Alert] = []
    with wire_server(respond(429, b"{}", Retry_After="3600")) as provider, History(tmp_path / "h.db") as history:
        rules = msgspec.convert({"rule": [{"name": "silent", "when": "no_answer", "for": "1s"}]}, Rules)

        async def work() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(
                    run_monitor, {"shop": profile_of(sqlite_shop, provider.url)}, timedelta(milliseconds=50),
                    timedelta(days=1), history, rules, Listener(lambda _: None, told.append),
                )  # fmt: skip
                await until(lambda: bool(told))
                tasks.cancel_scope.cancel()

        anyio.run(work)
    assert len(provider.requests) == 1
    assert [(alert.rule, alert.kind) for alert in told] == [("silent", AlertKind.FIRED)]


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_asks_for_it_is_left_alone(sqlite_shop: Shop, status: int) -> None:
    """Two minutes by its header: looks that are due every 10 ms wait, and for that long; an hour at most."""
    with wire_server(ok(), respond(status, b"{}", Retry_After="120")) as provider:
        found: list[Snapshot] = []

        async def tell(snapshot: Snapshot) -> None:
            found.append(snapshot)

        async def work() -> None:
            async with AsyncClient(sqlite_shop.account, sqlite_shop.payout, base_url=provider.url) as client:
                with anyio.move_on_after(0.5):
                    await poll({"shop": ("account", client)}, timedelta(milliseconds=10), tell)
                found.append(await look("shop", "account", client))

        anyio.run(work)
        assert len(provider.requests) == 3
    assert [one.failure is None for one in found] == [True, False, False]
    every = timedelta(minutes=1)
    assert [wait_after(one, every, 0.5) for one in found] == [60, 120, 120]
    assert found[1].failure is not None
    far = replace(found[1], failure=replace(found[1].failure, retry_after=86_400.0))
    assert wait_after(far, every, 0.5) == 3600
