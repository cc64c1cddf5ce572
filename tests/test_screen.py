"""What `watch` draws, without a terminal: whatever its size, no amount is cut and what is wrong is seen."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from rich.console import Console

from alikassa.monitor.screen import Board
from alikassa.monitor.snapshots import Failure, FailureKind, Figures, Snapshot

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = [f"shop-{place}" for place in range(9)]


def seen(profile: str, balance: str | None, currency: str = "RUB", minute: int = 0) -> Snapshot:
    at = START + timedelta(minutes=minute)
    if balance is None:
        return Snapshot(profile, "account", at, 0.1, failure=Failure(FailureKind.NETWORK, "gone " * 90))
    figures = Figures(currency, Decimal(balance), Decimal(0), Decimal(0), Decimal("123456789.12345678"), b"")
    return Snapshot(profile, "account", at, 0.1, figures)


def drawn(board: Board, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False)
    with console.capture() as capture:
        console.print(board.draw(START + timedelta(minutes=5), width, height))
    return capture.get().splitlines()


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize(("width", "height"), [(140, 40), (140, 12), (80, 24), (80, 12), (40, 20)])
def test_what_is_wrong_fits_on_the_screen(width: int, height: int, many: bool) -> None:
    """Nine accounts, of which the last has failed with many words, and an alert: all is within the screen's lines, or
    is said to be left out. So it is where `many` others are late, too."""
    board = Board(NAMES, timedelta(minutes=1 if many else 60))
    for name in NAMES:
        board.tell(seen(name, "1234567890.12345678"))
    board.tell(seen("shop-8", None, minute=1))
    board.note("alert", START + timedelta(minutes=2))
    lines = drawn(board, width, height)
    assert len(lines) <= height
    text = "\n".join(lines)
    assert "shop-8: no answer for 5 min: gone" in text
    assert "3 min ago: alert" in text
    shown = text.count("1234567890.12345678")
    assert re.search(r"^ *shop-8 .*1234567890|shop-8 .*\n +balance +1234567890", text, re.MULTILINE)
    assert shown == 9 or f"and {9 - shown} more, for which the screen is too low" in text


def test_an_amount_is_folded_where_nothing_else_helps() -> None:
    """All digits are there on a screen of 20 columns."""
    board = Board(["a"], timedelta(minutes=1))
    board.tell(seen("a", "1234567890.12345678"))
    digits = "".join(line[10:].strip() for line in drawn(board, 20, 40))
    assert "1234567890.12345678" in digits.replace(" ", "")


def test_two_currencies_make_no_change() -> None:
    """An account whose currency is another one begins its trend anew, and has gained nothing."""
    board = Board(["a"], timedelta(minutes=1))
    board.tell(seen("a", "5"))
    board.tell(seen("a", "7"))
    assert "+2" in "\n".join(drawn(board, 140, 40))
    board.tell(seen("a", "9000", "USDT"))
    text = "\n".join(drawn(board, 140, 40))
    assert "+" not in text
    assert text.count("▁") == 1
