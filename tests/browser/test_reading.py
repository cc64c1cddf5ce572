"""What a merchant reads in the browser."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from babel.dates import format_datetime
from playwright.sync_api import expect

from alikassa import Client
from browser.books import HELD, MANY
from browser.reader import Reader


def test_a_merchant_reads_why_money_is_held(reader: Reader) -> None:
    """Logged in, a viewer copies an account's uuid, sees the four numbers, and why 12,345.67 is held and until when."""
    page, books = reader.page, reader.books
    reader.go("/cabinet/")
    reader.speak()
    reader.look_at("login")
    reader.log_in("viewer")
    assert page.locator("h1").inner_text() == reader.look.pick("Accounts", "Счета")
    reader.look_at("accounts")
    page.locator("li.card", has_text=str(books.account)).locator("button.copy").click()
    assert page.evaluate("navigator.clipboard.readText()") == str(books.account)
    page.click(f"a[href='/cabinet/accounts/{books.account}']")
    hold = page.locator("#hold")
    assert (
        hold.locator("summary .amount")
        .inner_text()
        .startswith(reader.look.pick("12,345.67", "12\N{NO-BREAK SPACE}345,67"))
    )
    hold.locator("summary").click()
    row = hold.locator("tbody tr")
    assert row.count() == 1
    assert "order-0001" in row.inner_text()
    until = format_datetime(
        books.until.astimezone(ZoneInfo("Europe/Moscow")), "d MMM y, HH:mm", locale=reader.look.locale
    )
    assert until in row.inner_text()
    assert HELD in hold.inner_text(), "the exact number is one click away"
    for one in ("balance", "rolling_reserve", "pending_payouts"):
        page.locator(f"#{one} summary").click()
    reader.look_at("account")


def test_the_chart_shows_and_hides_its_lines(reader: Reader) -> None:
    """Pointing at the chart tells the day's numbers; a line is switched off by its name."""
    page = reader.page
    reader.log_in("viewer")
    reader.go(f"/cabinet/accounts/{reader.books.account}?days=90")
    page.wait_for_selector("#chart canvas")
    legend = page.locator(".chart-legend")
    now = legend.locator(".when").inner_text()
    page.locator("#chart .u-over").hover(position={"x": 5, "y": 50})
    assert legend.locator(".when").inner_text() != now
    before = page.locator("#chart canvas").screenshot()
    legend.locator("input").first.uncheck()
    assert page.locator("#chart canvas").screenshot() != before


def test_a_statement_is_downloaded_and_agrees_with_the_api(reader: Reader, tmp_path: Path) -> None:
    """The last line of the CSV ends with the numbers that POST /v1/account/balance answers."""
    page, account = reader.page, reader.books.account
    reader.log_in("viewer")
    reader.go(f"/cabinet/accounts/{account}/statement")
    reader.look_at("statement")
    with page.expect_download() as downloading:
        page.click("a[href*='statement.csv']")
    downloading.value.save_as(tmp_path / "statement.csv")
    with (tmp_path / "statement.csv").open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    with Client(str(account), reader.books.keys, base_url=reader.cabinet.server.url) as client:
        asked = client.balance()
    names = ("balance", "hold", "rolling_reserve", "pending_payouts")
    assert [last[f"{name}_after"] for name in names] == [format(getattr(asked, name), ".8f") for name in names]
    page.locator("tbody#lines summary").first.click()
    page.click("tbody#lines details a")
    reader.look_at("entry")
    reader.go(f"/cabinet/accounts/{account}/statement/print")
    reader.look_at("print")


@pytest.mark.by_the_clock
def test_ten_thousand_entries_stay_quick(reader: Reader) -> None:
    """A page of a long statement comes in under half a second, also a later one; older entries join those shown."""
    page, path = reader.page, f"/cabinet/accounts/{reader.books.many}/statement"
    reader.log_in("viewer")
    begun = time.monotonic()
    reader.go(path)
    assert time.monotonic() - begun < 2
    assert page.locator("tbody#lines > tr").count() == 50
    page.click("#more a")
    expect(page.locator("tbody#lines > tr")).to_have_count(100)
    assert page.locator("#entry-" + str(MANY)).count() == 1
    assert page.locator("#entry-" + str(MANY - 99)).count() == 1
    reader.look_at("long")


def test_empty_states_say_what_to_do(reader: Reader) -> None:
    """An account with nothing on it, a search without a find, an address that there is not."""
    reader.log_in("viewer")
    reader.go(f"/cabinet/accounts/{reader.books.empty}")
    assert reader.page.locator(f".empty a[href='/cabinet/accounts/{reader.books.empty}/try']").count() == 1
    reader.look_at("empty-account")
    reader.go(f"/cabinet/accounts/{reader.books.account}/statement?reference=nothing-like-it")
    assert reader.page.locator(".empty").count() == 1
    reader.look_at("empty-statement")
    reader.expected.add(404)
    reader.go("/cabinet/nowhere")
    reader.look_at("nowhere")


def test_wrong_logins_are_told(reader: Reader) -> None:
    """A wrong password is refused in words."""
    reader.expected.add(400)
    reader.go("/cabinet/login")
    reader.speak()
    # Each look another login: five failures of one are the most.
    reader.page.fill("#login", f"nobody-{reader.look.name}")
    reader.page.fill("#password", "wrong wrong wrong")
    reader.page.click("main button")
    assert reader.page.locator("[role=alert]").count() == 1
    reader.look_at("login-refused")


def test_settings(reader: Reader) -> None:
    """A user's own page, and how one-time codes are switched on."""
    page = reader.page
    reader.log_in("viewer")
    reader.go("/cabinet/profile")
    reader.look_at("profile")
    page.fill("#codes-password", "correct horse battery")
    page.click("form[action='/cabinet/profile/codes'] button")
    assert page.locator(".qr svg").count() == 1
    reader.look_at("codes")
