"""What docs/reliability.md promises of each fault: what is answered, who is ready, how long anybody waits."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LASTS", "PROMISED", "SECONDS", "SLACK_SECONDS", "Promised"]

#: How long a fault lasts at least, and those that last longer: than a command waits for a lock, three times over; than
#: it takes to start a process anew; than a statement of the writer's may take.
SECONDS = 5.0
LASTS = {
    ("sqlite", "slow"): 16.0,
    ("sqlite", "read_only"): 8.0,
    ("postgresql", "slow"): 16.0,
    ("postgresql", "silent"): 50.0,
}
#: What a busy machine may add.
SLACK_SECONDS = 0.5

#: In seconds, as the page says: a balance read, another program's lock on SQLite, the writer's statement; a connection
#: to PostgreSQL, and giving up one that does not answer.
_READ, _LOCK, _STATEMENT, _CONNECTION, _GIVING_UP = 3.0, 5.0, 30.0, 3.0, 2.0

_WELL = frozenset({"200"})
_AWAY = frozenset({"503"})
_EITHER = _WELL | _AWAY
#: While a process is started anew nobody takes connections, and what was under way is lost.
_STARTING = frozenset({"no answer", "no connection"})


@dataclass(frozen=True)
class Promised:
    """While the fault is there. `reads` and `posts` are what requests are answered, and so what whoever asks whether
    they would be is told: /readyz on the merchants' port, /operator/readyz on the operator's."""

    reads: frozenset[str]
    posts: frozenset[str]
    #: What the metrics say of the database.
    up: frozenset[str] = frozenset({"1"})
    #: Seconds that a read, and a command, take at most.
    longest_read: float = _READ
    longest_post: float = _CONNECTION
    #: Batches fail: commands come as far as the books.
    batches_fail: bool = False
    #: Processes are killed: they are started anew, and their last second is not counted.
    kills: bool = False
    #: Commands are under way just then, and never answered.
    unanswered: bool = False
    #: Connections are cut when their commit is done.
    cut: bool = False


_DOWN = frozenset({"0"})

PROMISED = {
    # A command that comes while a batch waits for the lock waits for its own batch, too. Whoever reads waits for none.
    ("sqlite", "slow"): Promised(_WELL, _AWAY, longest_read=0.0, longest_post=2 * _LOCK, batches_fail=True),
    ("sqlite", "away"): Promised(_AWAY, _AWAY, up=_DOWN),
    ("sqlite", "read_only"): Promised(
        _WELL | _STARTING, _AWAY | _STARTING, up=frozenset({"1", "none"}), batches_fail=True, kills=True
    ),
    ("sqlite", "full"): Promised(_WELL, _AWAY, batches_fail=True),
    ("sqlite", "killed"): Promised(
        _WELL | _STARTING, _WELL | _STARTING, up=frozenset({"1", "none"}), kills=True, unanswered=True
    ),
    ("sqlite", "switched"): Promised(_WELL, _WELL),
    # Whoever scrapes waits for two seconds, and an answer that comes after that is the next one's. A command is some
    # ten statements, and as many again behind a batch that is under way.
    ("postgresql", "slow"): Promised(_WELL, _WELL, up=frozenset({"0", "1"}), longest_post=10.0),
    # A batch asks for another connection when its own does not answer, and the one that waits behind it for two.
    ("postgresql", "silent"): Promised(
        _AWAY, _AWAY, up=_DOWN, longest_post=_STATEMENT + _GIVING_UP + 3 * _CONNECTION, batches_fail=True
    ),
    ("postgresql", "away"): Promised(_AWAY, _AWAY, up=_DOWN),
    ("postgresql", "read_only"): Promised(_WELL, _AWAY, batches_fail=True),
    ("postgresql", "full"): Promised(_WELL, _AWAY, batches_fail=True),
    # One connection is cut and the next is not.
    ("postgresql", "killed"): Promised(_EITHER, _EITHER, up=frozenset({"0", "1"}), batches_fail=True, cut=True),
    ("postgresql", "switched"): Promised(_AWAY, _AWAY, up=_DOWN),
}
