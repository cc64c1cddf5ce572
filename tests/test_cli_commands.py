"""Each command that books, once, on the command line: what it says, what it prints, and where the money is then."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from alikassa.cli.commands.options import parse_metadata
from books_on_the_command_line import Ledger, numbers_of, open_ledger
from command_line import call
from conftest import run_cli

WHY = ("--reason", "because")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('books') / 'books.db'}"


@pytest.fixture
def ledger(database: str) -> Ledger:
    """An account with the policy, and nothing on it."""
    return open_ledger(database)


@pytest.fixture
def paid(ledger: Ledger) -> Ledger:
    """The same after a payment of 1000: 711 balance, 200 hold, 50 reserve."""
    ledger.pay()
    return ledger


def ago(**parts: int) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(**parts)


# Payments, and what goes back


def test_payment_is_divided_by_the_policy(ledger: Ledger) -> None:
    """Of 1000, 39 are fee, 50 reserve, 200 hold, 711 balance; each held part is a lot that knows when it is due."""
    at = ago(hours=1)
    entry = ledger.printed(
        "payment record", "--amount", "1000", "--reference", "order-1", "--effective-at", at.isoformat()
    )
    assert entry["postings"] == [
        {"bucket": "system:clearing", "amount": "-1000.00000000"},
        {"bucket": "system:fees", "amount": "39.00000000"},
        {
            "bucket": "rolling_reserve",
            "amount": "50.00000000",
            "lot": "2.2",
            "due_at": f"{at + timedelta(days=30):%Y-%m-%dT%H:%M:%S.000000Z}",
        },
        {
            "bucket": "hold",
            "amount": "200.00000000",
            "lot": "2.3",
            "due_at": f"{at + timedelta(days=2):%Y-%m-%dT%H:%M:%S.000000Z}",
        },
        {"bucket": "balance", "amount": "711.00000000"},
    ]


def test_payment_is_told_in_one_sentence(ledger: Ledger) -> None:
    """People read on stderr what became of each part, and until when it is held."""
    at = ago(hours=1)
    done = ledger.call(
        "payment record", "--amount", "1000", "--reference", "order-17", "--effective-at", at.isoformat()
    )
    assert done.stderr == (
        "Booked payment order-17 as entry 2: 1000.00000000 RUB: fee 39.00000000,"
        f" reserve 50.00000000 until {at + timedelta(days=30):%Y-%m-%dT%H:%M:%SZ},"
        f" hold 200.00000000 until {at + timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}, balance 711.00000000.\n"
    )


def test_four_numbers_follow_on_stdout(paid: Ledger) -> None:
    """After the sentence the account's four numbers are a table, as `alikassa balance` prints them."""
    done = paid.call("account adjust", "--bucket", "balance", "--amount", "-0.5", "--reference", "a", *WHY)
    names, values = (line.split() for line in done.stdout.splitlines() if re.search(r"\w", line))
    assert names == ["currency", "balance", "hold", "rolling_reserve", "pending_payouts"]
    assert values == ["RUB", "710.50000000", "200.00000000", "50.00000000", "0.00000000"]


def test_json_is_the_entry_and_the_account(paid: Ledger) -> None:
    """--json prints everything that the entry holds and the account as it stands, and nothing on stderr."""
    done = paid.call(
        "refund", "--payment", "order-1", "--amount", "1", "--reference", "r", "--metadata", "order=a=b", "--json"
    )
    record = json.loads(done.stdout)
    entry = ["entry", "sequence", "kind", "reference", "reason", "metadata", "subject", "detail", "effective_at"]
    account = ["account", "merchant", "currency", "state", "balance", "hold", "rolling_reserve", "pending_payouts"]
    assert list(record) == [*entry, "recorded_at", "hash", "postings", "repeated", *account]
    told = (record["sequence"], record["kind"], record["subject"], record["metadata"], record["repeated"])
    assert told == (3, "refund", 2, {"order": "a=b"}, False)
    assert done.stderr == ""


def test_repetition_says_so(paid: Ledger) -> None:
    """The same payment again is not booked again: the sentence says so, JSON too, and the entry is the first."""
    again = ("--amount", "1000.0", "--reference", "order-1")
    said = paid.call("payment record", *again).stderr
    record = paid.printed("payment record", *again)
    assert said.startswith("Booked before, nothing changed: payment order-1 as entry 2: 1000.00000000 RUB: fee 39.")
    assert (record["repeated"], record["sequence"], numbers_of(record)) == (True, 2, ("711", "200", "50", "0"))


def test_refund_takes_hold_then_reserve_then_balance(paid: Ledger) -> None:
    """300 of the payment are its hold of 200, its reserve of 50, and 50 of the balance."""
    done = paid.call("refund", "--payment", "order-1", "--amount", "300", "--reference", "refund-1")
    assert done.stderr == (
        "Booked refund refund-1 of payment order-1 as entry 3: 300.00000000 RUB: hold -200.00000000,"
        " reserve -50.00000000, balance -50.00000000.\n"
    )
    assert paid.numbers() == ("661", "0", "0", "0")


def test_chargeback_may_take_the_balance_below_zero(paid: Ledger) -> None:
    """All 1000: 250 are held, 711 in the balance, and 39 are owed."""
    paid.printed("chargeback", "--payment", "order-1", "--amount", "1000", "--reference", "dispute-1")
    assert paid.numbers() == ("-39", "0", "0", "0")


def test_won_chargeback_comes_back_into_the_balance(paid: Ledger) -> None:
    """The whole 1000 come into the balance of -39."""
    paid.printed("chargeback", "--payment", "order-1", "--amount", "1000", "--reference", "dispute-1")
    done = paid.call("chargeback-reversal", "--chargeback", "dispute-1", "--reference", "won-1")
    assert done.stderr == "Booked reversal won-1 of chargeback dispute-1 as entry 4: balance +1000.00000000.\n"
    assert paid.numbers() == ("961", "0", "0", "0")


def test_numbers_count_what_is_due_already(ledger: Ledger) -> None:
    """A payment booked three days late: its hold of two days is in the balance that is printed, its reserve is not."""
    late = ("--effective-at", ago(days=3).isoformat())
    record = ledger.printed("payment record", "--amount", "1000", "--reference", "order-1", *late)
    assert numbers_of(record) == ("911", "0", "50", "0")


# Held sums


def test_hold_by_hand(paid: Ledger) -> None:
    """A hold placed by hand leaves the balance until a hand releases it."""
    done = paid.call("hold place", "--amount", "100", "--reference", "risk-1", *WHY)
    assert done.stderr == (
        "Booked hold risk-1 as entry 3: 100.00000000 RUB: balance -100.00000000,"
        " hold +100.00000000 until released by hand.\n"
    )
    placed = paid.numbers()
    paid.printed("hold release", "--hold", "risk-1", "--reference", "clear-1", *WHY)
    assert (placed, paid.numbers()) == (("611", "300", "50", "0"), ("711", "200", "50", "0"))


@pytest.mark.parametrize(
    ("command", "options", "numbers"),
    [
        ("hold release", ("--payment", "order-1"), ("911", "0", "50", "0")),
        ("hold release", ("--lot", "2.3", "--amount", "30.5"), ("741.5", "169.5", "50", "0")),
        ("reserve release", ("--payment", "order-1", "--amount", "50"), ("761", "200", "0", "0")),
        ("reserve release", ("--lot", "2.2"), ("761", "200", "0", "0")),
    ],
)
def test_early_release(paid: Ledger, command: str, options: tuple[str, ...], numbers: tuple[str, ...]) -> None:
    """What is released early, all of it or a part, goes into the balance."""
    record = paid.printed(command, *options, "--reference", "early-1", *WHY)
    assert numbers_of(record) == numbers


# Payouts


def test_payout_leaves_the_balance_with_its_fee(paid: Ledger) -> None:
    """500 are pending and 505 have left the balance."""
    done = paid.call("payout create", "--amount", "500", "--fee", "5", "--reference", "bank-1")
    assert done.stderr == (
        "Booked payout bank-1 as entry 3: 500.00000000 RUB: balance -505.00000000, fee +5.00000000,"
        " pending payouts +500.00000000.\n"
    )
    assert paid.numbers() == ("206", "200", "50", "500")


@pytest.mark.parametrize(
    ("steps", "numbers"),
    [
        (["paid"], ("206", "200", "50", "0")),
        (["fail"], ("711", "200", "50", "0")),
        (["cancel"], ("711", "200", "50", "0")),
        (["paid", "return"], ("706", "200", "50", "0")),
    ],
    ids=" ".join,
)
def test_what_the_bank_says_of_a_payout(paid: Ledger, steps: list[str], numbers: tuple[str, ...]) -> None:
    """Paid it is gone; failed or cancelled, amount and fee are back; returned, the amount is back and the fee kept."""
    paid.printed("payout create", "--amount", "500", "--fee", "5", "--reference", "bank-1")
    for step in steps:
        paid.printed(f"payout {step}", "bank-1")
    assert paid.numbers() == numbers


def test_correction_moves_a_final_payout(paid: Ledger) -> None:
    """A payout that failed and was paid after all: 505 leave the balance again, and the state is named."""
    paid.printed("payout create", "--amount", "500", "--fee", "5", "--reference", "bank-1")
    paid.printed("payout fail", "bank-1")
    done = paid.call("payout correct", "bank-1", "--to", "paid", "--reference", "fix-1", *WHY)
    assert done.stderr == (
        "Booked correction fix-1 of payout bank-1 to paid as entry 5: fee +5.00000000, balance -505.00000000.\n"
    )
    assert paid.numbers() == ("206", "200", "50", "0")


# Fees and corrections


def test_fee_is_taken_from_the_balance(paid: Ledger) -> None:
    """50 of 711."""
    done = paid.call("fee", "--amount", "50", "--reference", "month-1", *WHY)
    assert "Booked fee month-1 as entry 3: 50.00000000 RUB: balance -50.00000000, fee +50.00000000." in done.stderr
    assert paid.numbers() == ("661", "200", "50", "0")


@pytest.mark.parametrize(
    "command",
    [("fee", "--amount", "1000"), ("account adjust", "--bucket", "balance", "--amount", "-1000")],
    ids=["fee", "adjust"],
)
def test_overdraw_lets_the_balance_fall_below_zero(paid: Ledger, command: tuple[str, ...]) -> None:
    """1000 of 711 leave -289."""
    paid.printed(*command, "--reference", "big", "--overdraw", *WHY)
    assert paid.numbers() == ("-289", "200", "50", "0")


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("fee", ("fee", "--amount", "50")),
        ("adjustment", ("account adjust", "--bucket", "hold", "--amount", "50")),
    ],
    ids=["fee", "adjustment"],
)
def test_reversal_undoes_an_entry(paid: Ledger, kind: str, command: tuple[str, ...]) -> None:
    """A fee or an adjustment is undone by an entry of its own, and the numbers are as before."""
    paid.printed(*command, "--reference", "wrong", *WHY)
    between = paid.numbers()
    done = paid.call("reverse", "--kind", kind, "--of", "wrong", "--reference", "undo-1", *WHY)
    assert done.stderr.startswith(f"Booked reversal undo-1 of {kind} wrong as entry 4: ")
    assert between != paid.numbers() == ("711", "200", "50", "0")


def test_adjustment_may_have_taken_effect_earlier(paid: Ledger) -> None:
    """--effective-at is when it took place, in whatever time zone it is told; recorded it is now."""
    late = ("--effective-at", "2026-01-31T15:00:00+03:00")
    adjustment = ("--bucket", "balance", "--amount", "1", "--reference", "late", *late, *WHY)
    record = paid.printed("account adjust", *adjustment)
    assert record["effective_at"] == "2026-01-31T12:00:00.000000Z"
    assert record["recorded_at"] > record["effective_at"]


# The account's state and terms


def test_account_freezes_thaws_and_closes(ledger: Ledger) -> None:
    """Each step says what it means, and `account list` shows the state that the account is in."""
    said, states = [], []
    for number, step in enumerate(("freeze", "unfreeze", "close")):
        done = ledger.call(f"account {step}", "--reference", f"state-{number}", *WHY)
        said.append(done.stderr)
        states.append(ledger.listed()["state"])
        assert done.stdout == ""
    assert states == ["frozen", "open", "closed"]
    assert said[0] == "Booked freeze state-0 as entry 2: no new payouts and no early releases until it is unfrozen.\n"
    assert said[1] == "Booked unfreeze state-1 as entry 3: the account is open again.\n"
    assert said[2].startswith("Booked close state-2 as entry 4: ")


TERMS = ["--fee-percent", "2.9", "--fee-fixed", "10", "--hold-percent", "20", "--hold-days", "2"]
TERMS += ["--reserve-percent", "5", "--reserve-days", "30"]


def test_policy_is_set_in_the_words_of_a_contract(database: str) -> None:
    """The terms are told back, and the next payment comes under them."""
    ledger = open_ledger(database, policy=False)
    done = ledger.call("policy set", *TERMS, "--reference", "terms-1")
    assert done.stderr == (
        "Booked policy terms-1 as entry 1: fee 2.9 % + 10.00000000, hold 20 % of the payment for 2 days,"
        " reserve 5 % of the payment for 30 days, counted from the payment in UTC.\n"
    )
    ledger.pay()
    assert ledger.numbers() == ("711", "200", "50", "0")


def test_every_term_of_a_policy_can_be_set(ledger: Ledger) -> None:
    """A new version with all the terms: the current one is shown, with the entry that set it."""
    terms = ("--fee-percent", "0.00000001", "--reserve-percent", "10.5", "--reserve-days", "180")
    counted = ("--reserve-base", "net", "--time-zone", "Europe/Moscow", "--clock-start", "day_end")
    ledger.printed("policy set", *terms, *counted, "--reference", "terms-2", "--reason", "new contract")
    shown = ledger.printed("policy show")
    recorded_at = datetime.fromisoformat(shown.pop("recorded_at"))
    assert abs(datetime.now(UTC) - recorded_at) < timedelta(minutes=5)
    assert shown == {
        "version": 2,
        "entry": 2,
        "reference": "terms-2",
        "reason": "new contract",
        "fee_percent": "0.00000001",
        "fee_fixed": "0.00000000",
        "hold_percent": "0.00000000",
        "hold_days": 0,
        "reserve_percent": "10.50000000",
        "reserve_days": 180,
        "reserve_base": "net",
        "time_zone": "Europe/Moscow",
        "clock_start": "day_end",
    }


def test_every_version_of_a_policy_is_shown(ledger: Ledger) -> None:
    """--all shows the versions from the newest back, in words and as JSON."""
    ledger.printed("policy set", "--fee-percent", "3", "--reference", "terms-2")
    shown = ledger.printed("policy show", "--all")
    lines = [line for line in ledger.call("policy show", "--all").stdout.splitlines() if "entry" in line]
    assert [(one["version"], one["entry"], one["reference"]) for one in shown] == [(2, 2, "terms-2"), (1, 1, "terms-1")]
    assert ["3 % + 0.00000000" in lines[0], "2.9 % + 10.00000000" in lines[1]] == [True, True]


def test_no_policy_is_said_to_be_none(database: str) -> None:
    """An account without terms: words say what that means and how to set some, JSON is null."""
    ledger = open_ledger(database, policy=False)
    done = ledger.call("policy show")
    assert (done.stdout, "alikassa policy set" in done.stderr) == ("", True)
    assert ledger.printed("policy show") is None


# Both engines, and real processes


def test_commands_book_on_either_engine(database_url: str) -> None:
    """Payment, refund and policy on SQLite and PostgreSQL: the same numbers, due times and terms."""
    ledger = open_ledger(database_url)
    late = ago(days=3)
    sentence = ledger.call(
        "payment record", "--amount", "1000", "--reference", "order-1", "--effective-at", late.isoformat()
    ).stderr
    listed = ledger.numbers()
    refunded = ledger.printed("refund", "--payment", "order-1", "--amount", "60", "--reference", "refund-1")
    assert f"hold 200.00000000 until {late + timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}" in sentence
    # The hold was due a day ago: 711 and 200; then 50 of the reserve and 10 of the balance go back.
    assert (listed, numbers_of(refunded)) == (("911", "0", "50", "0"), ("901", "0", "0", "0"))
    assert [one["fee_percent"] for one in ledger.printed("policy show", "--all")] == ["2.90000000"]


def test_a_payment_is_booked_by_a_process(ledger: Ledger) -> None:
    """As a shell runs it: exit code 0, one sentence on stderr, a table on stdout; again, the same entry."""
    words = ledger.words("payment record", "--amount", "1000", "--reference", "order-1")
    first, second = run_cli(*words), run_cli(*words, "--json")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stderr.startswith("Booked payment order-1 as entry 2: ")
    assert re.search(r"RUB +711\.00000000 +200\.00000000 +50\.00000000 +0\.00000000", first.stdout)
    assert json.loads(second.stdout)["repeated"]


def test_help_is_tidy() -> None:
    """What books stands under a heading of its own in the list of commands."""
    booking = call("--help").stdout.partition("Booking")[2]
    names = ["payment", "refund", "chargeback", "chargeback-reversal", "hold", "reserve", "payout", "policy", "fee"]
    assert [name for name in (*names, "reverse") if f"│ {name} " not in booking] == []


def test_metadata_keeps_later_equals_signs() -> None:
    """NAME=VALUE is divided at its first sign, and the value may be empty."""
    assert parse_metadata(["a=b=c", "d="]) == {"a": "b=c", "d": ""}
