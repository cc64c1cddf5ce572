"""A merchant's keys in the browser, and what they are good for."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path

from playwright.sync_api import expect

from browser.reader import Reader
from conftest import run_cli


def test_a_key_is_made_used_and_revoked(reader: Reader, tmp_path: Path) -> None:
    """An archive made on the server asks for the balance with `alikassa balance`; revoked, its next request is
    refused, and the log of requests says why."""
    page = reader.page
    reader.log_in("owner")
    reader.go("/cabinet/keys")
    before = _revocations(reader)
    make = page.locator("details.way", has=page.locator("form#make"))
    make.locator("summary").first.click()
    reader.look_at("keys")
    with page.expect_download() as downloading:
        make.locator("button").click()
    downloading.value.save_as(tmp_path / "archive.zip")
    with zipfile.ZipFile(tmp_path / "archive.zip") as archive:
        archive.extractall(tmp_path)
    assert sorted(path.name for path in (tmp_path / "payout").iterdir()) == [
        "password.txt",
        "private.pem",
        "public.pem",
    ]
    asked = _ask(reader, tmp_path / "payout")
    assert asked.returncode == 0, asked.stderr
    assert json.loads(asked.stdout)["hold"] == "12345.67000000"

    reader.go("/cabinet/keys")
    (revoke,) = set(_revocations(reader)) - set(before)
    reader.go(revoke)
    reader.look_at("revoke")
    typed = page.locator("#typed")
    ending = int(typed.get_attribute("maxlength") or "0")
    fingerprint = page.locator("dl.facts code").inner_text()
    reader.expected.add(400)
    typed.fill("0" * ending if not fingerprint.endswith("0") else "1" * ending)
    page.click("button.danger")
    assert page.locator("[role=alert]").count() == 1
    page.fill("#typed", fingerprint[-ending:])
    page.click("button.danger")
    expect(page.locator(".note.good[role=status]")).to_have_count(1)
    reader.look_at("revoked")

    refused = _ask(reader, tmp_path / "payout")
    assert refused.returncode == 4
    reader.go(f"/cabinet/accounts/{reader.books.account}/requests")
    row = page.locator("tbody tr", has=page.locator(".badge.bad")).first
    # Worked out after the answer, and written once a second.
    for _ in range(20):
        if row.count():
            break
        page.wait_for_timeout(300)
        page.reload()
    assert reader.look.pick("revoked", "отозван") in row.inner_text().lower()
    reader.look_at("requests")


def test_a_key_is_made_in_the_browser(reader: Reader, tmp_path: Path) -> None:
    """The private key that WebCrypto makes is saved as files and never sent; its public half is registered, and
    `alikassa balance` asks with it."""
    page = reader.page
    sent: list[str] = []
    page.on("request", lambda one: sent.append(one.post_data or ""))
    reader.log_in("owner")
    reader.go("/cabinet/keys")
    before = _revocations(reader)
    way = page.locator("details.way", has=page.locator("#browser-make"))
    way.locator("summary").first.click()
    page.click("#browser-make")
    expect(page.locator("#browser-made")).to_be_visible(timeout=30_000)
    folder = tmp_path / "payout"
    folder.mkdir()
    for name in ("private", "password", "public"):
        with page.expect_download() as downloading:
            page.click(f"#save-{name}")
        download = downloading.value
        download.save_as(folder / download.suggested_filename)
    reader.look_at("keys-browser")
    page.click("#browser-send")
    expect(page.locator(".note.good[role=status]")).to_have_count(1)
    private = (folder / "private.pem").read_text().splitlines()
    assert not any(private[2] in body for body in sent), "the private key was sent"
    for path in folder.iterdir():
        path.chmod(0o600)
    asked = _ask(reader, folder)
    assert asked.returncode == 0, asked.stderr
    (revoke,) = set(_revocations(reader)) - set(before)
    reader.go(revoke)
    ending = int(page.locator("#typed").get_attribute("maxlength") or "0")
    page.fill("#typed", page.locator("dl.facts code").inner_text()[-ending:])
    page.click("button.danger")


def test_a_private_key_is_not_taken(reader: Reader) -> None:
    """Somebody who pastes a private key is stopped, in words, and the page does not show it again."""
    reader.expected.add(400)
    reader.log_in("owner")
    reader.go("/cabinet/keys")
    secret = (reader.books.keys / "private.pem").read_text()
    reader.page.fill("#pem", secret)
    reader.page.locator("form[action='/cabinet/keys/add'] button").first.click()
    assert reader.page.locator("[role=alert] .loud").count() == 1
    assert secret.splitlines()[5] not in reader.page.content()
    reader.look_at("private-key")


def test_try_it(reader: Reader) -> None:
    """The ready request, with the account's own uuid in it."""
    reader.log_in("viewer")
    reader.go(f"/cabinet/accounts/{reader.books.account}/try")
    assert str(reader.books.account) in reader.page.locator("main").inner_text()
    reader.look_at("try")


def _revocations(reader: Reader) -> list[str]:
    links = reader.page.locator("a[href$='/revoke']")
    return [link.get_attribute("href") or "" for link in links.all()]


def _ask(reader: Reader, keys: Path) -> subprocess.CompletedProcess[str]:
    return run_cli(
        *("balance", "--account", str(reader.books.account), "--keys", keys, "--output", "json"),
        *("--base-url", reader.cabinet.server.url),
    )
