"""`alikassa watch`: all accounts, live."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alikassa.cli.output import message, print_json
from alikassa.errors import ConfigurationError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from datetime import timedelta

    from alikassa.monitor.history import History
    from alikassa.monitor.listener import Listener
    from alikassa.monitor.rules import Rules
    from alikassa.monitor.screen import Board
    from alikassa.monitor.snapshots import FailureKind, Snapshot
    from alikassa.profiles import Profile

__all__ = [
    "EveryOption",
    "HistoryOption",
    "KeepOption",
    "ProfilesArgument",
    "add_to",
    "checked_rules",
    "chosen_profiles",
    "recall",
    "run",
    "span",
]

ProfilesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[PROFILE]...", help="Profiles by name. [default: all]")
]
EveryOption = Annotated[str, typer.Option("--every", metavar="SPAN", help="Time between two looks: 30s, 5m, 1h.")]
HistoryOption = Annotated[
    Path | None,
    typer.Option(
        "--history",
        envvar="ALIKASSA_HISTORY",
        metavar="FILE",
        help="The file of the history. [default: history.db in the user's data folder]",
    ),
]
KeepOption = Annotated[str, typer.Option("--keep", metavar="SPAN", help="How long the history keeps a snapshot.")]


def add_to(app: typer.Typer) -> None:
    app.command(
        epilog="Examples: `alikassa watch`, `alikassa watch shop --every 5m --rules rules.toml`,"
        " `alikassa watch --once --ndjson`"
    )(watch)


def watch(
    profiles: ProfilesArgument = None,
    every: EveryOption = "60s",
    ndjson: Annotated[bool, typer.Option("--ndjson", help="One line of JSON a look, on stdout.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Look once at each account, and end.")] = False,
    rules: Annotated[
        Path | None,
        typer.Option("--rules", metavar="FILE", help="Alert rules; alerts are delivered."),
    ] = None,
    history: HistoryOption = None,
    keep: KeepOption = "400d",
) -> None:
    """Look at the profiles' accounts again and again, keep what is seen, and raise alerts.

    Ctrl-C ends it, with exit code 130. With --once, a look that brought no answer makes the exit code.
    """
    from alikassa.monitor.history import History, default_history
    from alikassa.monitor.monitor import run_monitor
    from alikassa.monitor.screen import Board

    if not (ndjson or once or sys.stdout.isatty()):
        raise InvalidInputError("The live table needs a terminal.", remedy="Give --ndjson, or --once for one table.")
    known = chosen_profiles(profiles)
    pause = span(every)
    board = Board(list(known), pause)
    listener = _lines() if ndjson else _drawn(board, live=not once)
    failed: list[FailureKind] = []
    if once:
        listener = _noting(listener, failed)
    kept = span(keep)
    loaded = None if rules is None else checked_rules(rules, kept)
    with History(history or default_history()) as opened:
        recall(board, opened, known, loaded)
        watching = run_monitor(known, pause, kept, opened, loaded, listener, once=once)
        if ndjson or once:
            run(watching)
        else:
            run(_live(board, watching))
    if once and not ndjson:
        _print(board)
    if failed:
        sys.exit(min(_EXIT_CODES.get(kind.value, 6) for kind in failed))


def recall(board: Board, history: History, profiles: Mapping[str, Profile], rules: Rules | None) -> None:
    """Draw what was seen before this start, with its age, and the alerts that are on: they are not told again."""
    from alikassa.monitor.screen import KEPT

    for name, profile in profiles.items():
        for snapshot in history.last(name, profile.account, KEPT):
            board.tell(snapshot)
    for rule, name, since in history.alerts_on():
        if rules is not None and name in profiles and rule in [one.name for one in rules.of(name)]:
            board.note(f"alikassa {name}: {rule} began", since)


#: By the kind of failure; any other is 6.
_EXIT_CODES = {"key": 3, "refused": 4, "network": 5, "deadline": 5}


def _noting(listener: Listener, failed: list[FailureKind]) -> Listener:
    """The same listener, with the failures that it is told of in a list."""
    from dataclasses import replace

    def note(snapshot: Snapshot) -> None:
        if snapshot.failure is not None:
            failed.append(snapshot.failure.kind)
        listener.snapshot(snapshot)

    return replace(listener, snapshot=note)


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run it in an event loop of its own. Of several errors at a time the first is told."""
    import asyncio

    try:
        asyncio.run(work)
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


def span(text: str) -> timedelta:
    """A span of time from the command line; InvalidInputError for what is none."""
    from alikassa.monitor.durations import parse_duration

    return parse_duration(text)


def chosen_profiles(names: list[str] | None) -> dict[str, Profile]:
    """The profiles of these names, each once; all when none is named. ConfigurationError when there are none."""
    from alikassa.profiles import load_profiles

    known = load_profiles()
    found = {name: known.find(name) for name in names or known.by_name}
    if not found:
        raise ConfigurationError(
            f"There is no profile in {known.path}, so there is nothing to watch.",
            remedy="Make one: alikassa profile add NAME, or write it into that file (docs/monitor.md).",
        )
    return found


def checked_rules(path: Path, keep: timedelta) -> Rules:
    """The rules in a file, each of which can fire; ConfigurationError for others."""
    from alikassa.monitor.rules import load_rules
    from alikassa.profiles import load_profiles

    rules = load_rules(path)
    rules.check(load_profiles().by_name, keep)
    return rules


def _lines() -> Listener:
    from alikassa.monitor.delivery import title
    from alikassa.monitor.listener import Listener
    from alikassa.monitor.records import record

    def line(snapshot: Snapshot) -> None:
        print_json(record(snapshot))
        sys.stdout.flush()

    return Listener(line, lambda alert: message(f"{title(alert)}: {alert.text}"), message)


def _drawn(board: Board, *, live: bool) -> Listener:
    from alikassa import clock
    from alikassa.monitor.delivery import title
    from alikassa.monitor.listener import Listener

    def say(text: str) -> None:
        if live:
            board.note(text, clock.now())
        else:
            message(text)

    return Listener(board.tell, lambda alert: say(f"{title(alert)}: {alert.text}"), say)


async def _live(board: Board, watching: Coroutine[Any, Any, None]) -> None:
    """Draw while watching, twice a second: ages grow, also when nothing arrives."""
    import asyncio

    from rich.console import Console
    from rich.live import Live

    from alikassa import clock

    console = Console(markup=False, highlight=False)
    work = asyncio.ensure_future(watching)
    try:
        with Live(console=console, auto_refresh=False, transient=False, vertical_overflow="crop") as live:
            while not work.done():
                live.update(board.draw(clock.now(), *console.size), refresh=True)
                await asyncio.wait([work], timeout=0.5)
        await work
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


def _print(board: Board) -> None:
    from rich.console import Console

    from alikassa import clock

    console = Console(markup=False, highlight=False)
    width = console.width if console.is_terminal else 200
    Console(markup=False, highlight=False, width=width).print(board.draw(clock.now(), width))
