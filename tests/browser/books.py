"""Accounts to look at: one with 12,345.67 on hold until a known day, an empty one, one with 10,000 entries."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from alikassa import clock
from alikassa.ledger.books import Books as Ledger
from alikassa.ledger.commands import Payment, PayoutCreate, PayoutPaid, SetPolicy
from alikassa.ledger.database import Database
from alikassa.ledger.model import Purpose
from alikassa.ledger.policy import Policy
from alikassa.ledger.registry import Registry
from alikassa.money import to_units
from alikassa.protocol import archive

#: 20 % of 61,728.35 are 12,345.67.
SALE = "61728.35"
HELD = "12345.67000000"
HOLD_DAYS = 14
MANY = 10_000


@dataclass(frozen=True)
class Books:
    """`until` is when the hold comes back; `keys` is the archive that the merchant asks with."""

    account: uuid.UUID
    empty: uuid.UUID
    many: uuid.UUID
    until: datetime
    keys: Path


async def make_books(database: str, merchant: uuid.UUID, keys: Path) -> Books:
    async with await Database.open(database) as opened:
        registry, ledger = Registry(opened), Ledger(opened)
        account, empty, many = [
            (await registry.open_account(merchant, currency)).id for currency in ("RUB", "USDT", "EUR")
        ]
        files = archive.generate()
        archive.write(keys, files)
        await registry.add_certificate(merchant, Purpose.PAYOUT, files.public_key)
        at = clock.now() - timedelta(days=1)
        policy = Policy(
            fee_percent=to_units("2.9"),
            fee_fixed=0,
            hold_percent=to_units("20"),
            hold_days=HOLD_DAYS,
            reserve_percent=to_units("5"),
            reserve_days=180,
            time_zone="Europe/Moscow",
        )
        for one in (account, many):
            await ledger.book(SetPolicy(one, policy, "terms-1", "contract", effective_at=at))
        await ledger.book(Payment(account, to_units(SALE), "order-0001", effective_at=at))
        await ledger.book(PayoutCreate(account, to_units("1000"), "payout-1"))
        await ledger.book(PayoutCreate(account, to_units("234"), "payout-2"))
        await ledger.book(PayoutPaid(account, "payout-1"))
        commands = [Payment(many, to_units("10.01"), f"order-{n:05d}") for n in range(MANY - 1)]
        for start in range(0, len(commands), 500):
            await asyncio.gather(*(ledger.book(one) for one in commands[start : start + 500]))
    return Books(account, empty, many, (at + timedelta(days=HOLD_DAYS)).astimezone(UTC), keys)
