"""The configuration file and the keyring, where something goes wrong or somebody else is at it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from alikassa.errors import ConfigurationError
from alikassa.profiles import Profile, Profiles, hold_profiles, load_profiles, save_profiles
from alikassa.profiles.passphrases import store_passphrase
from command_line import CONFIGURATION, USAGE, Done, call
from conftest import PAGE_ACCOUNT
from test_cli_profile import Run, add, whoami


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


def test_two_that_change_the_file_lose_nothing(run: Run, keys: Path, config: Path) -> None:
    """Who comes while another one is changing the file waits, and then reads what that one wrote."""
    run("profile", "list")  # so that all is loaded
    with ThreadPoolExecutor(1) as pool:
        with hold_profiles(config):
            other = pool.submit(add, run, keys, "other")
            until = time.monotonic() + 0.5
            while time.monotonic() < until and not config.exists():
                time.sleep(0.01)
            save_profiles(Profiles(config, {"shop": Profile(account=PAGE_ACCOUNT, keys=str(keys))}, "shop"))
        other.result()
    found = load_profiles(config)
    assert (list(found.by_name), found.default) == (["shop", "other"], "shop")


@pytest.mark.parametrize("field", ["keys", "base_url", "proxy", "ca_bundle"])
def test_control_characters_are_refused(run: Run, keys: Path, config: Path, field: str) -> None:
    """What would steer a terminal is no setting: not in a file, not in an option."""
    given = {"account": PAGE_ACCOUNT, "keys": "k"} | {field: "https://\\u001b]0;x\\u0007"}
    config.parent.mkdir()
    config.write_text("[profiles.shop]\n" + "".join(f'{name} = "{value}"\n' for name, value in given.items()))
    done = run("profile", "list")
    assert done.returncode == CONFIGURATION
    assert "control characters" in done.stderr
    assert "\x1b" not in done.stderr
    config.unlink()
    options = {"--keys": str(keys), f"--{field.replace('_', '-')}": "https://\x1b]0;x\x07"}
    done = run(
        "profile", "add", "shop", "--account", PAGE_ACCOUNT, *[word for pair in options.items() for word in pair]
    )
    assert (done.returncode, "\x1b" in done.stderr) == (CONFIGURATION, False)


def test_nobodys_home_is_told(run: Run, config: Path) -> None:
    """A ~name of nobody is an error in words, in a file as in an option."""
    away = "~nobody-of-that-name/cert"
    assert run("profile", "add", "shop", "--account", PAGE_ACCOUNT, "--keys", away).returncode == USAGE
    config.parent.mkdir()
    config.write_text(f'default = "a"\n[profiles.a]\naccount = "{PAGE_ACCOUNT}"\nkeys = "{away}"\n')
    done = run("whoami")
    assert (done.returncode, "nobody's home" in done.stderr) == (CONFIGURATION, True)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://me:secret@proxy:1", "http://...@proxy:1"),
        ("http://me:sec://ret@proxy:1", "http://...@proxy:1"),
        ("me:secret@proxy:1", "...@proxy:1"),
        ("me:sec://ret@proxy:1", "...@proxy:1"),
        ("http://me:sec@ret@proxy:1", "http://...@proxy:1"),
        ("http://proxy:1", "http://proxy:1"),
    ],
)
def test_a_proxys_password_is_not_shown(run: Run, keys: Path, url: str, shown: str) -> None:
    """Whatever stands in it, whoami leaves it out."""
    told = whoami(run, "--account", PAGE_ACCOUNT, "--keys", keys, ALIKASSA_PROXY=url)
    assert told["settings"]["proxy"]["value"] == shown


def test_a_passphrase_is_in_no_traceback(keys: Path) -> None:
    """A keyring that refuses it: not even a traceback with variables has it."""
    passphrase = (keys / "password.txt").read_bytes()
    with pytest.raises(ConfigurationError) as caught:
        store_passphrase(str(keys), passphrase)
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    frames = [frame for frame in told.stack if frame.filename != __file__]
    assert frames
    assert passphrase.decode() not in f"{[frame.locals for frame in frames]}"
