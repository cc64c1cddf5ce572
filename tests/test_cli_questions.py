"""What `alikassa books` answers, to people and to programs."""

from __future__ import annotations

import asyncio
import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from alikassa.errors import PayoutStateError
from alikassa.ledger.books import Books
from alikassa.ledger.commands import (
    Adjustment,
    Opening,
    OpenLot,
    Payment,
    PayoutCreate,
    PayoutFail,
    Refund,
)
from alikassa.ledger.database import Database
from alikassa.ledger.model import Bucket
from alikassa.money import SCALE
from command_line import REFUSED, USAGE, Done, call, complaint, printed
from questions_story import open_account, tell

UNKNOWN = "ffffffff-ffff-4fff-bfff-ffffffffffff"


@dataclass(frozen=True)
class Told:
    """Where the story was told, in years past, and its account; today another payment followed."""

    database: str
    account: str

    def ask(self, question: str, *arguments: str) -> Done:
        done = call("books", question, *arguments, "--database", self.database)
        assert done.returncode == 0, done.stderr
        return done

    def lines(self, question: str, *arguments: str) -> list[str]:
        """What is printed, each line with single spaces."""
        printed_lines = self.ask(question, *arguments).stdout.splitlines()
        return [" ".join(line.split()) for line in printed_lines if line.strip(" ─")]


async def _tell(url: str) -> str:
    async with await Database.open(url, create=True) as database:
        story = await tell(database)
        account, books = story.account.id, Books(database)
        # 1000: fee 39, reserve 50, hold 200; of the hold 20 are left.
        await books.book(Payment(account=account, amount=1000 * SCALE, reference="p3"))
        await books.book(Refund(account=account, payment="p3", amount=180 * SCALE, reference="r3"))
        await books.book(PayoutCreate(account=account, amount=7 * SCALE, reference="o2"))
        with pytest.raises(PayoutStateError):
            await books.book(PayoutFail(account=account, reference="o1"))
    return str(account)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """On SQLite: that both engines answer the same is tested where the questions are."""
    url = f"sqlite:///{tmp_path_factory.mktemp('questions') / 'books.db'}"
    return Told(url, asyncio.run(_tell(url)))


# Balance


def test_the_balance_of_a_time_in_the_past(told: Told) -> None:
    """Of a date it is midnight in UTC; a zone is minded; without a time it is now."""
    assert told.lines("balance", told.account, "--at", "2024-03-04")[1:] == [
        "RUB 900.50000000 110.00000000 25.00000000 100.00000000"
    ]
    found = printed("books", "balance", told.account, "--at", "2024-03-05T02:00:00+08:00", "--database", told.database)
    assert found == {
        "account": told.account,
        "currency": "RUB",
        "at": "2024-03-04T18:00:00.000000Z",
        "by": "recorded",
        "sequence": 6,
        "balance": "1000.50000000",
        "hold": "10.00000000",
        "rolling_reserve": "25.00000000",
        "pending_payouts": "100.00000000",
    }
    # 1000.5, the reserve that fell due, 711, and 7 less.
    assert told.lines("balance", told.account)[1:] == ["RUB 1729.50000000 30.00000000 50.00000000 7.00000000"]


def test_the_balance_by_effective_time_says_so(told: Told) -> None:
    """To people and to programs."""
    done = told.ask("balance", told.account, "--at", "2024-03-04", "--effective")
    assert done.stderr == (
        "By what took effect by 2024-03-04T00:00:00Z. The last entry recorded by then is number 6.\n"
    )
    arguments = ("books", "balance", told.account, "--effective", "--database", told.database)
    assert printed(*arguments)["by"] == "effective"


# Statement


def test_a_statement_reads_from_opening_to_closing(told: Told) -> None:
    """Each line with what it moved in each of the numbers."""
    assert told.lines("statement", told.account, "--from", "2024-03-02", "--to", "2024-03-03T12:00:00Z") == [
        "entry recorded_at kind reference balance hold rolling_reserve pending_payouts balance after",
        "2024-03-02T00:00:00Z opening 711.00000000 200.00000000 50.00000000 0.00000000",
        "3 2024-03-02T12:00:00Z refund r1 -50.00000000 -200.00000000 -50.00000000 661.00000000",
        "4 2024-03-02T18:00:00Z payment p2 +350.50000000 +100.00000000 +25.00000000 1011.50000000",
        "5 2024-03-03T00:00:00Z payout_created o1 -101.00000000 +100.00000000 910.50000000",
        "2024-03-03T12:00:00Z closing 910.50000000 100.00000000 25.00000000 100.00000000",
    ]


def test_amounts_stand_under_one_another(told: Told) -> None:
    """At the right, so that they can be compared at a glance."""
    rows = told.ask("statement", told.account, "--to", "2024-03-04").stdout.splitlines()
    ends = {row.index(end) + len(end) for end, row in zip(("+711.00000000", "-50.00000000"), rows[5:7], strict=True)}
    assert len(ends) == 1


def test_a_statement_is_paged_by_its_cursor(told: Told) -> None:
    """What the first page says to give, the second takes."""
    first = told.ask("statement", told.account, "--to", "2024-03-04", "--limit", "4")
    assert "4 of the period's 6 entries" in first.stderr
    words = first.stderr.split()
    cursor = words[words.index("--after") + 1]
    second = told.lines("statement", told.account, "--to", "2024-03-04", "--limit", "4", "--after", cursor)
    assert [line.split()[0] for line in second[2:-1]] == ["5", "6"]


def test_the_newest_come_first_or_the_last_in_order(told: Told) -> None:
    """`--newest` turns the statement over, `--last` shows its end."""
    newest = told.lines("statement", told.account, "--to", "2024-03-06", "--newest", "--limit", "3")
    assert [line.split()[0] for line in newest[2:-1]] == ["8", "7", "6"]
    assert ("closing" in newest[1], "opening" in newest[-1]) == (True, True)
    last = told.lines("statement", told.account, "--to", "2024-03-06", "--last", "3")
    assert [line.split()[0] for line in last[2:-1]] == ["6", "7", "8"]
    arguments = ("books", "statement", told.account, "--to", "2024-03-06", "--last", "3")
    found = printed(*arguments, "--database", told.database)
    assert ([line["sequence"] for line in found["lines"]], found["cursor"]) == ([6, 7, 8], None)


def test_a_statement_for_programs_has_everything_as_text(told: Told) -> None:
    """Amounts with eight decimals, times with microseconds, what changed and what was there after."""
    arguments = ("--to", "2024-03-06", "--kind", "hold_placed", "--kind", "refund", "--reference", "h1")
    found = printed("books", "statement", told.account, *arguments, "--database", told.database)
    (line,) = found.pop("lines")
    assert found["count"] == 8
    assert found["closing"]["balance"] == "1000.50000000"
    assert len(line.pop("entry")) == 36
    assert line == {
        "sequence": 6,
        "kind": "hold_placed",
        "reference": "h1",
        "reason": "a doubt",
        "effective_at": "2024-03-03T12:00:00.000000Z",
        "recorded_at": "2024-03-03T12:00:00.000000Z",
        "changes": {"balance": "-10.00000000", "hold": "10.00000000"},
        "balances": {
            "balance": "900.50000000",
            "hold": "110.00000000",
            "rolling_reserve": "25.00000000",
            "pending_payouts": "100.00000000",
        },
    }


def test_a_statement_as_csv_can_be_added_up(told: Told) -> None:
    """All of the period, whatever its length: the changes of a column make its last number."""
    rows = list(csv.DictReader(io.StringIO(told.ask("statement", told.account, "--to", "2024-03-06", "--csv").stdout)))
    assert [row["sequence"] for row in rows] == [str(number) for number in range(1, 9)]
    assert (rows[5]["kind"], rows[5]["reason"], rows[5]["recorded_at"]) == (
        *("hold_placed", "a doubt"),
        "2024-03-03T12:00:00.000000Z",
    )
    assert [Decimal(row["hold"] or 0) for row in rows] == [0, 200, -200, 100, 0, 10, -100, 0]
    assert (rows[-1]["balance_after"], rows[-1]["hold_after"]) == ("1000.50000000", "10.00000000")


# Schedule, explain


def test_the_schedule_of_today(told: Told) -> None:
    """What falls due day by day, what is released only by hand, and the sum of both columns."""
    released = told.lines("schedule", told.account)
    assert released[0] == "released hold rolling_reserve"
    assert [line.split()[1:] for line in released[1:3]] == [
        ["20.00000000", "0.00000000"],
        ["0.00000000", "50.00000000"],
    ]
    assert released[3:] == ["by hand 10.00000000 0.00000000", "in all 30.00000000 50.00000000"]
    found = printed("books", "schedule", told.account, "--database", told.database)
    assert [(day["hold"], day["rolling_reserve"], day["lots"]) for day in found["days"]] == [
        ("20.00000000", "0.00000000", 1),
        ("0.00000000", "50.00000000", 1),
    ]
    assert (found["time_zone"], found["by_hand"]["hold"]) == ("UTC", "10.00000000")


def test_why_money_is_held_is_told_in_words(told: Told) -> None:
    """From which payment and by which terms, how much is left, and until when; or why by hand."""
    text = told.lines("explain", told.account)
    assert "balance 1729.50000000 RUB" in text
    assert "hold 30.00000000 RUB" in text
    held = next(line for line in text if line.startswith("+20.00000000"))
    assert held.startswith("+20.00000000 held from payment 'p3' (20 % by policy 1) until 2")
    assert held.endswith("Z, what is left of 200.00000000. Lot 10.3.")
    assert "+10.00000000 held by hand as 'h1' (a doubt) until it is released by hand. Lot 6.1." in text
    assert "+7.00000000 payout 'o2', under way for 0 minutes." in text
    assert "-10.00000000 hold placed 'h1': a doubt, entry 6, 2024-03-03T12:00:00Z." in text
    assert "+100.00000000 released when it fell due, entry 7, 2024-03-04T18:00:00Z." in text


async def _hand_over(url: str) -> str:
    """An account that other books handed over four hours ago, with three lots that fell due since."""
    now = datetime.now(UTC)
    async with await Database.open(url, create=True) as database:
        account = (await open_account(database)).id
        books = Books(database, lambda: now - timedelta(hours=4))
        lots = tuple(OpenLot(Bucket.HOLD, SCALE, now - timedelta(hours=hour), "theirs") for hour in (1, 2, 3))
        await books.book(
            Opening(
                account=account,
                balance=50 * SCALE,
                hold=3 * SCALE,
                rolling_reserve=0,
                pending_payouts=0,
                reference="their books",
                lots=lots,
            )
        )
        for reference, hours in (("a", 75), ("b", 30), ("c", 5)):
            made_at = now - timedelta(hours=hours, minutes=1)
            await books.book(PayoutCreate(account=account, amount=SCALE, reference=reference, effective_at=made_at))
        await books.book(
            Adjustment(account=account, bucket=Bucket.PENDING_PAYOUTS, amount=SCALE, reference="d", reason="by phone")
        )
    return str(account)


def test_what_is_due_and_what_is_under_way_is_told(tmp_path: Path) -> None:
    """Due money says that it can be spent, though no entry released it yet; payouts say for how long, and by whom."""
    url = f"sqlite:///{tmp_path / 'books.db'}"
    there = Told(url, asyncio.run(_hand_over(url)))
    text = there.lines("explain", there.account, "--limit", "2")
    assert text[0] == "balance 50.00000000 RUB"  # 50 and 3, less 3
    assert text[1].startswith("+1.00000000 brought from other books, from 'theirs' until 2")
    assert text[1].endswith("Lot 1.3. Due, so it can be spent; the next entry books it.")
    assert text[3] == "+1.00000000 in 1 more lot, due."
    assert text[7] == "hold 0.00000000 RUB"
    assert text[-3:] == [
        "+1.00000000 payout 'a', under way for 3 days.",
        "+1.00000000 payout 'b', under way for 30 hours.",
        "+2.00000000 in 2 more payouts, younger.",
    ]
    assert there.lines("explain", there.account)[-2:] == [
        "+1.00000000 payout 'c', under way for 5 hours.",
        "+1.00000000 payout 'd', by hand, under way for 4 hours.",
    ]
    assert there.lines("schedule", there.account)[1:] == [
        "due now 3.00000000 0.00000000",
        "in all 3.00000000 0.00000000",
    ]
    assert "by hand" in there.lines("payouts")[-1]
    assert there.ask("discrepancies").stderr == "No discrepancies.\n"


def test_an_explanation_sums_up_what_it_does_not_list(told: Told) -> None:
    """So that each number is still the sum of its lines."""
    text = told.lines("explain", told.account, "--limit", "1")
    assert "+10.00000000 in 1 more lot, later or by hand." in text
    assert "+1736.50000000 from the first 11 entries." in text
    found = printed("books", "explain", told.account, "--limit", "1", "--database", told.database)
    assert found["hold"]["others"] == {"count": 1, "total": "10.00000000"}
    (lot,) = found["hold"]["lots"]
    assert (lot["lot"], lot["percent"], lot["remaining"]) == ("10.3", "20.00000000", "20.00000000")
    assert found["balance"]["earlier"] == {"count": 11, "total": "1736.50000000"}


# Payouts, discrepancies, trial balance


def test_payouts_and_their_pages(told: Told) -> None:
    """In each state, old ones alone, one by one."""
    assert [line.split()[:2] for line in told.lines("payouts")[1:]] == [[told.account, "o1"], [told.account, "o2"]]
    assert told.ask("payouts", "--older-than-hours", "24", "--state", "pending").stdout == ""
    found = printed("books", "payouts", "--state", "pending", "--account", told.account, "--database", told.database)
    assert [(one["reference"], one["amount"], one["state"]) for one in found["payouts"]] == [
        ("o2", "7.00000000", "pending")
    ]
    first = printed("books", "payouts", "--limit", "1", "--database", told.database)
    second = printed("books", "payouts", "--limit", "1", "--after", first["cursor"], "--database", told.database)
    assert [one["reference"] for one in (*first["payouts"], *second["payouts"])] == ["o1", "o2"]


def test_discrepancies_wait_to_be_settled(told: Told) -> None:
    """Each with what the books say and what the bank says."""
    done = told.ask("discrepancies", "--all")
    assert "o1 RUB 100.00000000 paid failed 1 " in " ".join(done.stdout.split())
    assert "payout correct" in done.stderr
    found = printed("books", "discrepancies", "--account", told.account, "--database", told.database)
    (one,) = found["discrepancies"]
    assert (one["payout"], one["state"], one["claimed"], one["closed_sequence"]) == ("o1", "paid", "failed", None)


def test_the_trial_balance_is_zero(told: Told) -> None:
    """Every place of the currency is listed, and the sum is none."""
    found = printed("books", "trial-balance", "--database", told.database)
    assert len(found) == 9
    assert sum(Decimal(row["total"]) for row in found) == 0
    assert {"currency": "RUB", "place": "system:clearing", "total": "-2020.00000000"} in found
    assert told.ask("trial-balance").stderr == "The books balance: zero in RUB.\n"


# Refusals


@pytest.mark.parametrize("question", ["balance", "statement", "schedule", "explain"])
def test_an_account_that_is_not_there_is_refused(told: Told, question: str) -> None:
    """By every question about one."""
    assert UNKNOWN in complaint(REFUSED, "books", question, UNKNOWN, "--database", told.database)


@pytest.mark.parametrize(
    "arguments",
    [
        ("balance", UNKNOWN, "--at", "2024-03-04T12:00"),
        ("balance", UNKNOWN, "--at", "yesterday"),
        ("balance", "one"),
        ("statement", UNKNOWN, "--kind", "bonus"),
        ("statement", UNKNOWN, "--limit", "0"),
        ("statement", UNKNOWN, "--csv", "--json"),
        ("statement", UNKNOWN, "--last", "2", "--newest"),
        ("statement", UNKNOWN, "--after", "x"),
        ("explain", UNKNOWN, "--limit", "-1"),
        ("payouts", "--older-than-hours", "1e300"),
        ("payouts", "--after", "x"),
        ("discrepancies", "--limit", "5000"),
    ],
    ids=" ".join,
)
def test_a_question_that_is_none_is_refused(told: Told, arguments: tuple[str, ...]) -> None:
    """As wrong usage, in words."""
    assert "error" in complaint(USAGE, "books", *arguments, "--database", told.database).lower()
