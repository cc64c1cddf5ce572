"""The sandbox: the real endpoint over true books, in a thread of this process, on a port of 127.0.0.1."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid
from concurrent.futures import Future
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, TypeVar

from alikassa.errors import ConfigurationError, InvalidInputError, NotFoundError
from alikassa.ledger.books import Books
from alikassa.ledger.model import Purpose
from alikassa.ledger.registry import Registry
from alikassa.server.balance import Errors
from alikassa.server.settings import Settings
from alikassa.server.web import url_of
from alikassa.testing.account import Merchant, SandboxAccount
from alikassa.testing.application import SandboxApplication
from alikassa.testing.connections import HttpServer
from alikassa.testing.faults import FaultList
from alikassa.testing.files import Files
from alikassa.testing.moving_clock import MovingClock
from alikassa.testing.record import Record
from alikassa.testing.tls import CA_BUNDLE, make_tls

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from datetime import datetime
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from alikassa.ledger.commands import Command
    from alikassa.ledger.database import Database
    from alikassa.ledger.model import Booked, Certificate
    from alikassa.ledger.reader import Standing
    from alikassa.testing.connections import Exchange, Request
    from alikassa.testing.faults import ActiveFault, Fault
    from alikassa.testing.files import Archive
    from alikassa.testing.record import Asked

__all__ = ["Sandbox"]

T = TypeVar("T")

# A step that takes longer than this hangs, and says so.
_STEP_SECONDS = 30.0
_LONGEST_BODY_SECONDS = 3600.0
_LAST_ANSWERS_SECONDS = 1.0


class Sandbox:
    """A provider of one's own, for tests: `with Sandbox() as sandbox:`.

    - `tls`: serve over TLS, with an authority of its own in `ca_bundle`;
    - `port`: of 127.0.0.1; 0 takes a free one;
    - `errors`: `uniform`, as production answers, or `explain`, which tells the cause of every refusal;
    - `body_seconds`: until a request's body must have arrived; then the answer is 408.

    `url` is its address, `folder` a temporary folder that goes away with it. Threads may share it, and several may
    run at once. A ConfigurationError says that the port is taken.
    """

    def __init__(
        self, *, tls: bool = False, port: int = 0, errors: str = "uniform", body_seconds: float = 10.0
    ) -> None:
        if not 0 < body_seconds < _LONGEST_BODY_SECONDS:
            raise ConfigurationError(f"body_seconds is {body_seconds!r}.", remedy="Give seconds, more than 0.")
        if errors not in tuple(Errors):
            raise ConfigurationError(f"errors is {errors!r}.", remedy=f"Write {' or '.join(Errors)}.")
        self._tls = tls
        self._port = port
        self._settings = Settings(database="", errors=Errors(errors), body_seconds=body_seconds)
        self._clock = MovingClock()
        self._faults = FaultList()
        self._record = Record()
        self._merchants: dict[uuid.UUID, Merchant] = {}
        self._accounts: dict[str, SandboxAccount] = {}
        # One change at a time: `reset` takes the books away.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._extra: list[HttpServer] = []
        # Filled by `start`.
        self._files: Files
        self._stop: asyncio.Event
        # Requests are let in; and none is being answered any more, which a reset waits for.
        self._open: asyncio.Event
        self._quiet: asyncio.Event
        self._answering = 0
        self._database: Database
        self._application: SandboxApplication
        self._books: Books
        self._registry: Registry
        self.url = ""

    # Life

    def start(self) -> Self:
        """Start it, with nothing in it; it is there when this returns."""
        if self._thread is not None:
            raise ConfigurationError("The sandbox is running already.")
        self._forget()
        started: Future[None] = Future()
        self._files = Files()
        self._thread = threading.Thread(target=self._run, args=(started,), name="alikassa-sandbox", daemon=True)
        self._thread.start()
        try:
            started.result(_STEP_SECONDS)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End it: its port is free, its thread and its folder are gone. Nothing happens when it is not running."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(self._stop.set)
        thread.join(_STEP_SECONDS)
        self._files.remove()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def reset(self) -> None:
        """Begin anew: no merchants, accounts, faults or requests, and the time is now. Archives are used again."""
        with self._lock:
            self.run(self._renew())

    @property
    def folder(self) -> Path:
        return self._files.path

    @property
    def ca_bundle(self) -> Path | None:
        """The PEM file of the authority to trust, None without TLS."""
        return self._files.path / CA_BUNDLE if self._tls else None

    @property
    def connection(self) -> dict[str, Any]:
        """What a client needs to reach it: its `base_url` and `ca_bundle`."""
        return {"base_url": self.url, "ca_bundle": self.ca_bundle}

    # Merchants and accounts

    def merchant(self, name: str = "Sandbox shop") -> Merchant:
        """A new merchant, with a payout certificate."""
        with self._lock:
            added = self.run(self.registry.add_merchant(name))
            merchant = Merchant(self, added.id, *self.certify(added.id, Purpose.PAYOUT))
            self._merchants[added.id] = merchant
        return merchant

    def account(
        self,
        currency: str = "RUB",
        *,
        id: uuid.UUID | str | None = None,  # noqa: A002 - the account's own word
        merchant: Merchant | None = None,
    ) -> SandboxAccount:
        """A new account with nothing on it; of a new merchant unless one is named. ConflictError: the id is taken."""
        wanted = None if id is None else _uuid(id)
        with self._lock:
            merchant = merchant or self.merchant()
            opened = self.run(self.registry.open_account(merchant.id, currency, wanted))
            account = SandboxAccount(self, opened.id, currency, merchant)
            self._accounts[str(opened.id)] = account
        return account

    @property
    def merchants(self) -> Sequence[Merchant]:
        with self._lock:
            return tuple(self._merchants.values())

    @property
    def accounts(self) -> Sequence[SandboxAccount]:
        with self._lock:
            return tuple(self._accounts.values())

    # Time

    def now(self) -> datetime:
        """What time it is in the sandbox, in UTC."""
        return self._clock()

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> datetime:
        """Move the clock forward: what falls due by then is released. The new time."""
        try:
            by = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        except (ValueError, OverflowError) as error:
            raise InvalidInputError(
                f"The clock cannot be moved by that: {error}.", remedy="Give numbers, a hundred years at most."
            ) from error
        return self._clock.advance(by)

    # Faults, and what was asked

    def fault(
        self, fault: Fault, *, times: int | None = None, account: SandboxAccount | uuid.UUID | str | None = None
    ) -> ActiveFault:
        """From now on do this wrong: for the next `times` requests, or until it is cleared; for one account, or all.

        Faults come in the order in which they were set. A `with` clears the fault at its end.
        """
        wanted = account.id if isinstance(account, SandboxAccount) else account
        return self._faults.add(fault, times, None if wanted is None else _uuid(wanted))

    @property
    def faults(self) -> Sequence[ActiveFault]:
        """The faults that are set, the next one first."""
        return self._faults.active()

    def clear_faults(self) -> None:
        self._faults.clear()

    @property
    def requests(self) -> Sequence[Asked]:
        """The last 1,000 requests, the oldest first. `Sign` is not kept."""
        return self._record.all()

    def clear_requests(self) -> None:
        self._record.clear()

    # For what builds on it

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        """Run this in the sandbox's own event loop, and wait for it."""
        if self._thread is threading.current_thread():
            step.close()
            raise _not_running()
        with self._lock:
            loop = self._loop
            if loop is None:
                step.close()
                raise _not_running()
            return asyncio.run_coroutine_threadsafe(step, loop).result(_STEP_SECONDS)

    @property
    def registry(self) -> Registry:
        if self._loop is None:
            raise _not_running()
        return self._registry

    def certify(self, merchant: uuid.UUID, purpose: Purpose) -> tuple[Archive, Certificate]:
        """A new archive, registered for that merchant."""
        with self._lock:
            archive = self._files.archive()
            return archive, self.run(self.registry.add_certificate(merchant, purpose, archive.key))

    async def book(self, command: Command) -> Booked:
        return await self._books.book(command)

    async def find(self, account: str) -> Standing:
        found = await self._application.reader.find(account)
        if found is None:
            raise NotFoundError(
                f"There is no account {account} in the sandbox.", remedy="A reset takes all accounts away."
            )
        return found

    async def serve_beside(self, application: Callable[[Request, Exchange], Any], port: int) -> int:
        """Serve something else on another port of 127.0.0.1, until the sandbox ends. The port."""
        server = HttpServer(application)
        found = await _listen(server, port, None)
        self._extra.append(server)
        return found

    # The thread

    def _run(self, started: Future[None]) -> None:
        try:
            asyncio.run(self._live(started))
        except BaseException as error:  # whoever starts it is told, whatever it is
            self._loop = None
            if started.done():
                raise
            started.set_exception(error)

    async def _live(self, started: Future[None]) -> None:
        self._stop, self._open, self._quiet = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._open.set()
        self._loop = asyncio.get_running_loop()
        tls = make_tls(self.folder) if self._tls else None
        server = HttpServer(self._answer)
        await self._open_books()
        try:
            port = await _listen(server, self._port, tls)
            self.url = url_of("127.0.0.1", port, tls=self._tls)
            started.set_result(None)
            await self._stop.wait()
            for one in (server, *self._extra):
                await one.stop()
            self._extra.clear()
        finally:
            await self._close_books()

    async def _answer(self, request: Request, exchange: Exchange) -> None:
        await self._open.wait()
        self._answering += 1
        try:
            await self._application.answer(request, exchange)
        finally:
            self._answering -= 1
            if not self._answering:
                self._quiet.set()

    async def _open_books(self) -> None:
        self._database = await self._files.database()
        self._books = Books(self._database, self._clock)
        self._registry = Registry(self._database, self._clock)
        self._application = SandboxApplication(
            self._settings, self._database, self._clock, self._faults, self._record, self._keys_of
        )

    async def _close_books(self) -> None:
        await self._application.stop()  # and the database with it

    async def _renew(self) -> None:
        """Who is being answered keeps the old books, unless a body stalls; who comes now waits for the new ones."""
        self._open.clear()
        self._quiet.clear()
        try:
            if self._answering:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._quiet.wait(), _LAST_ANSWERS_SECONDS)
            await self._close_books()
            self._files.forget()
            self._forget()
            await self._open_books()
        finally:
            self._open.set()

    def _forget(self) -> None:
        self._merchants.clear()
        self._accounts.clear()
        self._faults.clear()
        self._record.clear()
        self._clock.reset()

    def _keys_of(self, account: str) -> list[RSAPublicKey]:
        found = self._accounts.get(account)
        # All at once: a test's thread may add one meanwhile.
        return [archive.key.key for archive in tuple(found.merchant.archives.values())] if found is not None else []


def _uuid(text: uuid.UUID | str) -> uuid.UUID:
    try:
        return uuid.UUID(str(text))
    except ValueError as error:
        raise InvalidInputError(
            f"{str(text)[:64]!r} is no uuid.", remedy="Write 8-4-4-4-12 hexadecimal digits."
        ) from error


def _not_running() -> ConfigurationError:
    return ConfigurationError("The sandbox is not running.", remedy="Use it inside: with Sandbox() as sandbox:")


async def _listen(server: HttpServer, port: int, tls: Any) -> int:
    try:
        return await server.start(port, tls)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot listen on 127.0.0.1:{port}: {error.strerror}.",
            remedy="See what holds the port (ss -ltnp), or take another; 0 takes a free one.",
        ) from error
