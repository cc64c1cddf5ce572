"""Writes docs/cli.md from the command tree itself: `make reference`. --check only says whether it is current."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from alikassa.cli.tree import app

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["main", "reference"]

TARGET = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
_HEAD = """# Command line

Every command, as `alikassa COMMAND --help` tells it. This page is generated (`make reference`), and a test fails when
it is not current.

Data goes to stdout, messages to stderr. Exit codes: 0 done, 1 books that are not true, 2 usage, 3 configuration or key,
4 refused, 5 network, 6 server error.

Completion for your shell: `alikassa --install-completion`.
"""


def reference() -> str:
    """The page's text."""
    root: Any = typer.main.get_command(app)
    commands = list(_walk(root, ("alikassa",)))
    contents = "\n".join(f"- [`{' '.join(path)}`](#{'-'.join(path)}): {_first(command)}" for path, command in commands)
    return "\n".join([_HEAD, contents, "", *(_section(path, command) for path, command in commands)])


def _walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, groups left out, in the order of their names."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name in sorted(children):
        if not children[name].hidden:
            yield from _walk(children[name], (*path, name))


def _first(command: Any) -> str:
    return str(command.help or "").strip().split("\n\n")[0].replace("\n", " ")


def _section(path: tuple[str, ...], command: Any) -> str:
    parts = [f"## {' '.join(path)}", "    " + _usage(path, command)]
    if command.help:
        parts.append(re.sub(r"\n +", "\n", command.help.strip()))
    rows = [_row(parameter) for parameter in command.params if not getattr(parameter, "hidden", False)]
    if rows:
        parts.append("\n".join(["| | | |", "|---|---|---|", *rows]))
    if command.epilog:
        parts.append(command.epilog.strip())
    return "\n\n".join(parts) + "\n"


def _usage(path: tuple[str, ...], command: Any) -> str:
    arguments = [_metavar(one) for one in command.params if one.param_type_name == "argument"]
    options = ["[OPTIONS]"] if any(one.param_type_name == "option" for one in command.params) else []
    return " ".join([*path, *options, *arguments])


def _metavar(parameter: Any) -> str:
    text = parameter.metavar or parameter.human_readable_name or parameter.name
    many = "..." if parameter.nargs == -1 else ""
    text = f"{str(text).upper().strip('[]')}{many}"
    return text if parameter.required else f"[{text}]"


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = f"`{_metavar(parameter)}`"
    else:
        name = " ".join(f"`{one}`" for one in (*parameter.opts, *parameter.secondary_opts))
        if parameter.metavar:
            name += f" {parameter.metavar}"
        elif choices := getattr(parameter.type, "choices", None):
            name += " " + "\\|".join(str(getattr(one, "value", one)) for one in choices)
        elif not parameter.is_flag:
            name += f" {parameter.type.name.upper()}"
    return f"| {name} | {_cell(getattr(parameter, 'help', None))} | {_facts(parameter)} |"


def _facts(parameter: Any) -> str:
    facts = []
    if parameter.required:
        facts.append("required")
    default = parameter.default
    if default not in (None, False, ()) and not callable(default):
        facts.append(f"default `{getattr(default, 'value', default)}`")
    if parameter.envvar:
        names = [parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar
        facts.append("or " + ", ".join(f"`{name}`" for name in names))
    return _cell("; ".join(facts))


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    text = reference()
    if parser.parse_args().check:
        sys.exit(0 if TARGET.exists() and TARGET.read_text() == text else f"{TARGET} is not current: make reference")
    TARGET.write_text(text)


if __name__ == "__main__":
    main()
