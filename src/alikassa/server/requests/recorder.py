"""Gathers what became of requests, in memory and within bounds, until it is written."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from alikassa.clock import now
from alikassa.server.freshness import MALFORMED_STAMPS
from alikassa.server.limits.addresses import Addresses
from alikassa.server.metrics.requests import RequestCounts
from alikassa.server.refusals import Reason
from alikassa.server.requests.kept import KeptRequest, Outcome, malformed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from alikassa.protocol.signatures import Digest
    from alikassa.server.freshness import Refusal
    from alikassa.server.requests.kept import Ended
    from alikassa.server.verification import Verified

__all__ = ["Gathered", "Key", "Recorder", "Tally"]

#: Like requests of one account that are kept in full, of one interval. Of the others is known how many they were.
MOST_ALIKE = 20
#: Requests that are kept in full, of one interval: so many verified ones, and so many others. When half of these are
#: taken, only the first of each account and outcome is kept.
MOST_KEPT = 1000
#: After an interval with so many requests only a few are kept of the next one: writing them takes from answering.
BUSY_REQUESTS = 5000
MOST_KEPT_BUSY = 200
#: Accounts and outcomes that are told apart in one interval, verified and others.
MOST_TALLIES = 20_000
MOST_STRANGERS = 2000
#: Counts that wait for a row to stand on.
MOST_CARRIED = 20_000
#: How long a row waits for its reason, in seconds.
REASON_SECONDS = 5.0
# Uses of certificates that wait to be written.
_MOST_USES = 20_000


class Key(NamedTuple):
    """Requests that are counted together. `account` is the uuid that they named, "" for none or for too many."""

    account: str
    outcome: Outcome
    verified: bool


class Tally:
    """Requests of one key and interval: how many are kept, the last of these, and how many `more` there were."""

    __slots__ = ("kept", "known", "last", "more")

    def __init__(self) -> None:
        self.kept = 0
        self.more = 0
        self.last: KeptRequest | None = None
        # What signed the last one that was looked at.
        self.known: Verified | None = None


class Use(NamedTuple):
    """A certificate and a digest that it signed with."""

    certificate: str
    digest: Digest


class Gathered(NamedTuple):
    """What is to be written: rows, how many requests were only counted and have no row to stand on, and uses."""

    rows: list[KeptRequest]
    counted: dict[Key, int]
    uses: dict[Use, datetime]


class Recorder:
    """One worker's requests since they were last taken.

    `counted` are the accounts whose answered requests are only counted from now on, so that the quick path needs
    no more than to look there. `counts` are of all requests since the worker began, and know no account.
    """

    def __init__(self, addresses: Addresses | None = None) -> None:
        self._addresses = addresses or Addresses(())
        self.counts = RequestCounts()
        self.counted: dict[str, Tally] = {}
        self._tallies: dict[Key, Tally] = {}
        self._strangers = 0
        self._most = MOST_KEPT
        # Of others than verified requests, and of these.
        self._rows: tuple[list[KeptRequest], list[KeptRequest]] = ([], [])
        self._carried: dict[Key, int] = {}
        self._uses: dict[Use, datetime] = {}
        #: Requests that are neither kept nor counted any more. Whoever tells it sets it back.
        self.lost = 0

    def ok(self, ended: Ended, verified: Verified) -> None:
        """Answered with the balance."""
        self.counts.ended(Outcome.OK, "", ended.begun)
        self._use(verified)
        key = Key(ended.account, Outcome.OK, verified=True)
        if self._add(key, ended, 200, "", verified) is None and key in self._tallies:
            tally = self.counted[ended.account] = self._tallies[key]
            tally.known = verified

    def malformed(self, ended: Ended, fields: Iterable[str], verified: Verified | None = None) -> None:
        """Refused for what these fields are in themselves; with `verified` it was signed all the same."""
        if verified is not None:
            self._use(verified)
        reason = malformed(fields)
        self.counts.ended(Outcome.MALFORMED, reason, ended.begun)
        self._add(Key(ended.account, Outcome.MALFORMED, verified is not None), ended, 400, reason, verified)

    def stale(self, ended: Ended, refusal: Refusal, verified: Verified) -> None:
        """Signed well, and not taken all the same: what it is to be good once for is missing, wrong or spent."""
        self._use(verified)
        outcome = Outcome.MALFORMED if refusal.reason in MALFORMED_STAMPS else Outcome.REFUSED
        self.counts.ended(outcome, refusal.reason.value, ended.begun)
        key = Key(ended.account, outcome, verified=True)
        self._add(key, ended, refusal.answer.status, refusal.reason.value, verified)

    def refused(self, ended: Ended, *, stranger: bool) -> KeptRequest | None:
        """Refused at the signature. What is kept of it waits for its reason; None when it is only counted.

        A `stranger` named no account that there is: all of these are counted together. To be told after the answer,
        since what is done here differs, and the difference must not show in its time.
        """
        self.counts.refused(ended.begun)
        key = Key("" if stranger else ended.account, Outcome.REFUSED, verified=False)
        kept = self._add(key, ended, 400, Reason.UNKNOWN_ACCOUNT.value if stranger else "")
        if kept is not None:
            kept.waits_until = time.monotonic() + REASON_SECONDS
        return kept

    def ended(self, ended: Ended, outcome: Outcome, status: int, reason: str = "") -> None:
        """Any other, before its signature was looked at."""
        self.counts.ended(outcome, reason, ended.begun)
        self._add(Key(ended.account, outcome, verified=False), ended, status, reason)

    def _add(
        self, key: Key, ended: Ended, status: int, reason: str, verified: Verified | None = None
    ) -> KeptRequest | None:
        tally = self._tallies.get(key)
        if tally is None:
            if not self._is_room(key):
                if key.verified:
                    self.lost += 1
                    return None
                # Anybody can make up accounts; past the bound they are one.
                return self._add(key._replace(account=""), ended, status, reason)
            tally = self._tallies[key] = Tally()
            self._strangers += not key.verified
        rows = self._rows[key.verified]
        if tally.kept >= MOST_ALIKE or len(rows) >= (self._most // 2 if tally.kept else self._most):
            tally.more += 1
            return None
        tally.kept += 1
        address = self._addresses.of_request(ended.scope, ended.headers)
        kept = tally.last = KeptRequest(key.account, ended, address, key.outcome, status, reason, verified)
        rows.append(kept)
        return kept

    def _is_room(self, key: Key) -> bool:
        """Whether this one can be told apart from others. Those that name no account always are: they are few."""
        if key.verified:
            return len(self._tallies) - self._strangers < MOST_TALLIES
        return not key.account or self._strangers < MOST_STRANGERS

    def _use(self, verified: Verified) -> None:
        use = Use(*verified)
        if use in self._uses or len(self._uses) < _MOST_USES:
            self._uses[use] = now()

    # Taking it away

    def take(self, *, everything: bool = False) -> Gathered:
        """What is to be written now. A row whose reason may still be found stays, unless `everything` goes.

        The counts of an account stand on its last row of the interval; without a row they wait for one. Of others
        than verified ones it has to be found out whose they are, so that these are handed out.
        """
        self.counted.clear()
        requests = sum(tally.kept + tally.more for tally in self._tallies.values())
        self._most = MOST_KEPT if requests < BUSY_REQUESTS else MOST_KEPT_BUSY
        for key, tally in self._tallies.items():
            more = tally.more + self._carried.pop(key, 0)
            if more and tally.last is not None:
                tally.last.others += more
            elif more:
                self._carry(key, more)
        self._tallies.clear()
        self._strangers = 0
        until = float("inf") if everything else time.monotonic()
        others, verified = self._rows
        waiting = [row for row in others if row.waits_until > until]
        rows = verified + [row for row in others if row.waits_until <= until]
        self._rows = (waiting, [])
        counted = {}
        if rows:
            counted = {key: count for key, count in self._carried.items() if not key.verified}
            for key in counted:
                del self._carried[key]
        uses, self._uses = self._uses, {}
        return Gathered(rows, counted, uses)

    def give_back(self, counted: dict[Key, int]) -> None:
        """Counts that found no row, for the next time."""
        for key, count in counted.items():
            self._carry(key, count)

    def _carry(self, key: Key, count: int) -> None:
        if key in self._carried or len(self._carried) < MOST_CARRIED:
            self._carried[key] = self._carried.get(key, 0) + count
        else:
            self.lost += count
