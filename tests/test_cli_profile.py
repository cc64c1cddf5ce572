"""Profiles on the command line, whoami, and where each setting comes from."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError

from alikassa.profiles import load_profiles
from alikassa.profiles.connect import open_client
from command_line import CONFIGURATION, USAGE, Done, call, complaint
from conftest import PAGE_ACCOUNT, free_port
from https_server import gives, https_server
from wire_server import wire_server

OTHER = "11111111-2222-4333-8444-555555555555"
Run = Callable[..., Done]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config" / "config.toml"


@pytest.fixture
def run(config: Path) -> Run:
    """Runs a command with a configuration file of the test's own."""

    def run(*arguments: str | Path, **environment: str) -> Done:
        return call(*arguments, env={"ALIKASSA_CONFIG": str(config)} | environment)

    return run


@pytest.fixture
def keys(archives: Callable[[str], Path]) -> Path:
    return archives("payout")


def add(run: Run, keys: Path, name: str = "shop", *more: str | Path) -> Done:
    done = run("profile", "add", name, "--account", PAGE_ACCOUNT, "--keys", keys, *more)
    assert done.returncode == 0, done.stderr
    return done


def whoami(run: Run, *arguments: str | Path, **environment: str) -> Any:
    done = run("whoami", *arguments, "--json", **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# The file


def test_the_file_is_its_owners_and_holds_no_secret(run: Run, keys: Path, config: Path) -> None:
    """config.toml has mode 0600, names where the key is, and has neither passphrase nor key in it."""
    add(run, keys)
    text = config.read_text()
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert str(keys) in text
    assert (keys / "password.txt").read_text() not in text
    assert "PRIVATE" not in text


def test_a_proxys_password_is_not_kept(run: Run, keys: Path, config: Path) -> None:
    """A proxy's URL with a password is refused: the file is no place for it."""
    options = ("--account", PAGE_ACCOUNT, "--keys", keys, "--proxy", "http://me:secret@proxy:3128")
    done = run("profile", "add", "shop", *options)
    assert done.returncode == CONFIGURATION
    assert "secret" not in done.stdout + done.stderr
    assert not config.exists()


def test_what_its_owner_wrote_stays(run: Run, keys: Path, config: Path) -> None:
    """Comments and order of a file that is edited by hand survive a change by command, in the changed profile too."""
    add(run, keys)
    config.write_text("# mine\n" + config.read_text().replace("account =", "# the shop's\naccount ="))
    add(run, keys, "other")
    assert run("profile", "add", "shop", "--replace", "--timeout", "3").returncode == 0
    text = config.read_text()
    assert text.startswith("# mine\n")
    assert "# the shop's\n" in text
    assert text.index("[profiles.shop]") < text.index("[profiles.other]")


@pytest.mark.parametrize(
    "text", ["[", "default = 'x'", "[profiles.a]\naccount = 'x'", "[profiles.a]\naccount='x'\nkeys='y'\ndigest='md5'"]
)
def test_a_file_that_is_not_understood(run: Run, config: Path, text: str) -> None:
    """A broken file is a configuration error that names it, and it is not overwritten."""
    config.parent.mkdir()
    config.write_text(text)
    done = run("profile", "list")
    assert done.returncode == CONFIGURATION
    assert str(config) in done.stderr
    assert config.read_text() == text


# Commands


def test_list_marks_the_default(run: Run, keys: Path) -> None:
    """The first profile is the default; use moves the mark."""
    add(run, keys)
    add(run, keys, "other")
    assert [(one["profile"], one["default"]) for one in json.loads(run("profile", "list", "--json").stdout)] == [
        ("shop", True),
        ("other", False),
    ]
    assert run("profile", "use", "other").returncode == 0
    marked = [line for line in run("profile", "list").stdout.splitlines() if "*" in line]
    assert [line.split()[0] for line in marked] == ["other"]


def test_show_prints_every_setting(run: Run, keys: Path) -> None:
    """Also what the profile leaves to the client is shown, and marked so."""
    add(run, keys, "shop", "--digest", "sha1", "--timeout", "3")
    shown = json.loads(run("profile", "show", "--json").stdout)
    assert shown == {
        "profile": "shop",
        "default": True,
        "account": PAGE_ACCOUNT,
        "keys": str(keys),
        "base_url": None,
        "digest": "sha1",
        "body": None,
        "fresh": None,
        "timeout": 3.0,
        "attempt_timeout": None,
        "ca_bundle": None,
        "proxy": None,
        "http2": None,
        "passphrase": "file",
    }


def test_remove_leaves_the_key(run: Run, keys: Path) -> None:
    """A removed profile is gone, its archive stays, and no other becomes the default by itself."""
    add(run, keys)
    add(run, keys, "other")
    assert run("profile", "remove", "shop").returncode == 0
    assert [one["default"] for one in json.loads(run("profile", "list", "--json").stdout)] == [False]
    assert (keys / "private.pem").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("profile", "add", "shop", "--account", PAGE_ACCOUNT, "--keys", "x"), CONFIGURATION),  # it is there
        (("profile", "add", "a b", "--account", PAGE_ACCOUNT, "--keys", "x"), CONFIGURATION),
        (("profile", "add", "new", "--keys", "x"), USAGE),
        (("profile", "add", "new", "--account", PAGE_ACCOUNT), USAGE),
        (("profile", "add", "new", "--account", "1", "--keys", "x"), USAGE),
        (("profile", "add", "new", "--account", PAGE_ACCOUNT, "--keys", "x", "--body", "5"), USAGE),
        (("profile", "add", "new", "--account", PAGE_ACCOUNT, "--keys", "x", "--timeout", "nan"), USAGE),
        (("profile", "show", "none"), CONFIGURATION),
        (("profile", "use", "none"), CONFIGURATION),
        (("whoami", "--profile", "none"), CONFIGURATION),
    ],
)
def test_what_cannot_be(run: Run, keys: Path, config: Path, arguments: tuple[str, ...], code: int) -> None:
    """A command that makes no sense changes nothing."""
    add(run, keys)
    before = config.read_text()
    assert run(*arguments).returncode == code
    assert config.read_text() == before


# Where a setting comes from

# Of each setting: the profile's value, the environment's, the option's.
SETTINGS = {
    "account": (PAGE_ACCOUNT, OTHER, OTHER.replace("1", "2")),
    "base_url": ("https://one.example", "https://two.example", "https://three.example"),
    "digest": ("sha1", "auto", "sha256"),
    "body": ("[]", "null", "{}"),
    "timeout": ("1.0", "2.0", "3.0"),
    "attempt_timeout": ("1.5", "2.5", "3.5"),
    "ca_bundle": ("/one.pem", "/two.pem", "/three.pem"),
    "proxy": ("http://one:1", "http://two:2", "http://three:3"),
}


@pytest.mark.parametrize("name", [*SETTINGS, "keys"])
def test_option_goes_before_environment_before_profile(name: str, run: Run, archives: Callable[[str], Path]) -> None:
    """Each setting is taken from the option, else the environment, else the profile; whoami says which."""
    three = SETTINGS.get(name) or [str(archives(one)) for one in ("payout", "payment", "stranger")]
    option, variable = f"--{name.replace('_', '-')}", {f"ALIKASSA_{name.upper()}": three[1]}
    base = {"--account": PAGE_ACCOUNT, "--keys": str(archives("payout"))} | {option: three[0]}
    assert run("profile", "add", "shop", *[word for pair in base.items() for word in pair]).returncode == 0
    found = [whoami(run), whoami(run, **variable), whoami(run, option, three[2], **variable)]
    assert [(str(one["settings"][name]["value"]), one["settings"][name]["source"]) for one in found] == [
        (three[0], "profile shop"),
        (three[1], "environment"),
        (three[2], "option"),
    ]


def test_http2_is_a_setting_as_the_others_are(run: Run, keys: Path) -> None:
    """By default off; option before environment before profile, both ways."""
    own = whoami(run, "--account", PAGE_ACCOUNT, "--keys", keys)
    add(run, keys, "shop", "--http2")
    found = [
        own,
        whoami(run),
        whoami(run, ALIKASSA_HTTP2="0"),
        whoami(run, "--http2", ALIKASSA_HTTP2="0"),
        whoami(run, "--no-http2"),
    ]
    assert [(one["settings"]["http2"]["value"], one["settings"]["http2"]["source"]) for one in found] == [
        (False, "default"),
        (True, "profile shop"),
        (False, "environment"),
        (True, "option"),
        (False, "option"),
    ]


def test_the_newer_settings_reach_the_client(run: Run, keys: Path, config: Path, tmp_path: Path) -> None:
    """A profile's `attempt_timeout` is the client's; HTTP/2 is what is spoken."""
    add(run, keys, "slow", "--attempt-timeout", "0.1")
    with open_client(load_profiles(config).find("slow")) as client:
        assert client._core.attempt_timeout == 0.1
    with https_server(tmp_path, free_port()) as modern:
        modern.will(gives())
        add(run, keys, "modern", "--base-url", modern.url, "--ca-bundle", modern.ca, "--http2")
        for option in ([], ["--no-http2"]):
            assert run("balance", "--profile", "modern", *option).returncode == 0
    assert [one.version for one in modern.asked] == ["2", "1.1"]


def test_which_profile(run: Run, keys: Path) -> None:
    """--profile goes before ALIKASSA_PROFILE, that before the default."""
    for name in ("one", "two", "three"):
        add(run, keys, name)
    found = [
        whoami(run),
        whoami(run, ALIKASSA_PROFILE="two"),
        whoami(run, "--profile", "three", ALIKASSA_PROFILE="two"),
    ]
    assert [one["profile"] for one in found] == ["one", "two", "three"]


def test_whoami_tells_the_key(run: Run, keys: Path) -> None:
    """Size, form, and the fingerprint that the openssl command makes of the public half."""
    add(run, keys)
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", keys / "public.pem", "-outform", "DER"], capture_output=True, check=True
    ).stdout
    assert whoami(run)["key"] == {
        "bits": 2048,
        "format": "traditional, AES-256-CBC",
        "fingerprint": hashlib.sha256(der).hexdigest(),
    }


def test_whoami_tells_the_settings_of_a_key_that_does_not_open(run: Run, tmp_path: Path) -> None:
    """Where the key is looked for, and why there, is seen also when it is not there."""
    done = run("whoami", "--account", PAGE_ACCOUNT, "--keys", tmp_path / "nowhere", "--json")
    assert done.returncode == CONFIGURATION
    assert json.loads(done.stdout)["settings"]["keys"]["source"] == "option"
    assert "nowhere" in done.stderr


def test_whoami_asks_nobody(run: Run, keys: Path) -> None:
    """No connection is made."""
    with wire_server() as server:
        whoami(run, "--account", PAGE_ACCOUNT, "--keys", keys, "--base-url", server.url)
        assert server.connections == 0


def test_balance_uses_the_profile(run: Run, keys: Path) -> None:
    """With a profile, `alikassa balance` needs no option."""
    with wire_server() as server:
        add(run, keys, "shop", "--base-url", server.url, "--body", "[]")
        assert run("balance").returncode == 0
        assert server.requests[0].endswith(b"\r\n\r\n[]")


def test_nothing_named_is_usage() -> None:
    """Without option, environment and profile the message says how to give each."""
    words = complaint(USAGE, "whoami")
    assert "--account" in words
    assert "ALIKASSA_ACCOUNT" in words
    assert "profile add" in words


# The keyring


class FileKeyring(KeyringBackend):
    """A keyring that keeps what it is given in a JSON file."""

    priority = 1

    def __init__(self, path: Path) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._path = path

    def _kept(self) -> dict[str, str]:
        kept: dict[str, str] = json.loads(self._path.read_text()) if self._path.exists() else {}
        return kept

    def get_password(self, service: str, username: str) -> str | None:
        return self._kept().get(f"{service} {username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self._path.write_text(json.dumps(self._kept() | {f"{service} {username}": password}))

    def delete_password(self, service: str, username: str) -> None:
        kept = self._kept()
        if kept.pop(f"{service} {username}", None) is None:
            raise PasswordDeleteError("not there")
        self._path.write_text(json.dumps(kept))


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[Path]:
    """A keyring in use. Its file."""
    before = keyring.get_keyring()
    keyring.set_keyring(FileKeyring(tmp_path / "ring.json"))
    yield tmp_path / "ring.json"
    keyring.set_keyring(before)


@pytest.fixture
def copy(keys: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(keys, tmp_path / "copy"))


def test_the_keyring_opens_the_key(run: Run, copy: Path, ring: Path, config: Path) -> None:
    """The passphrase moves from password.txt into the keyring; without that file the client still signs."""
    add(run, copy, "shop", "--passphrase-in-keyring")
    passphrase = (copy / "password.txt").read_text()
    (copy / "password.txt").unlink()
    assert passphrase in ring.read_text()
    assert passphrase not in config.read_text()
    with wire_server() as server:
        done = run("balance", "--base-url", server.url)
        assert done.returncode == 0, done.stderr
    report = run("doctor", "--offline", "--json")
    assert report.returncode == 0, report.stdout


def test_removing_a_profile_empties_the_keyring(run: Run, copy: Path, ring: Path) -> None:
    """The passphrase goes with the last profile that uses it, and not before."""
    add(run, copy, "shop", "--passphrase-in-keyring")
    add(run, copy, "other", "--passphrase-in-keyring")
    assert run("profile", "remove", "shop").returncode == 0
    assert json.loads(ring.read_text())
    assert run("profile", "remove", "other").returncode == 0
    assert json.loads(ring.read_text()) == {}


def test_other_keys_are_not_opened_by_the_profiles_keyring(
    run: Run, copy: Path, ring: Path, archives: Callable[[str], Path]
) -> None:
    """With --keys, the passphrase is that of the archive named."""
    add(run, copy, "shop", "--passphrase-in-keyring")
    settings = whoami(run, "--keys", archives("stranger"))["settings"]
    assert settings["passphrase"] == {"value": "file", "source": "default"}


def test_another_archive_for_a_profile(run: Run, copy: Path, ring: Path, keys: Path) -> None:
    """A profile that gets another archive opens it with that archive's password.txt."""
    add(run, copy, "shop", "--passphrase-in-keyring")
    assert run("profile", "add", "shop", "--replace", "--keys", keys).returncode == 0
    assert whoami(run)["settings"]["passphrase"]["value"] == "file"
    assert json.loads(ring.read_text()) == {}, "the passphrase of the archive that it had is not left behind"


def test_a_wrong_passphrase_is_not_stored(run: Run, copy: Path, ring: Path, config: Path) -> None:
    """What does not open the key does not reach the keyring."""
    (copy / "password.txt").write_text("guess")
    done = run("profile", "add", "shop", "--account", PAGE_ACCOUNT, "--keys", copy, "--passphrase-in-keyring")
    assert done.returncode == CONFIGURATION
    assert not ring.exists()
    assert not config.exists()


def test_no_keyring_is_told(run: Run, keys: Path) -> None:
    """On a machine without a keyring the command says so, and what to do instead."""
    done = run("profile", "add", "shop", "--account", PAGE_ACCOUNT, "--keys", keys, "--passphrase-in-keyring")
    assert done.returncode == CONFIGURATION
    assert "password.txt" in done.stderr


def test_an_empty_keyring_is_told(run: Run, copy: Path, ring: Path) -> None:
    """A passphrase that somebody took out of the keyring is missed by name."""
    add(run, copy, "shop", "--passphrase-in-keyring")
    ring.unlink()
    done = run("balance")
    assert done.returncode == CONFIGURATION
    assert str(copy) in done.stderr
