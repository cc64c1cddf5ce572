"""The cabinet without JavaScript: everything but the chart and the key made in the browser."""

from __future__ import annotations

from playwright.sync_api import Browser

from browser.books import Books
from cabinet_server import PASSWORD, Cabinet


def test_it_works_without_javascript(browser: Browser, served: tuple[Cabinet, Books]) -> None:
    """Log in, open a number, turn a page of the statement, filter it, change the language, log out."""
    cabinet, books = served
    context = browser.new_context(java_script_enabled=False, locale="en-GB", viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(f"{cabinet.url}/cabinet/")
    page.fill("#login", "viewer")
    page.fill("#password", PASSWORD)
    page.click("main button")
    first = page.locator("html").get_attribute("lang")
    page.goto(f"{cabinet.url}/cabinet/accounts/{books.account}")
    page.click("#hold summary")
    assert "order-0001" in page.locator("#hold tbody").inner_text()
    assert page.locator("noscript").count() >= 1
    page.goto(f"{cabinet.url}/cabinet/accounts/{books.many}/statement")
    newest = page.locator("tbody#lines > tr").first.get_attribute("id")
    page.click("#more a")
    assert page.locator("tbody#lines > tr").first.get_attribute("id") != newest
    page.fill("#reference", "order-00042")
    page.click("form.filters button")
    assert page.locator("tbody#lines > tr").count() == 1
    page.click("button[name=language]")
    assert page.locator("html").get_attribute("lang") != first
    page.click("form[action='/cabinet/logout'] button")
    assert page.locator("#password").count() == 1
    context.close()
