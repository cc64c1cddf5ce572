"""Balance requests a second: our server, the bare one, the plain one, round after round."""

from __future__ import annotations

import json
import random
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engines import ENGINES
from processes import BENCH, ask, free_port, progress, running, running_aside, serve_command
from results import Row, Section, Target
from workload import BODY, Held

if TYPE_CHECKING:
    from pathlib import Path

    from engines import Stores
    from load import Load
    from workload import Shop

__all__ = ["measure_servers"]

_OF_BARE = {"SQLite": Target(0.5), "PostgreSQL": Target(0.4)}
_OF_PLAIN = Target(12)
_BARE = "bare hello"
_BARE_BODY = "bare hello, body read"
_CHECKED = 20
_HEADINGS = {
    Held.NOTHING: "1,000 accounts",
    Held.WAITING: "1,000,000 entries, 100,000 open lots",
    Held.DUE: "the same, all lots due and unswept",
}


@dataclass(frozen=True)
class Contender:
    """A server of a run."""

    name: str
    command: list[str]
    port: int
    answers: bool = True


def measure_servers(
    folder: Path,
    stores: Stores,
    shops: list[Shop],
    load: Load,
    facts: dict[str, str],
    *,
    held: Held,
    rounds: int,
    seconds: int,
    booked: int = 0,
) -> Section:
    """All servers run; one at a time is under load. An idle one costs nothing.

    With `booked`, so many payments a second are booked on each engine meanwhile, and nothing is judged; how many it
    really were is told in `facts`.
    """
    contenders = _contenders(stores)
    if held is not Held.NOTHING:
        # What they do does not depend on our books.
        contenders = [one for one in contenders if one.name != _BARE_BODY and not one.name.startswith("plain")]
    samples: dict[str, list[float]] = {one.name: [] for one in contenders}
    with ExitStack() as stack:
        for one in contenders:
            stack.enter_context(running(one.name, one.command, one.port, folder / f"server-{one.port}.log"))
        for one in contenders:
            if one.answers:
                _check(one, shops, held)
            load.put_on(one.port, min(seconds, 2))
        if booked:
            for engine, url in stores.ours.items():
                command = [sys.executable, str(BENCH / "book_steadily.py"), url, "--rate", str(booked)]
                stack.enter_context(running_aside(command, folder / f"steady-{engine}.log"))
        for number in range(rounds):
            for one in contenders:
                found = load.put_on(one.port, seconds)
                samples[one.name].append(found.rate)
                progress(
                    f"  round {number + 1}/{rounds}  {one.name:<28} {found.rate:>8,.0f}/s"
                    f"  half within {found.p50_ms:.2f} ms, 99% within {found.p99_ms:.2f} ms"
                )
    if booked:
        each = {engine: float((folder / f"steady-{engine}.log").read_text().split()[-1]) for engine in ENGINES}
        facts["Booked meanwhile"] = ", ".join(f"{engine} {rate:.1f} payments/s" for engine, rate in each.items())
    heading = f"{booked} payments/s booked meanwhile" if booked else _HEADINGS[held]
    return Section(f"Balance requests/s ({heading})", _compare(samples, judged=load.is_fast and not booked))


def _contenders(stores: Stores) -> list[Contender]:
    def script(name: str, file: str, *options: str, answers: bool = True) -> Contender:
        port = free_port()
        return Contender(name, [sys.executable, str(BENCH / file), "--port", str(port), *options], port, answers)

    found = []
    for engine in ENGINES:
        port = free_port()
        found.append(Contender(_ours(engine), serve_command(stores.ours[engine], port), port))
    found.append(script(_BARE, "bare_server.py", answers=False))
    found.append(script(_BARE_BODY, "bare_server.py", "--read-body", answers=False))
    found += [script(_plain(engine), "plain_server.py", "--database", stores.plain[engine]) for engine in ENGINES]
    return found


def _ours(engine: str) -> str:
    return f"alikassa, {engine}"


def _plain(engine: str) -> str:
    return f"plain FastAPI, {engine}"


def _check(one: Contender, shops: list[Shop], held: Held) -> None:
    """The right answer for a sample of accounts, and a refusal for a signature by another merchant."""
    for _ in range(_CHECKED):
        shop, other = random.sample(shops, 2)
        stand = random.choice(shop.stands)  # noqa: S311 - nobody guards against it
        headers = {"Content-Type": "application/json", "Account": str(stand.account)}
        status, body = ask(one.port, "/v1/account/balance", headers | {"Sign": shop.sign}, BODY)
        if status != 200 or json.loads(body) != json.loads(stand.answer(held)):
            raise RuntimeError(f"{one.name} answers wrongly: {status} {body!r}, and not {stand.answer(held)!r}")
        status, _ = ask(one.port, "/v1/account/balance", headers | {"Sign": other.sign}, BODY)
        if status != 400:
            raise RuntimeError(f"{one.name} answers {status} to another merchant's signature")


def _compare(samples: dict[str, list[float]], *, judged: bool) -> tuple[Row, ...]:
    rows = {name: Row(name, found) for name, found in samples.items()}
    for engine in ENGINES:
        ours = rows[_ours(engine)]
        ours.comparisons = (ours.over(rows[_BARE], _OF_BARE[engine] if judged else None),)
        if _BARE_BODY in rows:
            ours.comparisons += (ours.over(rows[_BARE_BODY]), ours.over(rows[_plain(engine)], _OF_PLAIN))
    return tuple(rows.values())
