"""Which servers may be asked for the four numbers, and how old those may be."""

from __future__ import annotations

from dataclasses import dataclass, field

from alikassa.errors import ConfigurationError
from alikassa.ledger.address import Address

__all__ = ["LEAST_STALENESS", "MOST_REPLICAS", "ReplicaSettings"]

#: Each takes a connection of every worker.
MOST_REPLICAS = 4
#: Seconds. Less would hardly ever be met, and beat at the primary all the time.
LEAST_STALENESS = 0.5


@dataclass(frozen=True)
class ReplicaSettings:
    """`urls` of servers that follow the primary, each of one or of several hosts. `staleness` is in seconds."""

    urls: tuple[str, ...] = field(default=(), repr=False)
    staleness: float = 1.0

    def check(self, database: str) -> None:
        """ConfigurationError when these cannot be replicas of the database at this URL."""
        if not self.urls:
            return
        if len(self.urls) > MOST_REPLICAS:
            raise ConfigurationError(
                f"{len(self.urls)} replicas are too many.",
                remedy=f"Give --replica up to {MOST_REPLICAS} times, or one URL that names several hosts.",
            )
        if self.staleness < LEAST_STALENESS:
            raise ConfigurationError(
                f"Replicas cannot be kept within {self.staleness:g} s.",
                remedy=f"Give --replica-staleness of {LEAST_STALENESS:g} s or more.",
            )
        if any(Address.parse(url).sqlite_file is not None for url in (database, *self.urls)):
            raise ConfigurationError(
                "SQLite has no replicas.", remedy="Leave out --replica, or keep the books in PostgreSQL."
            )
