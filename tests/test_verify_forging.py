"""Forged books whose hash chain was worked out again: nothing but what the entries say themselves gives them away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from alikassa.ledger.bulk import units
from alikassa.ledger.commands import PayoutCorrect
from alikassa.ledger.model import Kind, LotKey, PayoutState
from alikassa.ledger.schema import accounts, discrepancies, journal_entries, lots, payouts, policies, postings
from alikassa.money import SCALE
from books_forger import LATE, Forger
from books_intruder import Row, Told, told_story
from books_story import FIRST


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    with told_story(request.param, request, tmp_path_factory) as told:
        yield told


def _key(row: Row) -> LotKey:
    return LotKey(row["sequence"], row["line"])


def _unbalanced(forger: Forger) -> str:
    payment = forger.row(journal_entries, kind=Kind.PAYMENT)
    forger.add_to(payment["sequence"], payment["lines"] - 1, 1)
    return "Its postings sum to 0.00000001."


def _one_posting_less(forger: Forger) -> str:
    payment = forger.row(journal_entries, kind=Kind.PAYMENT)
    forger.intruder.delete(postings, forger.row(postings, sequence=payment["sequence"], line=payment["lines"] - 1))
    return f"It has {payment['lines']} postings, and these were found: "


def _renumbered_postings(forger: Forger) -> str:
    sequence = forger.sequence(Kind.PAYMENT)
    forger.change(postings, forger.row(postings, sequence=sequence, line=0), line=77)
    return "postings, and these were found: 1, 2, 3, 4, 77."


def _missing_in_the_middle(forger: Forger) -> str:
    sequence = forger.sequence(Kind.ACCOUNT_FROZEN)
    forger.remove(sequence)
    return f"It follows entry {sequence - 1}: the numbers between are missing."


def _missing_at_the_end(forger: Forger) -> str:
    forger.append(Kind.ACCOUNT_FROZEN)
    forger.fit()
    entries = forger.intruder.rows(journal_entries)
    forger.remove(entries[-1]["sequence"])
    return f"Its number of entries is {len(entries) - 1}, and its row says {len(entries)}."


def _swapped(forger: Forger) -> str:
    one, other = (forger.row(journal_entries, kind=kind) for kind in (Kind.ACCOUNT_FROZEN, Kind.ACCOUNT_UNFROZEN))
    forger.change(journal_entries, one, sequence=9999)
    forger.change(journal_entries, other, sequence=one["sequence"])
    forger.change(journal_entries, one | {"sequence": 9999}, sequence=other["sequence"])
    return "It was recorded no later than the entry before it."


def _from_the_future(forger: Forger) -> str:
    row = forger.row(journal_entries, kind=Kind.FEE)
    forger.change(journal_entries, row, effective_at=forger.moment(LATE))
    return "It takes effect after it was recorded."


def _in_a_closed_period(forger: Forger) -> str:
    forger.append(
        Kind.FEE, ("balance", -1), ("system:fees", 1), effective_at=forger.moment(datetime(2026, 3, 2, tzinfo=UTC))
    )
    return "It takes effect 2026-03-02T00:00:00.000000Z, in a period that was closed until 2026-"


def _money_by_a_word(forger: Forger) -> str:
    forger.append(Kind.ACCOUNT_FROZEN, ("balance", SCALE), ("system:adjustments", -SCALE))
    return "It moves money, which no account_frozen does."


def _held_without_a_lot(forger: Forger) -> str:
    forger.append(Kind.ADJUSTMENT, ("hold", SCALE), ("system:adjustments", -SCALE))
    return "A posting in hold names no lot."


def _held_in_a_lot_of_nobody(forger: Forger) -> str:
    sequence = forger.append(Kind.ADJUSTMENT, ("hold", SCALE), ("system:adjustments", -SCALE))
    row = forger.row(postings, sequence=sequence, line=0)
    forger.change(postings, row, lot_sequence=5, lot_line=77)
    return "A posting in hold names the lot 5.77, which there is not."


def _free_money_with_a_lot(forger: Forger) -> str:
    row = forger.row(postings, sequence=forger.sequence(Kind.FEE), line=0)
    forger.change(postings, row, lot_sequence=1, lot_line=1)
    return "A posting in balance names the lot 1.1."


def _another_bucket(forger: Forger) -> str:
    released = forger.sequence(Kind.RESERVE_RELEASED)
    forger.change(postings, forger.row(postings, sequence=released, line=0), bucket="hold")
    return "A posting in hold names a lot of rolling_reserve."


def _a_lot_drawn_too_far(forger: Forger) -> str:
    sequence = forger.sequence(Kind.HOLD_RELEASED)
    forger.add_to(sequence, 0, -1000 * SCALE)
    forger.add_to(sequence, 1, 1000 * SCALE)
    return "is drawn to -"


def _a_lot_that_keeps_more(forger: Forger) -> str:
    row = forger.row(lots, open=forger.flag(True))
    forger.change(lots, row, remaining=forger.amount(units(row["remaining"]) + 1))
    return f"remain of lot {_key(row)} by its row, and "


def _a_lot_of_another_size(forger: Forger) -> str:
    row = forger.row(lots, open=forger.flag(False))
    forger.change(lots, row, amount=forger.amount(units(row["amount"]) + 1))
    return f"Lot {_key(row)} is one of "


def _a_lot_filled_too_far(forger: Forger) -> str:
    forger.add_to(forger.sequence(Kind.REVERSAL, "undo-late"), 0, 1000 * SCALE)
    return " is filled to 1"


def _a_lot_open_for_nothing(forger: Forger) -> str:
    row = forger.row(lots, open=forger.flag(False))
    forger.change(lots, row, open=forger.flag(True))
    return f"Lot {_key(row)} is open by its row only."


def _a_lot_over_too_early(forger: Forger) -> str:
    row = forger.row(lots, open=forger.flag(True))
    forger.change(lots, row, open=forger.flag(False))
    return f"Lot {_key(row)} is over by its row only."


def _a_lot_of_no_posting(forger: Forger) -> str:
    forger.add(lots, forger.row(lots, open=forger.flag(False)), line=55)
    return ".55 of hold was made by no posting."


def _a_lot_of_no_entry(forger: Forger) -> str:
    forger.add(lots, forger.row(lots), sequence=5000)
    return "No entry made what lots has as 5000.1."


def _released_before_it_was_due(forger: Forger) -> str:
    release = forger.sequence(Kind.RELEASE)
    named = forger.row(postings, sequence=release, line=0)
    row = forger.row(lots, sequence=named["lot_sequence"], line=named["lot_line"])
    forger.change(lots, row, due_at=forger.moment(LATE))
    return f"Lot {_key(row)} is released, and due 2027-01-01T00:00:00.000000Z."


def _released_that_never_is(forger: Forger) -> str:
    release = forger.sequence(Kind.RELEASE)
    named = forger.row(postings, sequence=release, line=0)
    row = forger.row(lots, sequence=named["lot_sequence"], line=named["lot_line"])
    forger.change(lots, row, due_at=None)
    return f"Lot {_key(row)} is released, and due never."


def _released_with_another_time(forger: Forger) -> str:
    row = [row for row in forger.intruder.rows(journal_entries) if row["kind"] == Kind.RELEASE][1]
    forger.change(journal_entries, row, effective_at=row["recorded_at"])
    return ", and released with effect from "


def _released_by_half(forger: Forger) -> str:
    release = forger.sequence(Kind.RELEASE)
    forger.add_to(release, 0, 1)
    forger.add_to(release, int(forger.row(journal_entries, sequence=release)["lines"]) - 1, -1)
    return "The release leaves 0.00000001 of lot "


def _released_to_elsewhere(forger: Forger) -> str:
    release = forger.row(journal_entries, kind=Kind.RELEASE)
    row = forger.row(postings, sequence=release["sequence"], line=release["lines"] - 1)
    forger.change(postings, row, bucket="system:payouts")
    return "A release has a posting in system:payouts."


def _looked_for_too_late(forger: Forger) -> str:
    forger.change(accounts, forger.row(accounts), next_due_at=forger.moment(LATE))
    return "Its time when it looks for due lots is 2026-"


def _never_looked_for(forger: Forger) -> str:
    forger.change(accounts, forger.row(accounts), next_due_at=None)
    return ", and its row says none."


def _unfrozen_by_nobody(forger: Forger) -> str:
    forger.change(accounts, forger.row(accounts), state="open")
    return "Its state is frozen, and its row says open."


def _closed_by_nobody(forger: Forger) -> str:
    forger.change(accounts, forger.row(accounts), closed_until=forger.moment(LATE))
    return "Its end of its closed period is 2026-"


def _paid_by_nobody(forger: Forger) -> str:
    row = forger.row(payouts, state=PayoutState.PENDING)
    forger.change(payouts, row, state="paid")
    return f"The payout {_key(row)} has the state pending, and by its row paid."


def _pending_again(forger: Forger) -> str:
    row = forger.row(payouts, reference="out-2")
    forger.change(payouts, row, state="pending", state_sequence=row["sequence"])
    return f"The payout {_key(row)} has the state returned, and by its row pending."


def _not_returned(forger: Forger) -> str:
    paid = forger.row(journal_entries, kind=Kind.PAYOUT_PAID, reference="out-4")
    row = forger.row(payouts, reference="out-4")
    forger.change(payouts, row, state="paid", state_sequence=paid["sequence"], state_at=paid["effective_at"])
    return "A payout_returned is about no payout that its row says was still to change."


def _failed_when_paid(forger: Forger) -> str:
    row = forger.row(payouts, reference="out-1")
    sequence = forger.append(Kind.PAYOUT_FAILED, reference="out-1", subject=row["sequence"])
    forger.change(payouts, row, state="failed", state_sequence=sequence, state_at=forger.moment(LATE))
    return f"The payout {_key(row)} was paid, and became failed."


def _corrected_before_it_was_final(forger: Forger) -> str:
    row = forger.row(payouts, state=PayoutState.PENDING)
    told = PayoutCorrect(FIRST, row["reference"], PayoutState.PAID, "forged", "a forgery")
    said = {"subject": row["sequence"], "detail": "paid", "content": told.content, "reason": "a forgery"}
    sequence = forger.append(Kind.PAYOUT_CORRECTED, metadata="{}", **said)
    forger.change(payouts, row, state="paid", state_sequence=sequence, state_at=forger.moment(LATE))
    return f"The payout {_key(row)} was pending, and became paid."


def _corrected_in_other_words(forger: Forger) -> str:
    row = forger.row(journal_entries, kind=Kind.PAYOUT_CORRECTED)
    forger.change(journal_entries, row, detail="lost")
    return "A payout_corrected is about no payout that its row says was still to change."


def _paid_by_half(forger: Forger) -> str:
    sequence = forger.sequence(Kind.PAYOUT_PAID)
    forger.add_to(sequence, 0, 1)
    forger.add_to(sequence, 1, -1)
    return " are pending, and paid it has 0.00000000."


def _drawn_by_hand(forger: Forger) -> str:
    row = forger.row(payouts, reference="out-5")
    sequence = forger.append(Kind.ADJUSTMENT, ("pending_payouts", -1), ("system:adjustments", 1))
    line = forger.row(postings, sequence=sequence, line=0)
    forger.change(postings, line, lot_sequence=row["sequence"], lot_line=row["line"])
    return f"The payout {_key(row)} was not made by hand, and is changed so."


def _drawn_too_far(forger: Forger) -> str:
    sequence = forger.sequence(Kind.ADJUSTMENT, "less-pending_payouts")
    forger.add_to(sequence, 0, -SCALE)
    forger.add_to(sequence, 2, SCALE)
    return " is drawn to -1.00000000."


def _pending_without_a_payout(forger: Forger) -> str:
    forger.append(Kind.ADJUSTMENT, ("pending_payouts", SCALE), ("system:adjustments", -SCALE))
    return "A posting in pending_payouts names no payout that is still there."


def _made_at_another_time(forger: Forger) -> str:
    row = forger.row(payouts, reference="out-1")
    forger.change(payouts, row, created_at=forger.moment(LATE))
    return f"The payout {_key(row)} was made at another time than its row says."


def _a_payout_of_no_posting(forger: Forger) -> str:
    forger.add(payouts, forger.row(payouts, reference="out-1"), reference="another", line=9)
    return ".9 was made by no posting."


def _a_payout_of_no_entry(forger: Forger) -> str:
    forger.add(payouts, forger.row(payouts, reference="out-1"), reference="another", sequence=5000)
    return "No entry made what payouts has as 5000."


def _a_policy_of_no_entry(forger: Forger) -> str:
    forger.add(policies, forger.row(policies), version=9, sequence=5000)
    return "No entry made version 9 of the policy."


def _a_policy_of_another_entry(forger: Forger) -> str:
    forger.add(policies, forger.row(policies), version=9, sequence=1)
    return "It makes version 9 of the policy, which no opening does."


def _a_policy_that_is_gone(forger: Forger) -> str:
    forger.intruder.delete(policies, forger.row(policies, version=2))
    return "It sets version 2 of the policy, whose row is missing."


def _settled_by_nothing(forger: Forger) -> str:
    row = forger.row(discrepancies, closed_sequence=None)
    forger.change(discrepancies, row, closed_sequence=1)
    return "It corrects no payout 'out-1', and a discrepancy says it settled it."


FORGERIES = [
    value for name, value in list(vars().items()) if name.startswith("_") and callable(value) and value is not _key
]


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda one: one.__name__.strip("_"))
def test_what_cannot_be_is_found(told: Told, forge: Callable[[Forger], str]) -> None:
    """A forgery with hashes and totals made to fit is named for what is wrong with it."""
    forger = Forger(told)
    with told.intruder.meanwhile():
        # What is wrong with the rows of the account itself must not be made to fit.
        fitted = forger.row(accounts)
        expected = forge(forger)
        if forger.row(accounts) == fitted:
            forger.fit()
        found = told.verify()
    assert expected in " | ".join(problem.what for problem in found.problems if problem.account == FIRST)
    assert not [problem for problem in found.problems if "The hash of this" in problem.what]
