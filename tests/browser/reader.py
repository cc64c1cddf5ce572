"""Somebody at a browser, and what holds for every page they look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Response

from browser.books import Books
from cabinet_server import PASSWORD, Cabinet

ROOT = Path(__file__).parent.parent.parent
SCREENS = ROOT / "build" / "screens"
AXE = ROOT / ".venv" / "browser" / "node_modules" / "axe-core" / "axe.min.js"


@dataclass(frozen=True)
class Look:
    """How a reader looks at it."""

    width: int
    language: str
    scheme: str

    @property
    def name(self) -> str:
        return f"{self.width}-{self.language}-{self.scheme}"

    @property
    def locale(self) -> str:
        return {"en": "en_GB", "ru": "ru_RU"}[self.language]

    def pick(self, english: str, russian: str) -> str:
        """What is expected in the look's language, written down by hand."""
        return english if self.language == "en" else russian


LOOKS = [Look(w, lang, scheme) for w in (1280, 375) for lang in ("en", "ru") for scheme in ("light", "dark")]


@dataclass
class Reader:
    """Somebody at a browser. Whatever the browser complains of is kept, and the test fails by it at its end."""

    page: Page
    cabinet: Cabinet
    books: Books
    look: Look
    complaints: list[str] = field(default_factory=list)
    #: Statuses of 400 and more that a test expects.
    expected: set[int] = field(default_factory=set)

    def watch(self) -> None:
        self.page.on("console", lambda one: self._said(one.type, one.text))
        self.page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))
        self.page.on("requestfailed", lambda one: self._failed(one.url, one.failure))
        self.page.on("response", self._answered)

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not (
            "Failed to load resource" in text and any(f"status of {status}" in text for status in self.expected)
        ):
            self.complaints.append(f"{kind}: {text}")

    def _failed(self, url: str, failure: str | None) -> None:
        # A download is taken out of the page: for the page, its request is aborted.
        if failure != "net::ERR_ABORTED":
            self.complaints.append(f"request failed: {url}: {failure}")

    def _answered(self, answer: Response) -> None:
        if answer.status >= 400 and answer.status not in self.expected:
            self.complaints.append(f"{answer.status}: {answer.url}")

    def go(self, path: str) -> None:
        self.page.goto(self.cabinet.url + path)

    def log_in(self, login: str) -> None:
        self.go("/cabinet/login")
        self.page.fill("#login", login)
        self.page.fill("#password", PASSWORD)
        self.page.click("main button")
        self.page.wait_for_url("**/cabinet/**")
        self.speak()

    def speak(self) -> None:
        """Change to the look's language, by the button that offers it."""
        if self.page.locator("html").get_attribute("lang") != self.look.language:
            self.page.click(f"button[name=language][value={self.look.language}]")
        assert self.page.locator("html").get_attribute("lang") == self.look.language

    def look_at(self, name: str) -> None:
        """Nothing is cut or lies over another, nobody is kept out, and a picture is kept."""
        self.page.wait_for_load_state()
        self._require_chart()
        SCREENS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENS / f"{name}-{self.look.name}.png", full_page=True)
        wide, over, kept_out = self.page.evaluate(_TOO_WIDE), self.page.evaluate(_OVERLAPPING), self.violations()
        assert not wide, f"{name} is wider than the window: {wide}"
        assert not over, f"{name}: things to click lie over each other: {over}"
        assert not kept_out, f"{name}: {kept_out}"

    def _require_chart(self) -> None:
        if self.page.locator("#chart").count():
            self.page.wait_for_selector("#chart canvas")

    def violations(self) -> list[str]:
        """What axe-core finds that is serious or critical."""
        # Evaluated by the browser's own debugger: the page's policy lets no script in.
        self.page.evaluate(AXE.read_text())
        found: dict[str, Any] = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{one['id']}: {node['target']} {node['failureSummary']}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]


_TOO_WIDE = """() => {
  const room = document.documentElement.clientWidth, found = [];
  const width = document.documentElement.scrollWidth;
  if (width > room) found.push(`page: ${width} > ${room}`);
  for (const one of document.querySelectorAll("main *, header *, footer *")) {
    const box = one.getBoundingClientRect();
    if (!box.width || one.closest(".table-wrap, pre, .visually-hidden, .skip, svg, .u-wrap")) continue;
    if (box.right > room + 1 || box.left < -1) found.push(`${one.tagName} ${one.className}: ${box.left}..${box.right}`);
  }
  return found.slice(0, 5);
}"""
_OVERLAPPING = """() => {
  const clickable = "a, button, input:not([type=hidden]), select, textarea, summary";
  const things = [...document.querySelectorAll(clickable)]
    .filter((one) => one.checkVisibility() && !one.closest(".skip, .visually-hidden"))
    .map((one) => [one, [...one.getClientRects()]]);
  const shared = (a, b, from, to) => Math.min(a[to], b[to]) - Math.max(a[from], b[from]);
  const meet = (a, b) => shared(a, b, "left", "right") > 2 && shared(a, b, "top", "bottom") > 2;
  const found = [];
  things.forEach(([one, boxes], n) => {
    for (const [other, others] of things.slice(n + 1, n + 40)) {
      if (one.contains(other) || other.contains(one)) continue;
      if (boxes.some((a) => others.some((b) => meet(a, b))))
        found.push(`${one.outerHTML.slice(0, 90)} / ${other.outerHTML.slice(0, 90)}`);
    }
  });
  return found.slice(0, 5);
}"""
