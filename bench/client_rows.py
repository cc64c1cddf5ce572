"""Client calls a second over HTTPS: ours beside a program in the manner of the page's."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trustme
from processes import BENCH, clean_environment, free_port, progress, running, serve_command
from results import Row, Section, Target

from alikassa.protocol import archive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workload import Shop

__all__ = ["ACCOUNTS", "Options", "measure_clients", "serving_over_https"]

_TARGET = Target(15)
_TASKS = 16
_OURS = "alikassa.Client"
_PAGE = "like the page's program"
_TOGETHER = f"alikassa.AsyncClient, {_TASKS} tasks"
_CALLS = 1000
ACCOUNTS = 50
_IN_ONE_GO = f"{_CALLS:,} balances of {ACCOUNTS} accounts in one go"
_PROGRAMS = {
    _OURS: ("our_client.py",),
    _PAGE: ("page_client.py",),
    _TOGETHER: ("our_client.py", "--tasks", str(_TASKS)),
    _IN_ONE_GO: ("our_client.py", "--calls", str(_CALLS)),
}


@dataclass(frozen=True)
class Options:
    """How the client programs reach the server."""

    base_url: str
    account: str
    keys: str
    ca: str

    @property
    def arguments(self) -> list[str]:
        return ["--base-url", self.base_url, "--account", self.account, "--keys", self.keys, "--ca", self.ca]


@contextmanager
def serving_over_https(folder: Path, database: str, shop: Shop) -> Iterator[Options]:
    """Our server over HTTPS, and the archive of the shop beside it in `folder`."""
    archive.write(folder / "payout", shop.payout)
    ca, certificate, key = _make_certificate(folder)
    port = free_port()
    command = serve_command(database, port, "--tls-cert", str(certificate), "--tls-key", str(key))
    with running("alikassa over HTTPS", command, port, folder / f"server-{port}.log"):
        yield Options(f"https://127.0.0.1:{port}", str(shop.stands[0].account), str(folder / "payout"), str(ca))


def measure_clients(options: Options, shop: Shop, *, rounds: int, seconds: int) -> Section:
    """Each round starts each program anew; what it takes to start is not counted."""
    samples: dict[str, list[float]] = {name: [] for name in _PROGRAMS}
    accounts = ",".join(str(stand.account) for stand in shop.stands)
    for number in range(rounds):
        for name, program in _PROGRAMS.items():
            many = ["--accounts", accounts] if name == _IN_ONE_GO else ["--seconds", str(seconds)]
            rate = _run([*program, *options.arguments, *many], seconds, shop.stands[0].balance)
            samples[name].append(rate)
            progress(f"  round {number + 1}/{rounds}  {name:<44} {rate:>8,.1f}/s")
    ours, page, together, in_one_go = (Row(name, found) for name, found in samples.items())
    ours.comparisons = (ours.over(page, _TARGET),)
    together.comparisons = (together.over(page),)
    in_one_go.comparisons = (in_one_go.over(page),)
    return Section("Client calls/s (HTTPS, SQLite behind it)", (ours, page, together, in_one_go))


def _make_certificate(folder: Path) -> tuple[Path, Path, Path]:
    ca = trustme.CA()
    identity = ca.issue_cert("127.0.0.1")
    files = folder / "ca.pem", folder / "server.pem", folder / "server.key"
    ca.cert_pem.write_to_path(str(files[0]))
    identity.cert_chain_pems[0].write_to_path(str(files[1]))
    identity.private_key_pem.write_to_path(str(files[2]))
    return files


def _run(program: list[str], seconds: int, balance: str) -> float:
    done = subprocess.run(
        [sys.executable, str(BENCH / program[0]), *program[1:]],
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
        env=clean_environment(),
    )
    if done.returncode != 0:
        raise RuntimeError(f"{program[0]} failed:\n{done.stderr}")
    told = json.loads(done.stdout)
    if told["balance"] != balance:
        raise RuntimeError(f"{program[0]} was told {told['balance']}, and the balance is {balance}")
    return float(told["calls"]) / float(told["seconds"])
