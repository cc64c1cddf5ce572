"""What every server is asked: 1,000 accounts of ten merchants, and one signed request for each of them."""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from large_books import HELD_EACH

from alikassa.ledger.books import Books
from alikassa.ledger.commands import Adjustment
from alikassa.ledger.database import Database
from alikassa.ledger.ids import uuid7
from alikassa.ledger.model import Bucket, Purpose
from alikassa.ledger.registry import Registry
from alikassa.money import SCALE, from_units, to_units
from alikassa.protocol import archive
from alikassa.protocol.certificates import load_private_key
from alikassa.protocol.messages import encode_balance
from alikassa.protocol.signatures import KeySigner

if TYPE_CHECKING:
    from pathlib import Path

    from alikassa.protocol.archive import ArchiveFiles

__all__ = ["BODY", "LONG_BODY", "Held", "Shop", "Stand", "fill_books", "make_shops", "write_requests"]

MERCHANTS = 10
ACCOUNTS_EACH = 100
BODY = b"{}"
#: Longer than what a server remembers: its signature is verified at each request.
LONG_BODY = b'{"note":"%b"}' % (80 * b"x")


class Held(Enum):
    """What is on the accounts beside their balance: nothing, lots that wait, or the same lots due and not released."""

    NOTHING = "nothing"
    WAITING = "waiting"
    DUE = "due"


@dataclass(frozen=True)
class Stand:
    """An account and the amount on it. Each has its own, so that a mixed-up answer would show."""

    account: uuid.UUID
    balance: str

    def answer(self, held: Held) -> bytes:
        """The body that it gets, to the byte."""
        part = HELD_EACH if held is Held.WAITING else 0
        balance = from_units(to_units(self.balance) + (2 * HELD_EACH * SCALE if held is Held.DUE else 0))
        amount = f"{part}.00000000"
        return encode_balance("RUB", balance, amount, amount, "0.00000000")


@dataclass(frozen=True)
class Shop:
    """A merchant: two key pairs, and accounts."""

    name: str
    payout: ArchiveFiles
    payment: ArchiveFiles
    #: Of the body, and of the long one.
    sign: str
    long_sign: str
    stands: tuple[Stand, ...]
    #: The same in every database, so that one history fits all of them.
    merchant: uuid.UUID = field(default_factory=uuid7)


def make_shops(merchants: int = MERCHANTS, accounts_each: int = ACCOUNTS_EACH) -> list[Shop]:
    """Merchants with new keys; nothing is stored yet."""
    shops = []
    for number in range(merchants):
        payout = archive.generate()
        signer = KeySigner(load_private_key(payout.private_pem, payout.passphrase))
        shops.append(
            Shop(
                name=f"Shop {number}",
                payout=payout,
                payment=archive.generate(),
                sign=base64.b64encode(signer.sign(BODY)).decode(),
                long_sign=base64.b64encode(signer.sign(LONG_BODY)).decode(),
                stands=tuple(
                    Stand(uuid.uuid4(), f"{1000 + number * accounts_each + place}.84000000")
                    for place in range(accounts_each)
                ),
            )
        )
    return shops


async def fill_books(url: str, shops: list[Shop]) -> None:
    """Our books, by our ledger: each amount is a journal entry."""
    async with await Database.open(url, create=True) as database:
        registry, books = Registry(database), Books(database)
        for shop in shops:
            merchant = await registry.add_merchant(shop.name, shop.merchant)
            await registry.add_certificate(merchant.id, Purpose.PAYOUT, shop.payout.public_key)
            await registry.add_certificate(merchant.id, Purpose.PAYMENT, shop.payment.public_key)
            for stand in shop.stands:
                await registry.open_account(merchant.id, "RUB", stand.account)
                await books.book(
                    Adjustment(stand.account, Bucket.BALANCE, to_units(stand.balance), "opening", "opening balance")
                )


def write_requests(file: Path, shops: list[Shop], *, long: bool = False) -> None:
    """A line for each request: account, tab, `Sign`. What the load generator builds its requests from."""
    file.touch(mode=0o600)
    signed = {shop.name: shop.long_sign if long else shop.sign for shop in shops}
    file.write_text("".join(f"{stand.account}\t{signed[shop.name]}\n" for shop in shops for stand in shop.stands))
