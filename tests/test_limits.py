"""Limits: who is charged, how shares are handed out, and how windows slide."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import pytest
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from alikassa.cli.serve import serve
from alikassa.errors import ConfigurationError
from alikassa.server.limits.addresses import Addresses, charged_name, client_address, parse_networks
from alikassa.server.limits.limiter import Limiter, counting
from alikassa.server.limits.rules import Rules, parse_limit
from alikassa.server.limits.shares import Shares


@pytest.mark.parametrize(
    ("client", "forwarded", "address"),
    [
        ("203.0.113.7:5000", [], "203.0.113.7"),
        ("203.0.113.7:5000", ["198.51.100.1"], "203.0.113.7"),  # no proxy of ours: its word does not count
        ("10.0.0.5:80", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.5:80", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),  # the first may be the stranger's own
        ("10.0.0.5:80", ["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.5:80", ["198.51.100.1, 10.0.0.9"], "198.51.100.1"),  # two proxies of ours
        ("10.0.0.5:80", ["nonsense"], "10.0.0.5"),
        ("10.0.0.5:80", ["198.51.100.1, nonsense"], "10.0.0.5"),
        ("10.0.0.5:80", [], "10.0.0.5"),
        ("[2001:db8::1]:443", [], "2001:db8::1"),
        ("[::ffff:10.0.0.5]:80", ["198.51.100.1"], "198.51.100.1"),  # as a listener on :: sees it
        ("10.0.0.5:80", ["2001:db8::7"], "2001:db8::7"),
        ("", [], ""),
    ],
)
def test_the_address_behind_a_trusted_proxy(client: str, forwarded: list[str], address: str) -> None:
    """The last address that is no proxy of ours."""
    assert Addresses(parse_networks("10.0.0.0/24")).of(client, forwarded) == address


def test_who_is_charged() -> None:
    """An IPv4 address, an IPv6 network of 64 bits, and never this machine."""
    assert charged_name("203.0.113.7") == "203.0.113.7"
    assert charged_name("::ffff:203.0.113.7") == "203.0.113.7"
    assert charged_name("2001:db8::1") == charged_name("2001:db8::ffff") == "2001:db8::/64"
    assert charged_name("127.0.0.1") == charged_name("::1") == ""
    assert client_address("unix:") == ""


@pytest.mark.parametrize("text", ["", "600", "0/minute", "-1/minute", "6/fortnight", "1e3/second", "600 / minute"])
def test_what_is_no_limit(text: str) -> None:
    """A limit that cannot be read ends the start, and says how it is written."""
    with pytest.raises(ConfigurationError) as caught:
        parse_limit(text, "--limit-address")
    assert "--limit-address" in caught.value.remedy
    assert parse_limit("off", "--limit-address") is None


def _shares(limit: str) -> Shares:
    return Shares(parse(limit), SlidingWindowCounterRateLimiter(MemoryStorage()), "address")


@pytest.mark.parametrize("limit", ["1/minute", "7/minute", "49/minute", "100/minute", "1000/minute"])
def test_no_more_than_the_limit(limit: str) -> None:
    """In one window exactly as many as the limit are let through, and the refused are told how long to wait."""
    shares = _shares(limit)
    waits = [shares.take("one") for _ in range(1200)]
    assert waits.count(0) == parse(limit).amount
    assert all(0 < wait <= 60 for wait in waits if wait)
    assert shares.take("another") == 0, "names are charged apart"


def test_two_workers_share_a_limit() -> None:
    """Over one count, two workers together let through no more than the limit, and no less than most of it."""
    store = SlidingWindowCounterRateLimiter(MemoryStorage())
    workers = [Shares(parse("1000/minute"), store, "address") for _ in range(2)]
    passed = sum(workers[n % 2].take("one") == 0 for n in range(2000))
    assert 980 <= passed <= 1000


def test_the_window_slides() -> None:
    """What was used up comes back in time."""
    shares = _shares("50/second")
    assert [shares.take("one") for _ in range(60)].count(0) == 50
    import time

    time.sleep(2.1)
    assert shares.take("one") == 0


def test_many_addresses_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the most that are known, addresses share one count."""
    monkeypatch.setattr("alikassa.server.limits.shares._MOST_NAMES", 10)
    shares = _shares("5/minute")
    passed = sum(shares.take(f"10.0.0.{n}") == 0 for n in range(100))
    assert passed == 10 + 5 - 1 or passed == 10 + 5


class _Sent:
    """A request from an address."""

    def __init__(self, address: str, account: str = "account") -> None:
        self.account = account
        self.scope = SimpleNamespace(client=f"{address}:4711")
        self.headers = self

    def __contains__(self, name: str, /) -> bool:
        return bool(self.get_all(name))

    def get_all(self, name: str, /) -> list[str]:
        return []


def _limiter(*, address: str = "off", failed: str = "off", certificate: str = "off", account: str = "off") -> Limiter:
    rules = Rules.of(address=address, failed=failed, certificate=certificate, account=account)
    return Limiter(rules, counting("memory", print), Addresses(()))


def test_a_stranger_uses_up_his_own_share_only() -> None:
    """Failed signatures are charged to the address; the account that they name is not."""
    limiter = _limiter(address="1000/minute", failed="5/minute", account="10/minute")
    stranger, merchant = _Sent("203.0.113.7"), _Sent("198.51.100.1")
    for _ in range(50):
        assert limiter.enter(stranger) == 0
        limiter.failed(stranger)
    assert limiter.verify(stranger) > 0
    assert limiter.verify(merchant) == limiter.enter(merchant) == 0
    assert limiter.signed(merchant, "certificate") == 0


def test_a_certificate_is_charged_for_what_it_signed() -> None:
    """So much and no more, whatever the account and the address; another certificate has a share of its own."""
    limiter = _limiter(certificate="3/hour")
    assert limiter.charges_signers
    senders = [_Sent(f"198.51.100.{n}", account=f"account {n % 2}") for n in range(10)]
    waits = [limiter.signed(sender, "first") for sender in senders]
    assert [wait == 0 for wait in waits] == [True] * 3 + [False] * 7
    assert all(0 < wait <= 3600 for wait in waits[3:])
    assert [limiter.signed(senders[0], "second") == 0 for _ in range(4)] == [True] * 3 + [False]


def test_certificate_and_account_are_charged_together() -> None:
    """Each for every request; what the certificate's limit refuses, the account does not pay for."""
    limiter = _limiter(certificate="2/hour", account="3/hour")
    merchant = _Sent("198.51.100.1")
    assert [limiter.signed(merchant, "first") == 0 for _ in range(5)] == [True, True, False, False, False]
    assert [limiter.signed(merchant, "second") == 0 for _ in range(2)] == [True, False], "three of the account's"
    assert limiter.signed(_Sent("198.51.100.1", account="another"), "second") > 0
    assert limiter.signed(_Sent("198.51.100.1", account="another"), "third") == 0


def test_from_the_start_only_what_fails_is_bounded() -> None:
    """With the limits that a server has from the start: of one address 600 failures, any number of others."""
    given = inspect.signature(serve).parameters
    kinds = ("address", "failed", "certificate", "account")
    limiter = _limiter(**{kind: given[f"limit_{kind}"].default for kind in kinds})
    stranger, merchant = _Sent("203.0.113.7"), _Sent("198.51.100.1")
    looked_at = 0
    for _ in range(2000):
        assert not limiter.charges_addresses or limiter.enter(merchant) == 0
        assert limiter.verify(merchant) == limiter.signed(merchant, "certificate") == 0
        if limiter.verify(stranger) == 0:
            looked_at += 1
            limiter.failed(stranger)
    assert 600 <= looked_at <= 602


def test_a_store_that_is_away_ends_nothing() -> None:
    """Without its Redis a worker counts by itself, and says so once in a while."""
    lost: list[Exception] = []
    store = counting("redis://127.0.0.1:1/0", lost.append)
    shares = Shares(parse("10/minute"), store, "address")
    assert [shares.take("one") for _ in range(20)].count(0) == 10
    assert len(lost) == 1


def test_a_store_that_is_unknown() -> None:
    """Another kind of store is refused at the start."""
    with pytest.raises(ConfigurationError):
        counting("memcached://localhost", print)
