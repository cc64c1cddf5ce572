"""The cabinet in a real browser: Debian's Chromium, driven by Playwright, at two widths, in two languages, by day and
by night. `make test-browser` runs it; screenshots are kept in build/screens."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from browser.books import Books, make_books
from browser.reader import AXE, LOOKS, Look, Reader
from cabinet_server import Cabinet, cabinet_served

# As root, in a container without a display, and without asking anybody outside.
_ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cabinet, Books]]:
    """A server with the people of `cabinet_server` and the accounts of `books`."""
    folder = tmp_path_factory.mktemp("cabinet")
    with cabinet_served(folder, f"sqlite:///{folder / 'books.db'}") as cabinet:
        yield cabinet, asyncio.run(make_books(cabinet.database, cabinet.merchant, folder / "payout"))


@pytest.fixture(scope="session")
def browser(served: tuple[Cabinet, Books]) -> Iterator[Browser]:
    # After the server: once the browser runs, an event loop of its driver's does, and none may be begun beside it.
    program = shutil.which("chromium")
    if program is None or not AXE.exists():
        if os.environ.get("ALIKASSA_REQUIRE_TOOLCHAINS"):
            pytest.fail("Chromium and axe-core are needed: apt-get install chromium; make test-browser")
        pytest.skip("needs Debian's chromium, and axe-core, which `make test-browser` installs")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
        yield opened
        opened.close()


def _context(browser: Browser, look: Look) -> BrowserContext:
    return browser.new_context(
        viewport={"width": look.width, "height": 800},
        color_scheme="dark" if look.scheme == "dark" else "light",
        locale="en-GB" if look.language == "en" else "ru-RU",
        permissions=["clipboard-read", "clipboard-write"],
        accept_downloads=True,
    )


@pytest.fixture(params=LOOKS, ids=lambda look: look.name)
def look(request: pytest.FixtureRequest) -> Look:
    found: Look = request.param
    return found


@pytest.fixture
def reader(browser: Browser, served: tuple[Cabinet, Books], look: Look) -> Iterator[Reader]:
    context = _context(browser, look)
    made = Reader(context.new_page(), *served, look)
    made.watch()
    yield made
    context.close()
    assert made.complaints == []
