"""Opening balances in a file, CSV or JSON."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from alikassa.errors import InvalidInputError
from alikassa.ledger.import_files import Problems, read_openings
from alikassa.ledger.rules import check as check_command
from fuzz.oracle import see_refusal

_TOLD = 100


def seeds() -> list[bytes]:
    csv = (
        b"account,item,amount,due_at,reference,fee\n"
        b"93d5df06-996c-48c3-9847-348d6b580b80,balance,93.84,,,\n"
        b"93d5df06-996c-48c3-9847-348d6b580b80,hold,5,2026-12-31,order-1,\n"
        b"93d5df06-996c-48c3-9847-348d6b580b80,hold_total,5,,,\n"
        b'93d5df06-996c-48c3-9847-348d6b580b80,payout,7,,"pay,1",0.5\n'
    )
    json = (
        b'{"accounts":[{"account":"93d5df06-996c-48c3-9847-348d6b580b80","balance":"93.84","hold":"5",'
        b'"rolling_reserve":"0","pending_payouts":"7","lots":[{"bucket":"hold","amount":"5",'
        b'"due_at":"2026-12-31T00:00:00Z","source":"order-1"}],"payouts":[{"reference":"pay-1","amount":"7"}]}]}'
    )
    return [
        csv,
        csv.replace(b",", b";").replace(b".", b","),
        csv.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + csv,
        csv + b'"unfinished',
        csv.replace(b"2026-12-31", b"9999-12-31T23:59:59-14:00"),
        csv.replace(b"93.84", b"\x00"),
        json,
        json.replace(b'"93.84"', b"93.84"),
        b'{"accounts":' + b"[" * 900 + b"]" * 900 + b"}",
        b"[]",
        b"",
    ]


def check(data: bytes) -> None:
    """Every opening that is read may be kept, and its held numbers are its parts' sums; every problem has its place."""
    file = _folder() / "openings"
    file.write_bytes(data)
    try:
        openings, problems = read_openings(file, "import-1")
    except InvalidInputError as error:
        see_refusal(error)
        return
    _see_problems(problems)
    accounts = [record.account for record, _ in openings]
    assert len(accounts) == len(set(accounts)), "an account is opened twice"
    for _, opening in openings:
        check_command(opening)
        assert opening.pending_payouts == sum(payout.amount for payout in opening.payouts)
        assert opening.hold + opening.rolling_reserve == sum(lot.amount for lot in opening.lots)


def _see_problems(problems: Problems) -> None:
    told = [text for texts in problems.found.values() for text in texts]
    assert len(told) == min(problems.count, _TOLD)
    assert all(len(text) <= 1000 for text in told), max(told, key=len)
    if problems.count:
        try:
            problems.stop()
        except InvalidInputError as error:
            see_refusal(error, longest=300_000)


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="alikassa-fuzz-"))
