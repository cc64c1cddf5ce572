"""A client in a process that forks: the child goes on using it, on connections of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import PAGE_ACCOUNT, PAGE_ANSWER, free_port
from https_server import HttpsServer, gives, https_server, waits

# A program with a client: the parent asks, forks, and both ask. Each line on stdout is an answer.
PROGRAM = f"""
import asyncio, os, sys, threading, time
from alikassa import AsyncClient, Client

url, ca, keys, kind, when = sys.argv[1:]
settings = dict(base_url=url, ca_bundle=ca, http2=kind.endswith("2"))
client = (AsyncClient if kind.startswith("async") else Client)({PAGE_ACCOUNT!r}, keys, **settings)

def ask():
    found = asyncio.run(client.balance()) if kind.startswith("async") else client.balance()
    os.write(1, f"{{os.getpid()}} {{found.currency}}\\n".encode())  # in one piece

if when == "after use":
    ask()
if when == "during a call":
    # Its locks are held, its connection is in use, and none of that is the child's.
    threading.Thread(target=ask).start()
    time.sleep(0.3)
child = os.fork()
ask()
ask()
if child == 0:
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


# A program whose signer is at work when it forks, and one of whose transports cannot stand a fork.
SLOW = f"""
import logging, os, sys, threading, time
from alikassa import Client, Incoming
logging.disable()

class Slow:
    blocks = True
    def sign(self, data, /):
        time.sleep(0.3)
        return b"signature"

class Canned:
    def send(self, outgoing, deadline, /): return Incoming(200, {{}}, sys.argv[1].encode())
    def close(self): pass

class Fragile(Canned):
    def after_fork(self): raise OSError

clients = [Client({PAGE_ACCOUNT!r}, Slow(), transport=kind()) for kind in (Fragile, Canned, Canned)]
threads = [threading.Thread(target=client.balance) for client in clients]
for thread in threads: thread.start()
time.sleep(0.1)
child = os.fork()
for client in clients: client.balance(timeout=2)
if child == 0:
    os._exit(7)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_signer_at_work_in_the_parent_does_not_keep_the_child() -> None:
    """The child has it sign anew; a transport that fails at the fork hinders no other client."""
    done = subprocess.run(
        [sys.executable, "-c", SLOW, PAGE_ANSWER.decode()], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stderr) == (7, "")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpsServer]:
    with https_server(tmp_path_factory.mktemp("https"), free_port()) as running:
        yield running


@pytest.mark.parametrize(
    ("kind", "when"),
    [
        ("sync-1.1", "before use"),
        ("sync-1.1", "after use"),
        ("sync-1.1", "during a call"),
        ("sync-2", "before use"),
        ("sync-2", "after use"),
        ("sync-2", "during a call"),
        ("async-1.1", "after use"),
        ("async-2", "after use"),
    ],
)
def test_a_child_opens_its_own_connections(
    archives: Callable[[str], Path], server: HttpsServer, kind: str, when: str
) -> None:
    """Forked before, after or in the middle of a call: parent and child get their answers, over connections that
    they do not share."""
    server.will(waits(0.6) if when == "during a call" else gives(), gives())
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, server.url, server.ca, archives("payout"), kind, when],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    answers = [line.split() for line in done.stdout.splitlines()]
    earlier = 0 if when == "before use" else 1
    assert [currency for _, currency in answers] == ["RUB"] * (4 + earlier)
    assert sorted([pid for pid, _ in answers].count(pid) for pid in {pid for pid, _ in answers}) == [2, 2 + earlier]
    assert len(server.asked) == 4 + earlier
    if kind.startswith("sync"):
        # One for each process, and one for the call under way on HTTP/1.1.
        assert server.connections == 2 + (kind == "sync-1.1" and when == "during a call")
