"""Refused commands on the command line: exit code, what is said, and that nothing was booked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from alikassa.cli.account import BucketChoice
from alikassa.cli.commands.corrections import ReversibleKind
from alikassa.cli.commands.payouts import FinalState
from alikassa.cli.commands.policy import BaseChoice, ClockStartChoice
from alikassa.cli.tree import app
from alikassa.ledger.model import Bucket, Kind, PayoutState
from alikassa.ledger.policy import Base, ClockStart
from books_on_the_command_line import Ledger, open_ledger
from command_line import REFUSED, SERVER, USAGE, complaint
from conftest import free_port, run_cli

WHY = ("--reason", "because")
#: Held by hand, released, paid out and failed again: the numbers are those of one payment of 1000.
START = ("711", "200", "50", "0")


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """An account with a payment of 1000, a hold by hand that is released, a payout that failed, a fee that is undone.

    What is refused books nothing: that is asserted at the end, for all the tests that share it.
    """
    ledger = open_ledger(f"sqlite:///{tmp_path_factory.mktemp('books') / 'books.db'}")
    ledger.pay()
    ledger.printed("hold place", "--amount", "5", "--reference", "risk-1", *WHY)
    ledger.printed("hold release", "--hold", "risk-1", "--reference", "clear-1", *WHY)
    ledger.printed("payout create", "--amount", "500", "--reference", "bank-1")
    ledger.printed("payout fail", "bank-1")
    ledger.printed("fee", "--amount", "50", "--reference", "month-1", *WHY)
    ledger.printed("reverse", "--kind", "fee", "--of", "month-1", "--reference", "undo-1", *WHY)
    yield ledger
    assert ledger.numbers() == START
    # The next entry is number 9: nothing else was booked.
    assert ledger.printed("account freeze", "--reference", "last", *WHY)["sequence"] == 9


REFUSALS: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
    # Short of money: what was asked, what is there, what to do.
    (
        "payout create",
        ("--amount", "710", "--fee", "1.5", "--reference", "n"),
        ("balance", "711.00000000", "711.50000000", "Amount and fee", "Pay out less"),
    ),
    ("fee", ("--amount", "712", "--reference", "n", *WHY), ("711.00000000", "712.00000000", "--overdraw")),
    (
        "account adjust",
        ("--bucket", "balance", "--amount", "-712", "--reference", "n", *WHY),
        ("711.00000000", "712.00000000", "--overdraw"),
    ),
    (
        "account adjust",
        ("--bucket", "pending_payouts", "--amount", "-1", "--reference", "n", *WHY),
        ("pending_payouts", "0.00000000", "1.00000000", "by hand", "alikassa payout fail"),
    ),
    ("hold place", ("--amount", "712", "--reference", "n", *WHY), ("711.00000000", "712.00000000", "Hold less")),
    (
        "hold release",
        ("--payment", "order-1", "--amount", "201", "--reference", "n", *WHY),
        ("hold", "200.00000000", "201.00000000", "Release less"),
    ),
    ("hold release", ("--hold", "risk-1", "--reference", "n", *WHY), ("Nothing of it is left",)),
    (
        "reserve release",
        ("--lot", "2.2", "--amount", "51", "--reference", "n", *WHY),
        ("rolling_reserve", "50.00000000", "51.00000000", "Release less"),
    ),
    # More than the payment.
    ("refund", ("--payment", "order-1", "--amount", "1001", "--reference", "n"), ("1000.00000000", "1001.00000000")),
    ("chargeback", ("--payment", "order-1", "--amount", "1001", "--reference", "n"), ("1000.00000000", "1001.0")),
    # Unknown.
    ("refund", ("--payment", "order-2", "--amount", "1", "--reference", "n"), ("no payment 'order-2'", "Check")),
    ("chargeback-reversal", ("--chargeback", "dispute-9", "--reference", "n"), ("no chargeback 'dispute-9'",)),
    ("hold release", ("--lot", "2.2", "--reference", "n", *WHY), ("no lot 2.2 in hold",)),
    ("hold release", ("--lot", f"{'9' * 18}.9999", "--reference", "n", *WHY), ("no lot 999999999999999999.9999",)),
    ("payout paid", ("bank-9",), ("no payout 'bank-9'", "Check")),
    ("reverse", ("--kind", "adjustment", "--of", "month-1", "--reference", "n", *WHY), ("no adjustment 'month-1'",)),
    # Done already, or not possible now.
    ("payment record", ("--amount", "1", "--reference", "order-1"), ("'order-1' is taken", "new reference")),
    ("reverse", ("--kind", "fee", "--of", "month-1", "--reference", "n", *WHY), ("reversed already",)),
    ("account close", ("--reference", "n", *WHY), ("not empty", "balance 711.00000000", "hold 200.00000000")),
    ("account unfreeze", ("--reference", "n", *WHY), ("open already",)),
    ("payout paid", ("bank-1",), ("is failed", "said to be paid", "discrepancy", "alikassa payout correct")),
    ("payout return", ("bank-1",), ("is failed", "said to be returned")),
    (
        "payout correct",
        ("bank-1", "--to", "failed", "--reference", "n", *WHY),
        ("is failed", "nothing to correct"),
    ),
    (
        "payment record",
        ("--amount", "1", "--reference", "n", "--effective-at", "9998-12-31T00:00:00Z"),
        ("effective_at 9998-12-31", "has not come yet"),
    ),
]


@pytest.mark.parametrize(
    ("command", "options", "said"), [pytest.param(*row, id=f"{row[0]} {' '.join(row[1][:3])}") for row in REFUSALS]
)
def test_refusal_is_4_and_says_what_to_do(
    ledger: Ledger, command: str, options: tuple[str, ...], said: tuple[str, ...]
) -> None:
    """A refused command exits with 4, and says what was asked, what there is, and what to do."""
    text = ledger.refused(REFUSED, command, *options)
    assert [words for words in said if words not in text] == []


def test_refund_that_is_short_counts_what_is_held_of_the_payment(tmp_path_factory: pytest.TempPathFactory) -> None:
    """With the balance paid out, 250 are left for a refund of 251: the message says that they are held ones too."""
    ledger = open_ledger(f"sqlite:///{tmp_path_factory.mktemp('books') / 'books.db'}")
    ledger.pay()
    ledger.printed("payout create", "--amount", "711", "--reference", "bank-1")
    text = ledger.refused(REFUSED, "refund", "--payment", "order-1", "--amount", "251", "--reference", "r")
    words = ("250.00000000", "251.00000000", "still held of the payment", "Refund less")
    assert [word for word in words if word not in text] == []


def test_reversal_of_what_was_spent_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An adjustment whose money was paid out cannot be undone without an overdraft, and the message says by what."""
    ledger = open_ledger(f"sqlite:///{tmp_path_factory.mktemp('books') / 'books.db'}")
    ledger.printed("account adjust", "--bucket", "balance", "--amount", "100", "--reference", "gift", *WHY)
    ledger.printed("payout create", "--amount", "60", "--reference", "bank-1")
    text = ledger.refused(REFUSED, "reverse", "--kind", "adjustment", "--of", "gift", "--reference", "r", *WHY)
    words = ("40.00000000", "100.00000000", "alikassa account adjust --overdraw")
    assert [word for word in words if word not in text] == []


def test_frozen_account_says_how_to_go_on(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A frozen account takes payments, and refuses a payout and an early release."""
    ledger = open_ledger(f"sqlite:///{tmp_path_factory.mktemp('books') / 'books.db'}")
    ledger.printed("account freeze", "--reference", "f", *WHY)
    ledger.pay()
    for command, options in (
        ("payout create", ("--amount", "1", "--reference", "p")),
        ("hold release", ("--payment", "order-1", "--reference", "h", *WHY)),
    ):
        text = ledger.refused(REFUSED, command, *options)
        assert [words for words in ("frozen", "alikassa account unfreeze") if words not in text] == []
    assert ledger.numbers() == START


# What is not understood

PAYMENT = ("--amount", "1", "--reference", "n")
USAGE_ERRORS: list[tuple[str, tuple[str, ...], str]] = [
    ("payment record", ("--amount", "1e3", "--reference", "n"), "1e3"),
    ("payment record", ("--amount", "0", "--reference", "n"), "above 0"),
    ("payment record", ("--amount", "-5", "--reference", "n"), "above 0"),
    ("payment record", ("--amount", "1"), "--reference"),
    ("payment record", ("--amount", "1", "--reference", "two\nlines"), "reference"),
    ("payment record", (*PAYMENT, "--effective-at", "2026-01-31T12:00:00"), "with its zone"),
    ("payment record", (*PAYMENT, "--effective-at", "yesterday"), "'yesterday' is not a time"),
    ("payment record", (*PAYMENT, "--effective-at", "0001-01-01T00:00:00+14:00"), "is not a time"),
    ("payment record", (*PAYMENT, "--metadata", "shop"), "no '='"),
    ("payment record", (*PAYMENT, "--metadata", "a=1", "--metadata", "a=2"), "twice"),
    ("payment record", (*PAYMENT, "--metadata", "=1"), "name"),
    ("payout create", (*PAYMENT, "--fee", "-1"), "negative"),
    ("payout correct", ("bank-1", "--to", "pending", "--reference", "n", *WHY), "returned"),
    ("hold place", PAYMENT, "--reason"),
    ("hold release", ("--reference", "n", *WHY), "Name one"),
    ("hold release", ("--lot", "2.3", "--payment", "order-1", "--reference", "n", *WHY), "Name one"),
    ("hold release", ("--lot", "2", "--reference", "n", *WHY), "17.2"),
    ("reserve release", ("--lot", "-1.2", "--reference", "n", *WHY), "17.2"),
    ("reserve release", ("--lot", f"{'9' * 19}.1", "--reference", "n", *WHY), "17.2"),
    ("reverse", ("--kind", "payment", "--of", "order-1", "--reference", "n", *WHY), "adjustment"),
    ("fee", PAYMENT, "--reason"),
    ("account freeze", ("--reference", "n", "--reason", ""), "reason"),
    (
        "account adjust",
        ("--bucket", "hold", "--amount", "-1", "--reference", "n", "--overdraw", *WHY),
        "never overdrawn",
    ),
    ("policy set", ("--fee-percent", "101", "--reference", "n"), "fee_percent"),
    ("policy set", ("--fee-percent", "2.9e0", "--reference", "n"), "2.9e0"),
    ("policy set", ("--fee-percent", "0.123456789", "--reference", "n"), "9 decimals"),
    ("policy set", ("--fee-fixed", "-1", "--reference", "n"), "fee_fixed"),
    ("policy set", ("--hold-percent", "10", "--reference", "n"), "--hold-days"),
    ("policy set", ("--reserve-days", "10", "--reference", "n"), "--reserve-percent"),
    ("policy set", ("--hold-percent", "1", "--hold-days", "3651", "--reference", "n"), "hold_days"),
    ("policy set", ("--time-zone", "Europe/Muscow", "--reference", "n"), "Europe/Moscow"),
    ("policy set", ("--clock-start", "noon", "--reference", "n"), "day_end"),
]


@pytest.mark.parametrize(
    ("command", "options", "said"), [pytest.param(*row, id=f"{row[0]} {' '.join(row[1])}") for row in USAGE_ERRORS]
)
def test_what_is_not_understood_is_2(ledger: Ledger, command: str, options: tuple[str, ...], said: str) -> None:
    """A call that cannot be meant exits with 2 and names what is wrong or what would be right."""
    assert said in ledger.refused(USAGE, command, *options)


# Elsewhere


def test_refusal_of_a_process_is_4(ledger: Ledger) -> None:
    """As a shell runs it: exit code 4, nothing on stdout even with --json, words on stderr."""
    done = run_cli(*ledger.words("payout create", "--amount", "5000", "--reference", "n"), "--json")
    assert (done.returncode, done.stdout) == (REFUSED, "")
    assert done.stderr.startswith("error: balance has 711.00000000 RUB, and 5000.00000000 was asked for.\n")


def test_password_of_the_database_is_not_shown(ledger: Ledger) -> None:
    """A database that does not answer is named without its password, and exits with 6."""
    url = f"postgresql://keeper:open-sesame@127.0.0.1:{free_port()}/books"
    text = complaint(SERVER, "payment", "record", ledger.account, *PAYMENT, "--database", url)
    assert "127.0.0.1" in text
    assert "sesame" not in text


# The commands themselves


def commands(group: Any, path: tuple[str, ...] = ()) -> dict[str, Any]:
    """Every command below, by its words."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        words = (*path, name)
        found |= commands(command, words) if hasattr(command, "commands") else {" ".join(words): command}
    return found


def test_every_command_that_books_takes_the_same_options_and_shows_an_example() -> None:
    """Whoever knows one command knows them all: a database, JSON, a reason, a time, metadata, and an example."""
    booking = ["payment record", "refund", "chargeback", "chargeback-reversal", "hold place", "hold release"]
    booking += ["reserve release", "payout create", "payout paid", "payout fail", "payout cancel", "payout return"]
    booking += ["payout correct", "fee", "reverse", "account adjust", "account freeze", "account unfreeze"]
    booking += ["account close", "policy set"]
    every = commands(typer.main.get_command(app))
    for words in booking:
        command = every[words]
        options = {option for parameter in command.params for option in parameter.opts}
        missing = {"--database", "--json", "--reason", "--effective-at", "--metadata"} - options
        assert (words, missing, f"alikassa {words} ACCOUNT" in (command.epilog or "")) == (words, set(), True)
        assert {"--reference", "reference"} & options


def test_choices_are_those_of_the_books() -> None:
    """What may be chosen on the command line is what the books know."""
    assert {one.value for one in BucketChoice} == {one.value for one in Bucket}
    assert {one.value for one in FinalState} == {one.value for one in PayoutState} - {"pending"}
    assert {one.value for one in ReversibleKind} == {Kind.ADJUSTMENT.value, Kind.FEE.value}
    assert {one.value for one in BaseChoice} == {one.value for one in Base}
    assert {one.value for one in ClockStartChoice} == {one.value for one in ClockStart}
