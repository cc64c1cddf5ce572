"""The yardstick of `alikassa --help`: the same Typer tree with nothing in its commands.

It is made from the source of the command line at run time, so that it is always the same tree. Kept are docstrings,
decorators, signatures, enums and the functions that hang commands onto the tree; dropped are the bodies of all other
functions, and every import but the few that a Typer tree cannot do without.
"""

from __future__ import annotations

import ast
import builtins
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["write_empty_tree"]

#: What the annotations of commands need, and of our own the modules that import next to nothing themselves.
_NEEDED = frozenset(
    {
        "__future__",
        "collections.abc",
        "datetime",
        "enum",
        "pathlib",
        "typer",
        "typing",
        "uuid",
        "alikassa.clock",
        "alikassa.doctor.levels",
        "alikassa.protocol.forms",
    }
)
_LIGHT = (
    "__main__.py",
    "clock.py",
    "errors.py",
    "doctor/__init__.py",
    "doctor/levels.py",
    "protocol/__init__.py",
    "protocol/forms.py",
)
_COMMANDS = "alikassa.cli"


def write_empty_tree(source: Path, target: Path) -> None:
    """Write the package `alikassa` into the folder `target`, from the package at `source`."""
    target.mkdir(parents=True)
    (target / "__init__.py").write_text("")
    for name in _LIGHT:
        (target / name).parent.mkdir(exist_ok=True)
        shutil.copy(source / name, target / name)
    for file in sorted((source / "cli").rglob("*.py")):
        emptied = target / file.relative_to(source)
        emptied.parent.mkdir(parents=True, exist_ok=True)
        emptied.write_text(empty_module(file.read_text()))


def empty_module(source: str) -> str:
    """The source of a module of the command line, emptied."""
    module = ast.parse(source)
    names = set(dir(builtins)) | {"__name__"}
    kept: list[ast.stmt] = []
    for statement in module.body:
        if _is_type_checking(statement) or not _names_at_import(statement) <= names:
            continue
        if isinstance(statement, ast.Import | ast.ImportFrom) and not _is_needed(statement):
            continue
        if isinstance(statement, ast.FunctionDef):
            _empty(statement)
        kept.append(statement)
        names |= _names_bound(statement)
    module.body = kept
    return ast.unparse(module) + "\n"


def _is_type_checking(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.If) and isinstance(statement.test, ast.Name) and statement.test.id == "TYPE_CHECKING"
    )


def _is_needed(statement: ast.Import | ast.ImportFrom) -> bool:
    if isinstance(statement, ast.Import):
        return all(alias.name in _NEEDED for alias in statement.names)
    module = statement.module or ""
    return module in _NEEDED or module == _COMMANDS or module.startswith(f"{_COMMANDS}.")


def _names_at_import(statement: ast.stmt) -> set[str]:
    """The names that a module needs when this statement runs at import; annotations are not evaluated then."""
    parts: list[ast.expr | None] = []
    if isinstance(statement, ast.FunctionDef):
        parts += [*statement.decorator_list, *statement.args.defaults, *statement.args.kw_defaults]
    elif isinstance(statement, ast.ClassDef):
        parts += [*statement.decorator_list, *statement.bases]
    elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr):
        parts.append(statement.value)
    return {
        node.id
        for part in parts
        if part is not None
        for node in ast.walk(part)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


def _names_bound(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _empty(function: ast.FunctionDef) -> None:
    annotations = [function.returns, *(one.annotation for one in function.args.args)]
    if any(one is not None and ast.unparse(one) == "typer.Typer" for one in annotations):
        return  # makes the tree, or hangs its commands onto it
    if function.name == "main":
        function.body = ast.parse("from alikassa.cli.tree import app\napp()").body
        return
    docstring = ast.get_docstring(function, clean=False)
    function.body = [ast.Expr(ast.Constant(... if docstring is None else docstring))]
