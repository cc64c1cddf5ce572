"""The pytest plugin, in a pytest of its own, as a merchant's tests load it."""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path

import pytest

pytest_plugins = "pytester"

PLUGIN = "alikassa.testing.pytest_plugin"


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder for tests. Only our plugin is loaded there, whether it is installed as an entry point or not."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini(f"[pytest]\naddopts = -p {PLUGIN}\nfilterwarnings = error\n")
    return pytester


def test_every_test_has_fresh_books(run: pytest.Pytester) -> None:
    """What one test books, faults and winds forward, the next one does not see; the server is the same."""
    run.makepyfile(
        """
        import time
        import pytest
        from alikassa import RefusedError
        from alikassa.testing import Refused

        urls = set()

        @pytest.mark.parametrize("amount", [1, 2, 3])
        def test_one(alikassa_sandbox, alikassa_account, alikassa_client, amount):
            urls.add(alikassa_sandbox.url)
            assert abs(alikassa_sandbox.now().timestamp() - time.time()) < 60
            alikassa_account.payment(amount)
            assert alikassa_client.balance().balance == amount
            assert len(alikassa_sandbox.requests) == 1
            alikassa_sandbox.advance(days=7)
            alikassa_sandbox.fault(Refused())
            with pytest.raises(RefusedError):
                alikassa_client.balance()

        def test_one_server():
            assert len(urls) == 1
        """
    )
    run.runpytest_subprocess("-q").assert_outcomes(passed=4)


def test_who_does_not_ask_does_not_load_the_server(run: pytest.Pytester) -> None:
    """A run without these fixtures loads neither the server nor the database's packages."""
    run.makepyfile(
        """
        import sys

        def test_loaded():
            heavy = {"sqlalchemy", "granian", "h11", "cryptography", "msgspec", "alikassa.testing.sandbox"}
            assert heavy & set(sys.modules) == set()
            assert "alikassa.testing.pytest_plugin" in sys.modules
        """
    )
    run.runpytest_subprocess("-q").assert_outcomes(passed=1)


def test_the_fixtures_are_listed(run: pytest.Pytester) -> None:
    """`pytest --fixtures` shows the three with what they are."""
    shown = run.runpytest_subprocess("--fixtures", "-q").stdout.str()
    assert all(name in shown for name in ("alikassa_sandbox --", "alikassa_account --", "alikassa_client --"))


def test_it_is_found_by_its_entry_point() -> None:
    """The package names the plugin, and the name leads to it."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"alikassa": PLUGIN}
    assert import_module(PLUGIN).alikassa_client is not None
