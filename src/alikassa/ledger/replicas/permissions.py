"""Who may ask, read at the primary for every joined read: a revocation holds from the next request on.

What was read is kept for as long as the primary's own count of changes stays the same, so that this is mostly a read
of one row, however many accounts are asked for and however much is being booked.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from alikassa.ledger.address import backend_bound
from alikassa.ledger.failures import DRIVER_ERRORS, translate
from alikassa.ledger.lane_arrays import arrays_of
from alikassa.ledger.reader import ActiveCertificate

if TYPE_CHECKING:
    from datetime import datetime

    import asyncpg

    from alikassa.clock import Clock
    from alikassa.ledger.address import Address

__all__ = ["Permissions", "Permitted"]

_ANSWER_SECONDS = 3.0
_MOST_KEPT = 20_000
_SETTINGS: dict[str, Any] = {
    "server_settings": {
        "application_name": "alikassa permissions",
        **backend_bound(_ANSWER_SECONDS),
        "default_transaction_read_only": "on",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "enable_seqscan": "off",
        "jit": "off",
        "plan_cache_mode": "force_generic_plan",
    },
}
# Enough when all who are asked for are kept, and nothing has changed: the plan of the other one has much to set up.
_CHANGES = "SELECT changes, coalesce($1, clock_timestamp()) FROM permission_changes"
# If nothing has changed, $5, only those accounts are read that are not kept, $3 and $4; else all of them, $1 and $2.
_PERMITTED = """
SELECT state.changes, state.now, asked.n, a.currency, a.requires_fresh, c.id::text, c.sha1_allowed, c.public_key
FROM (SELECT (SELECT changes FROM permission_changes) AS changes, coalesce($6, clock_timestamp()) AS now) AS state
LEFT JOIN (
    unnest(CASE WHEN (SELECT changes FROM permission_changes) = $5 THEN $3::text ELSE $1::text END::smallint[],
           CASE WHEN (SELECT changes FROM permission_changes) = $5 THEN $4::text ELSE $2::text END::uuid[])
        WITH ORDINALITY AS asked (lane, id, n)
    JOIN accounts a ON a.lane = asked.lane AND a.id = asked.id
    LEFT JOIN certificates c ON c.merchant_id = a.merchant_id AND c.purpose = 'payout' AND c.state = 'active'
) ON true
"""


class Permitted(msgspec.Struct, gc=False):
    """What a request about an account is judged by."""

    currency: str
    requires_fresh: bool
    certificates: tuple[ActiveCertificate, ...]


class Permissions:
    """Reads at the primary, for one event loop, one read at a time."""

    def __init__(self, address: Address, now: Clock | None) -> None:
        self._address = address
        self._now = now
        self._connection: asyncpg.Connection | None = None
        self._counting: Any = None
        self._statement: Any = None
        #: The count of changes at which what is kept was read; -1 for none.
        self._changes = -1
        self._kept: dict[str, Permitted] = {}

    async def find(self, accounts: list[str]) -> tuple[dict[str, Permitted], datetime]:
        """Those of these accounts that there are, and what time it is there. Raises a DatabaseError."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await self._find(accounts)
        except DRIVER_ERRORS as error:
            self._disconnect()
            raise translate(self._address, error) from error
        except BaseException:
            self._disconnect()
            raise

    async def _find(self, accounts: list[str]) -> tuple[dict[str, Permitted], datetime]:
        await self._connect()
        if len(self._kept) >= _MOST_KEPT:
            self._forget()
        # A new account is no change of what is known: one that is not there is looked for each time.
        unknown = [account for account in accounts if account not in self._kept]
        time = None if self._now is None else self._now()
        if not unknown:
            counted = await self._counting.fetchrow(time)
            if counted is not None and counted[0] == self._changes:
                return {account: self._kept[account] for account in accounts}, counted[1]
        return await self._read(accounts, unknown, time)

    async def _connect(self) -> None:
        if self._connection is None or self._connection.is_closed():
            self._disconnect()
            self._connection = await self._address.connect(**_SETTINGS)
            self._counting = await self._connection.prepare(_CHANGES)
            self._statement = await self._connection.prepare(_PERMITTED)

    async def _read(
        self, accounts: list[str], unknown: list[str], time: datetime | None
    ) -> tuple[dict[str, Permitted], datetime]:
        every = unknown + [account for account in accounts if account in self._kept] if unknown else accounts
        read = await self._statement.fetch(*arrays_of(every), *arrays_of(unknown), self._changes, time)
        changes, now = read[0][:2]
        if changes is None or changes != self._changes:
            self._forget()
        for account, one in _permitted(every, read).items():
            self._kept[account] = one
        there = {account: self._kept[account] for account in accounts if account in self._kept}
        if changes is None:
            # Somebody has emptied that table. Nothing tells any more whether what is kept is still true.
            self._forget()
        else:
            self._changes = changes
        return there, now

    def _forget(self) -> None:
        self._changes = -1
        self._kept.clear()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
        self._forget()

    async def close(self) -> None:
        self._disconnect()


def _permitted(accounts: list[str], rows: list[Any]) -> dict[str, Permitted]:
    """A row for each certificate, or one without; whoever is not found has none."""
    found: dict[str, Permitted] = {}
    for _, _, n, currency, requires_fresh, certificate, sha1_allowed, public_key in rows:
        if n is None:
            continue
        one = found.get(accounts[n - 1])
        if one is None:
            one = found[accounts[n - 1]] = Permitted(currency, requires_fresh, ())
        if certificate is not None:
            one.certificates += (ActiveCertificate(certificate, sha1_allowed, public_key),)
    return found
