"""Databases that are missing, locked, of another version, or not ours, as the command line meets them."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import pytest

from command_line import CONFIGURATION, NETWORK, SERVER, USAGE, call, complaint, printed
from conftest import PAGE_ACCOUNT, Shop, free_port

ADJUSTMENT = (
    "account",
    "adjust",
    PAGE_ACCOUNT,
    "--bucket",
    "hold",
    "--amount",
    "1",
    "--reference",
    "r",
    "--reason",
    "x",
)
COMMANDS = {"account list": ("account", "list"), "merchant add": ("merchant", "add", "Shop"), "serve": ("serve",)}


def file_of(database: str) -> Path:
    return Path(database.removeprefix("sqlite:///"))


def contents(database: str) -> list[str]:
    """All that a SQLite database holds."""
    connection = sqlite3.connect(file_of(database))
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def execute(database: str, statement: str) -> None:
    connection = sqlite3.connect(file_of(database))
    connection.execute(statement)
    connection.commit()
    connection.close()


# Missing


@pytest.mark.parametrize("command", [("account", "list"), ADJUSTMENT], ids=["account list", "account adjust"])
def test_missing_database_is_not_made_by_the_way(sqlite_url: str, command: tuple[str, ...]) -> None:
    """A command that needs books says which database is not there, and does not leave an empty one behind."""
    assert sqlite_url in complaint(CONFIGURATION, *command, "--database", sqlite_url)
    assert not file_of(sqlite_url).exists()


@pytest.mark.parametrize("command", [pytest.param(command, id=name) for name, command in COMMANDS.items()])
def test_missing_folder_is_said(tmp_path: Path, command: tuple[str, ...]) -> None:
    """A database in a folder that does not exist is not made: the message repeats its URL and speaks of the folder."""
    url = f"sqlite:///{tmp_path / 'nowhere' / 'books.db'}"
    said = complaint(CONFIGURATION, *command, "--database", url)
    assert url in said
    assert "folder" in said


def test_empty_database_is_given_its_tables(sqlite_url: str) -> None:
    """`merchant add` makes books of an empty file."""
    file_of(sqlite_url).touch()
    printed("merchant", "add", "Shop", "--database", sqlite_url)
    assert printed("account", "list", "--database", sqlite_url) == []


@pytest.mark.parametrize(
    "url", ["", "nonsense", "books.db", "sqlite://", "sqlite:///", "mysql://localhost/books", "http://localhost/"]
)
def test_url_that_is_not_understood_is_refused(url: str) -> None:
    """A URL that names no database is a mistake of usage or configuration, and the message shows how one is written."""
    done = call("account", "list", "--database", url)
    assert done.returncode in (USAGE, CONFIGURATION)
    assert "sqlite:///" in done.stderr


def test_unreachable_postgresql_is_said_without_the_password() -> None:
    """A PostgreSQL that does not answer is named by host and port, and the URL's password is not shown."""
    port = free_port()
    done = call("account", "list", "--database", f"postgresql://shop:hunter2@127.0.0.1:{port}/books")
    assert done.returncode in (CONFIGURATION, NETWORK, SERVER)
    assert f"127.0.0.1:{port}" in done.stderr
    assert "hunter2" not in done.stderr


# Locked


def test_locked_database_is_said(sqlite_shop: Shop) -> None:
    """While another program holds the database, an adjustment gives up after some seconds and says why."""
    connection = sqlite3.connect(file_of(sqlite_shop.database), isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        said = complaint(SERVER, *ADJUSTMENT, "--database", sqlite_shop.database)
    finally:
        connection.close()
    assert "locked" in said


def test_short_lock_is_waited_for(sqlite_shop: Shop) -> None:
    """A lock that is given back soon costs an adjustment nothing but the wait."""
    connection = sqlite3.connect(file_of(sqlite_shop.database), isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.5, connection.close)
    release.start()
    started = time.monotonic()
    done = call(*ADJUSTMENT, "--database", sqlite_shop.database)
    waited = time.monotonic() - started
    release.join()
    assert done.returncode == 0
    assert waited >= 0.4


def test_locked_database_can_be_read(sqlite_shop: Shop) -> None:
    """A program that writes does not keep others from reading."""
    connection = sqlite3.connect(file_of(sqlite_shop.database), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        (listed,) = printed("account", "list", "--database", sqlite_shop.database)
    finally:
        connection.close()
    assert listed["balance"] == "93.84000000"


# Of another version


@pytest.mark.parametrize("command", [pytest.param(command, id=name) for name, command in COMMANDS.items()])
@pytest.mark.parametrize("revision", ["0000", "9999"])
def test_database_of_an_unknown_version_is_refused(sqlite_shop: Shop, command: tuple[str, ...], revision: str) -> None:
    """Books of a version that is not known are not touched: exit 3, and the message names their version."""
    execute(sqlite_shop.database, f"UPDATE alembic_version SET version_num = '{revision}'")
    before = contents(sqlite_shop.database)
    assert revision in complaint(CONFIGURATION, *command, "--database", sqlite_shop.database)
    assert contents(sqlite_shop.database) == before


@pytest.mark.parametrize("command", [pytest.param(command, id=name) for name, command in COMMANDS.items()])
def test_older_database_is_refused_with_the_command_to_run(
    sqlite_shop: Shop, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Books of an older version are not migrated by the way: exit 3, and the message gives the command that does it."""
    monkeypatch.setattr("alikassa.ledger.database.REVISION", "9999")
    said = complaint(CONFIGURATION, *command, "--database", sqlite_shop.database)
    assert "alikassa database migrate" in said


def test_unfinished_database_is_not_called_empty(sqlite_shop: Shop) -> None:
    """Books whose version is lost are not said to be empty: what that message advises cannot work."""
    execute(sqlite_shop.database, "DELETE FROM alembic_version")
    said = complaint(CONFIGURATION, "account", "list", "--database", sqlite_shop.database)
    assert "empty" not in said


# Not ours


@pytest.mark.parametrize("command", [pytest.param(command, id=name) for name, command in COMMANDS.items()])
def test_file_that_is_no_database_is_refused(sqlite_url: str, command: tuple[str, ...]) -> None:
    """A file of another kind is said to be no database, and is left as it is."""
    text = b"Dear diary, " * 1000
    file_of(sqlite_url).write_bytes(text)
    said = complaint(CONFIGURATION, *command, "--database", sqlite_url)
    assert "not a SQLite database" in said
    assert file_of(sqlite_url).read_bytes() == text


@pytest.mark.parametrize("command", [pytest.param(command, id=name) for name, command in COMMANDS.items()])
def test_database_of_another_program_is_refused(sqlite_url: str, command: tuple[str, ...]) -> None:
    """A database with tables of another program is left as it is, and one of these tables is named."""
    execute(sqlite_url, "CREATE TABLE bookmarks (url TEXT)")
    before = contents(sqlite_url)
    assert "bookmarks" in complaint(CONFIGURATION, *command, "--database", sqlite_url)
    assert contents(sqlite_url) == before


def test_folder_in_place_of_the_database_is_refused(tmp_path: Path) -> None:
    """A path that is a folder is no database, and is repeated; and however often one tries, no traceback shows."""
    url = f"sqlite:///{tmp_path}"
    for _ in range(20):
        assert url in complaint(CONFIGURATION, "account", "list", "--database", url)
