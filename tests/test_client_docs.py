"""What docs/client.md shows works as it stands, and names what there is."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from alikassa import Client
from alikassa.client import events
from alikassa.client.core import ATTEMPT_TIMEOUT, ATTEMPTS, TIMEOUT

TEXT = (Path(__file__).parent.parent / "docs" / "client.md").read_text()


def test_the_blocks_run(archives: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, in a folder with the archive that the first one makes."""
    assert "alikassa keygen cert/payout" in TEXT
    (tmp_path / "cert").mkdir()
    (tmp_path / "cert" / "payout").symlink_to(archives("payout"))
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(compile("\n".join(blocks), "docs/client.md", "exec"), {"__name__": "docs"})  # noqa: S102 - our own page


def test_every_setting_is_documented_with_its_default() -> None:
    """A row for each of the constructor's parameters; the numbers are the code's."""
    rows = dict(re.findall(r"^\| `(\w+)` \| ?([^|]*) \|", TEXT, re.MULTILINE))
    parameters = set(inspect.signature(Client.__init__).parameters) - {"self"}
    assert parameters <= set(rows)
    numbers = [float(rows[name]) for name in ("timeout", "attempt_timeout", "attempts")]
    assert numbers == [TIMEOUT, ATTEMPT_TIMEOUT, ATTEMPTS]


@pytest.mark.parametrize("name", sorted(set(events.__all__) - {"Event"}))
def test_every_event_is_documented(name: str) -> None:
    """Each has its row."""
    assert f"| `{name}` |" in TEXT
