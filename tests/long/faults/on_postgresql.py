"""The faults of a PostgreSQL server: each is a context that begins and ends one."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
from standby_servers import Node, make_first, make_second

from long.faults.made import Place, full, small_disk
from long.faults.proxy import Line, Proxy
from operator_server import Served

__all__ = ["postgresql"]

_END_BACKENDS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'alikassa%' AND random() < 0.5"
)


@contextmanager
def postgresql(folder: Path) -> Iterator[Place]:
    """A server of its own in `folder`, whose name ends with the fault."""
    # Its user is not ours.
    folder.chmod(0o755)
    first = asyncio.run(make_first(folder))
    nodes, line = [first], Proxy(f"{folder}/.s.PGSQL.{first.port}")
    faults = _Faults(nodes, line)
    try:
        if folder.name.endswith("switched"):
            nodes.append(asyncio.run(make_second(first, synchronous=True)))
            faults.ask("CREATE DATABASE books")
            ports = ",".join(str(node.port) for node in nodes)
            both = f"postgresql://postgres@/books?host={folder},{folder}&port={ports}"
            yield Place(both, {"switched": faults.switched}, both, faults.version())
        elif folder.name.endswith("full"):
            with small_disk(folder / "disk") as disk:
                if first.user is not None:
                    shutil.chown(disk, first.user)
                faults.ask(f"CREATE TABLESPACE small LOCATION '{disk}'")
                faults.ask("CREATE DATABASE books TABLESPACE small")
                yield faults.place(folder, lambda _: full(disk))
                first.kill(*asyncio.run(first.processes()))
        else:
            faults.ask("CREATE DATABASE books")
            yield faults.place(folder)
    finally:
        line.close()
        for node in nodes:
            if node.process is not None:
                node.kill(*asyncio.run(node.processes()))


class _Faults:
    def __init__(self, nodes: list[Node], line: Proxy) -> None:
        self._nodes = nodes
        self._line = line

    def place(self, folder: Path, filled: Any = None) -> Place:
        url = f"postgresql://postgres@127.0.0.1:{self._line.port}/books"
        faults = {
            "slow": self.slow,
            "silent": self.silent,
            "away": self.away,
            "read_only": self.read_only,
            "full": filled,
            "killed": self.killed,
        }
        return Place(
            url,
            faults,
            f"postgresql://postgres@/books?host={folder}&port={self._nodes[0].port}",
            self.version(),
            lambda: self._line.cut_after_commit,
        )

    def version(self) -> str:
        return f"PostgreSQL {self.ask('SHOW server_version')[0][0]}"

    def ask(self, statement: str) -> list[Any]:
        return asyncio.run(self._nodes[0].ask("postgres", statement))

    def slow(self, _: Served) -> AbstractContextManager[None]:
        return self._like(Line.SLOW)

    def silent(self, _: Served) -> AbstractContextManager[None]:
        return self._like(Line.FALLING_SILENT)

    @contextmanager
    def _like(self, kind: Line) -> Iterator[None]:
        self._line.become(kind)
        try:
            yield
        finally:
            self._line.become(Line.GOOD)

    @contextmanager
    def away(self, _: Served) -> Iterator[None]:
        first = self._nodes[0]
        first.run("pg_ctl", "-D", first.data, "-m", "immediate", "stop")
        assert first.process is not None
        first.process.wait()
        try:
            yield
        finally:
            asyncio.run(first.start())

    @contextmanager
    def read_only(self, _: Served) -> Iterator[None]:
        self.ask("ALTER SYSTEM SET default_transaction_read_only = on")
        self.ask("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            self.ask("ALTER SYSTEM RESET default_transaction_read_only")
            self.ask("SELECT pg_reload_conf()")

    @contextmanager
    def killed(self, _: Served) -> Iterator[None]:
        """Connections are cut in commits, and backends ended whatever they do."""
        over = threading.Event()

        def end_backends() -> None:
            while not over.wait(0.4):
                with suppress(OSError, asyncpg.PostgresError):
                    self.ask(_END_BACKENDS)

        ending = threading.Thread(target=end_backends)
        ending.start()
        try:
            with self._like(Line.CUT):
                yield
        finally:
            over.set()
            ending.join()

    @contextmanager
    def switched(self, _: Served) -> Iterator[None]:
        """The primary is killed, and its synchronous standby promoted."""
        first, second = self._nodes
        first.kill(*asyncio.run(first.processes()))
        yield
        second.promote()
