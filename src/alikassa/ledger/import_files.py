"""Opening balances in a file, CSV or JSON, read into commands. Every problem is told with its place in the file."""

from __future__ import annotations

import csv
import io
import re
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from alikassa.clock import parse_moment
from alikassa.errors import AlikassaError, AmountError, InvalidInputError
from alikassa.ledger.commands import Opening, OpenLot, OpenPayout
from alikassa.ledger.model import BUCKETS, HELD, Bucket
from alikassa.ledger.rules import check, check_text
from alikassa.ledger.rules.checks import LONGEST_REFERENCE
from alikassa.money import from_units, to_units

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

__all__ = ["COLUMNS", "ITEMS", "LARGEST", "ImportProblemsError", "Problems", "Record", "read_openings"]

#: Bytes that a file may have.
LARGEST = 64 * 1024 * 1024
COLUMNS = ("account", "item", "amount", "due_at", "reference", "fee")
#: What a row of a CSV file is about. A total is what the rows of its kind must sum to.
ITEMS = ("balance", "hold", "rolling_reserve", "payout", "hold_total", "rolling_reserve_total", "pending_payouts_total")
_TOLD = 100


class ImportProblemsError(InvalidInputError):
    """The file was not taken. `errors` maps places in it to what is wrong there, the first hundred of `count`."""

    def __init__(self, problems: Problems) -> None:
        self.errors = {where: tuple(texts) for where, texts in problems.found.items()}
        self.count = problems.count
        self.message = f"Nothing was booked: the file has {self.count} problem{'s' if self.count > 1 else ''}."
        more = "" if self.count <= _TOLD else f" Of {self.count} problems the first {_TOLD} are shown."
        super().__init__(
            f"{self.message} " + " ".join(f"{where}: {' '.join(texts)}" for where, texts in self.errors.items()),
            remedy=f"Correct the file and import it whole.{more}",
        )


@dataclass
class Problems:
    """What is wrong, by its place in the file, as far as it is told."""

    found: dict[str, list[str]] = field(default_factory=dict)
    count: int = 0

    def add(self, where: str, error: AlikassaError | str) -> None:
        self.count += 1
        if self.count <= _TOLD:
            remedy = getattr(error, "remedy", "")
            self.found.setdefault(where, []).append(f"{error} {remedy}".rstrip())

    def stop(self) -> None:
        """ImportProblemsError if there are any."""
        if self.count:
            raise ImportProblemsError(self)


@dataclass
class Record:
    """What the file says of one account; `where` is its first line, or its place among the accounts."""

    where: str
    account: uuid.UUID
    numbers: dict[Bucket, int] = field(default_factory=dict)
    lots: list[OpenLot] = field(default_factory=list)
    payouts: list[OpenPayout] = field(default_factory=list)
    references: set[str] = field(default_factory=set)

    def opening(self, reference: str, effective_at: datetime | None) -> Opening:
        """The command. InvalidInputError when the held numbers are not what their parts sum to."""
        command = Opening(
            account=self.account,
            reference=reference,
            lots=tuple(self.lots),
            payouts=tuple(self.payouts),
            effective_at=effective_at,
            balance=self.numbers[Bucket.BALANCE],
            hold=self.numbers[Bucket.HOLD],
            rolling_reserve=self.numbers[Bucket.ROLLING_RESERVE],
            pending_payouts=self.numbers[Bucket.PENDING_PAYOUTS],
        )
        check(command)
        return command


def read_openings(
    file: Path, reference: str, effective_at: datetime | None = None
) -> tuple[list[tuple[Record, Opening]], Problems]:
    """The openings of a file, and what is wrong with it. CSV or JSON is told by its first character.

    InvalidInputError when it cannot be read at all: missing, larger than `LARGEST`, not UTF-8.
    """
    problems = Problems()
    text = _text(file)
    records = _from_json(text, problems) if text.lstrip()[:1] in ("{", "[") else _from_csv(text, problems)
    openings = []
    for record in records:
        try:
            openings.append((record, record.opening(reference, effective_at)))
        except AlikassaError as error:
            problems.add(record.where, error)
    return openings, problems


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST + 1)
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror}.") from error
    if len(content) > LARGEST:
        raise InvalidInputError(
            f"{file} is larger than {LARGEST // 1024**2} MiB.", remedy="Import some accounts at a time."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"{file} is not UTF-8, from byte {error.start} on.", remedy="Save it as UTF-8."
        ) from error


def _account(text: str) -> uuid.UUID:
    if re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text) is None:
        raise InvalidInputError(f"{text[:64]!r} is not the uuid of an account.")
    return uuid.UUID(text)


# CSV: one row an item


def _from_csv(text: str, problems: Problems) -> list[Record]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    records: dict[uuid.UUID, Record] = {}
    totals: dict[tuple[uuid.UUID, Bucket], tuple[str, int]] = {}
    try:
        names = [name.strip() for name in next(reader, [])]
        if problem := _header_problem(names):
            problems.add("line 1", problem)
            return []
        for row in reader:
            where = f"line {reader.line_num}"
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(names):
                problems.add(where, f"It has {len(row)} columns, and the first line has {len(names)}.")
                continue
            try:
                _take_row(dict(zip(names, (cell.strip() for cell in row), strict=True)), where, records, totals)
            except AlikassaError as error:
                problems.add(where, error)
    except csv.Error as error:
        problems.add(f"line {reader.line_num}", f"It is not CSV: {error}.")
    _sum_up(records, totals, problems)
    return list(records.values())


def _delimiter(text: str) -> str:
    """Where a comma separates decimals, spreadsheets write semicolons."""
    first = text.partition("\n")[0]
    return ";" if first.count(";") > first.count(",") else ","


def _header_problem(names: list[str]) -> str:
    missing = [name for name in COLUMNS[:3] if name not in names]
    unknown = [name[:64] for name in names if name not in COLUMNS]
    twice = [name for name, count in Counter(names).items() if count > 1]
    wrong = [
        f"{what}: {', '.join(found)}." for what, found in (("missing", missing), ("unknown", unknown)) if found
    ] + [f"twice: {', '.join(twice)}." for _ in twice[:1]]
    return f"The first line names the columns {', '.join(COLUMNS)}; {' '.join(wrong)}" if wrong else ""


def _take_row(
    cells: dict[str, str],
    where: str,
    records: dict[uuid.UUID, Record],
    totals: dict[tuple[uuid.UUID, Bucket], tuple[str, int]],
) -> None:
    account, item = _account(cells["account"]), cells["item"]
    if item not in ITEMS:
        raise InvalidInputError(f"{item[:64]!r} is no item.", remedy=f"Write one of {', '.join(ITEMS)}.")
    record = records.setdefault(account, Record(where, account))
    amount = to_units(cells["amount"])
    due_at, reference, fee = (cells.get(name, "") for name in COLUMNS[3:])
    for name, value, allowed in (
        ("due_at", due_at, item in ("hold", "rolling_reserve")),
        ("reference", reference, item in ("hold", "rolling_reserve", "payout")),
        ("fee", fee, item == "payout"),
    ):
        if value and not allowed:
            raise InvalidInputError(f"A row for {item} has no {name}.")
    if item == "balance":
        if Bucket.BALANCE in record.numbers:
            raise InvalidInputError("The account has a balance already.", remedy="Write one row for it.")
        record.numbers[Bucket.BALANCE] = amount
    elif item == "payout":
        _part(OpenPayout(reference, amount, to_units(fee) if fee else 0), record)
    elif item.endswith("_total"):
        bucket = Bucket(item.removesuffix("_total"))
        if (account, bucket) in totals:
            raise InvalidInputError(f"The account has a {item} already.", remedy="Write one row for it.")
        totals[account, bucket] = (where, amount)
    else:
        due = parse_moment(due_at, days=True) if due_at else None
        _part(OpenLot(Bucket(item), amount, due, reference), record)


def _sum_up(
    records: dict[uuid.UUID, Record], totals: dict[tuple[uuid.UUID, Bucket], tuple[str, int]], problems: Problems
) -> None:
    """The four numbers of each account: its rows' sums, which are its totals where it has any."""
    for record in list(records.values()):
        if Bucket.BALANCE not in record.numbers:
            problems.add(record.where, "The account has no row for its balance. Write one, with 0 when there is none.")
            del records[record.account]
            continue
        for bucket in HELD:
            record.numbers[bucket] = total = sum(_parts(record, bucket))
            where, told = totals.get((record.account, bucket), ("", total))
            if told != total:
                problems.add(where, f"{bucket}_total is {from_units(told)}, and its rows sum to {from_units(total)}.")


def _parts(record: Record, bucket: Bucket) -> Iterator[int]:
    if bucket is Bucket.PENDING_PAYOUTS:
        yield from (one.amount for one in record.payouts)
    else:
        yield from (one.amount for one in record.lots if one.bucket is bucket)


def _part(part: OpenLot | OpenPayout, record: Record) -> None:
    """Add a held sum or payout. Refused here, where its place in the file is known."""
    reference = part.source if isinstance(part, OpenLot) else part.reference
    if part.amount <= 0:
        raise AmountError(f"The amount is {from_units(part.amount)}.", remedy="Write an amount above 0.")
    if reference or isinstance(part, OpenPayout):
        check_text(reference, "reference", LONGEST_REFERENCE)
    if isinstance(part, OpenLot):
        record.lots.append(part)
        return
    if part.fee < 0:
        raise AmountError(f"The fee is {from_units(part.fee)}.", remedy="Write 0 or more.")
    if reference in record.references:
        raise InvalidInputError(f"The account has a payout {reference!r} already.")
    record.references.add(reference)
    record.payouts.append(part)


# JSON: one record an account


class _Lot(msgspec.Struct, forbid_unknown_fields=True):
    bucket: Literal["hold", "rolling_reserve"]
    amount: str
    due_at: str | None = None
    source: str = ""


class _Payout(msgspec.Struct, forbid_unknown_fields=True):
    reference: str
    amount: str
    fee: str = "0"


class _Account(msgspec.Struct, forbid_unknown_fields=True):
    account: str
    balance: str
    hold: str
    rolling_reserve: str
    pending_payouts: str
    lots: list[_Lot] = []
    payouts: list[_Payout] = []


class _File(msgspec.Struct, forbid_unknown_fields=True):
    accounts: list[Any]


def _from_json(text: str, problems: Problems) -> list[Record]:
    try:
        found = msgspec.json.decode(text, type=_File).accounts
    except (msgspec.DecodeError, RecursionError) as error:
        problems.add("the file", f"It is not the JSON that is expected: {error}.")
        return []
    records: dict[uuid.UUID, Record] = {}
    for place, one in enumerate(found):
        where = f"accounts[{place}]"
        try:
            given = msgspec.convert(one, _Account)
        except msgspec.ValidationError as error:
            problems.add(where, f"{error}.".replace(" - at `$", " - at `account"))
            continue
        before = problems.count
        record = _record(given, where, problems)
        if problems.count > before or record is None:
            continue
        if record.account in records:
            problems.add(where, f"The account is {records[record.account].where} already.")
        else:
            records[record.account] = record
    return list(records.values())


def _record(given: _Account, where: str, problems: Problems) -> Record | None:
    try:
        record = Record(where, _account(given.account))
    except AlikassaError as error:
        problems.add(where, error)
        return None
    for bucket in BUCKETS:
        try:
            record.numbers[bucket] = to_units(getattr(given, bucket.value))
        except AlikassaError as error:
            problems.add(f"{where}.{bucket}", error)
    for place, lot in enumerate(given.lots):
        try:
            due_at = parse_moment(lot.due_at, days=True) if lot.due_at is not None else None
            _part(OpenLot(Bucket(lot.bucket), to_units(lot.amount), due_at, lot.source), record)
        except AlikassaError as error:
            problems.add(f"{where}.lots[{place}]", error)
    for place, payout in enumerate(given.payouts):
        try:
            _part(OpenPayout(payout.reference, to_units(payout.amount), to_units(payout.fee)), record)
        except AlikassaError as error:
            problems.add(f"{where}.payouts[{place}]", error)
    return record
