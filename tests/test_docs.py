"""What the documentation shows works as it stands, and nothing that it should tell is left out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from alikassa import errors
from alikassa.cli.main import EXIT_CODES
from alikassa.cli.tree import app
from conftest import free_port

ROOT = Path(__file__).parent.parent
#: Run by tests of their own: one runs its many commands in this process, others are single programs in parts.
ELSEWHERE = ("books.md", "client.md", "cli.md", "sandbox.md")
PAGES = sorted(page.name for page in (ROOT / "docs").glob("*.md") if page.name not in ELSEWHERE)
READMES = ["README.md", "README.ru.md"]
MARK = "=== the next block ==="
CHANGING = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?"  # times
    r"|[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"  # uuids made here
    r"|\b[0-9a-f]{64}\b"  # fingerprints
    r"|(?<=127\.0\.0\.1:)\d+|(?<=localhost:)\d+"  # ports
)


class Block(NamedTuple):
    """A block of code, and the output that stands under it."""

    language: str
    code: str
    output: str


def blocks_of(text: str) -> list[Block]:
    found: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    if not found:
        return []
    after = [*found[1:], ("", "")]
    return [
        Block(language, code, then if kind == "text" else "")
        for (language, code), (kind, then) in zip(found, after, strict=True)
    ]


def script_of(blocks: list[Block]) -> str:
    """One bash script of all blocks, in their order and in one folder."""
    parts = []
    for block in blocks:
        code = block.code
        if block.language == "python":
            code = f"python - <<'PYTHON'\n{code}PYTHON\n"
        elif block.language != "sh":
            continue
        # Here everything is installed, and a repository's own make would run this very test.
        code = re.sub(r"^(?:pip install|make) .*$", "", code, flags=re.MULTILINE)
        # A reader with a slow machine sees that it has not started yet; a script has to look.
        code = re.sub(
            r"^(.* &)\nsleep \d+$", lambda found: f"{found[0]}\n{_listening(found[1])}", code, flags=re.MULTILINE
        )
        parts.append(f"echo '{MARK}'\n{code}")
    return "".join(parts)


def _listening(command: str) -> str:
    """Shell that waits, for half a minute at most, until the command answers on its ports."""
    return "\n".join(
        f"for _ in {{1..300}}; do (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && break; sleep 0.1; done"
        for port in re.findall(r"port (\d+)", command)
    )


def with_free_ports(text: str) -> str:
    """The text with every port that it serves on replaced by a free one: whatever it shows may be in use here."""
    for port in sorted(set(re.findall(r"(?:127\.0\.0\.1:|localhost:|port[ =])(\d{4,5})\b", text))):
        text = re.sub(rf"\b{port}\b", str(free_port()), text)
    return text


def environment(folder: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ALIKASSA_")}
    home = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / ".config"), "XDG_DATA_HOME": str(folder / ".data")}
    return kept | home | {"PATH": path, "COLUMNS": "200", "ALIKASSA_OPERATOR_PORT": "0", "PYTHONUNBUFFERED": "1"}


def run(text: str, folder: Path) -> list[tuple[Block, str]]:
    """Run a page's blocks by one shell. Each block that was run, with what it printed."""
    blocks = [block for block in blocks_of(text) if block.language in ("sh", "python")]
    script = f"exec 2>&1\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait || true' EXIT\n{script_of(blocks)}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return list(zip(blocks, done.stdout.split(f"{MARK}\n")[1:], strict=True))


def plain(text: str) -> list[str]:
    """Lines without a table's frame and spacing. What changes from run to run is alike."""
    lines = (" ".join(CHANGING.sub("...", line).split()) for line in text.splitlines())
    return [line for line in lines if line.strip("─━ ")]


def in_order(expected: list[str], printed: list[str]) -> list[str]:
    """Lines that are missing. One that ends with three dots matches by its beginning."""
    rest = iter(printed)
    return [
        line
        for line in expected
        if not any(one == line or (line.endswith(" ...") and one.startswith(line[:-4])) for one in rest)
    ]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_what_works(page: str, tmp_path: Path) -> None:
    """The page's blocks, run one after the other in an empty folder, print the lines that are shown under each."""
    text = with_free_ports((ROOT / "docs" / page).read_text())
    missing = [line for block, printed in run(text, tmp_path) for line in in_order(plain(block.output), plain(printed))]
    assert missing == []


@pytest.mark.parametrize("page", [*(f"docs/{page}" for page in PAGES), *READMES])
def test_every_block_says_what_it_is(page: str) -> None:
    """A block without a language, or with one that nothing runs, would show what nobody has tried."""
    languages = {block.language for block in blocks_of((ROOT / page).read_text())}
    assert languages <= {"sh", "python", "text", "toml", "json", "ini"}


@pytest.mark.parametrize("page", [*(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")), *READMES])
def test_links_lead_somewhere(page: str) -> None:
    """A link to a file or a heading of this project finds it."""
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        file, _, heading = target.partition("#")
        path = (ROOT / page).parent / file if file else ROOT / page
        assert path.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in anchors, target


@pytest.mark.parametrize("readme", READMES)
def test_every_page_is_among_the_documents(readme: str) -> None:
    """Who reads one of the two READMEs finds each page, in its language where it is in that."""
    pages = {page.name for page in (ROOT / "docs").glob("*.md")}
    russian = {page for page in pages if page.endswith(".ru.md")}
    own = russian if readme.endswith(".ru.md") else {page.replace(".ru.md", ".md") for page in russian}
    both = pages - russian - {page.replace(".ru.md", ".md") for page in russian}
    named = set(re.findall(r"\(docs/([a-z.-]+\.md)\)", (ROOT / readme).read_text()))
    assert sorted((both | own) - named) == []


def test_the_command_line_page_is_current() -> None:
    """docs/cli.md is what the generator writes now."""
    generator = ROOT / "tools" / "cli_reference.py"
    spec = util.spec_from_file_location("cli_reference", generator)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "cli.md").read_text() == module.reference(), "run: make reference"


def leaves(command: Any, path: tuple[str, ...] = ("alikassa",)) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield " ".join(path), command
    for name, child in (children or {}).items():
        yield from leaves(child, (*path, name))


COMMANDS: list[tuple[str, Any]] = list(leaves(typer.main.get_command(app)))


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_help_shows_an_example(name: str, command: Any) -> None:
    """Every command's help says what it does, what each option is, and how it is typed."""
    assert f"`{name}" in str(command.epilog).replace("TOKEN=$(", ""), "an example is missing"
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None), parameter.name


KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.AlikassaError)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_its_cause_and_remedy(kind: type[errors.AlikassaError]) -> None:
    """docs/errors.md has a row for each error: what happened, what to do, and the exit code it makes."""
    if kind is errors.AlikassaError:
        return
    row = re.search(
        rf"^\| `{kind.__name__}` \| (.+) \| (.+) \| (\d) \|$", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE
    )
    assert row is not None
    assert int(row[3]) == next(code for one, code in EXIT_CODES if issubclass(kind, one))
