"""What the READMEs show works as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from test_docs import ROOT, run, with_free_ports

READMES = ["README.md", "README.ru.md"]


def blocks(readme: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / readme).read_text(), re.DOTALL)


@pytest.mark.parametrize("readme", READMES)
def test_what_is_shown_works(readme: str, tmp_path: Path) -> None:
    """All blocks, run by one shell in their order: the sandbox, the client, a server, its books."""
    printed = {block.code: output for block, output in run(with_free_ports((ROOT / readme).read_text()), tmp_path)}

    def of(part: str) -> str:
        return next(output for code, output in printed.items() if part in code)

    assert re.search(r"RUB +93\.84000000 +0\.00000000 +0\.00000000 +1234\.00000000", of("alikassa doctor"))
    assert "93.84000000 RUB" in of("with Client")
    assert re.search(r"RUB +93\.84000000 +0\.00000000 +0\.00000000 +0\.00000000", of("alikassa serve"))
    assert "balance 711.00000000" in of("policy set")


@pytest.mark.parametrize("readme", READMES)
def test_make_commands_shown_exist_and_ci_runs_them(readme: str) -> None:
    """The two commands for a newcomer are targets of the Makefile, and CI calls each."""
    shown = set(re.findall(r"^make (\w+)", "\n".join(blocks(readme, "sh")), re.MULTILINE))
    assert shown == {"demo", "test"}
    for command in shown:
        assert re.search(rf"^{command}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert f"make {command}\n" in (ROOT / ".ci" / "run").read_text()
