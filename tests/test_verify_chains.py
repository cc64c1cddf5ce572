"""Chains that fit in themselves, against what was written down of them earlier; and accounts that are gone."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from alikassa.errors import InvalidInputError
from alikassa.ledger.chain import genesis
from alikassa.ledger.model import Bucket, Kind
from alikassa.ledger.schema import accounts, discrepancies, journal_entries, lots, payouts, policies, postings
from alikassa.ledger.verify import format_heads, parse_heads
from books_forger import Forger
from books_intruder import BOOKS, Told, told_story
from books_story import FIRST, SECOND


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    with told_story(request.param, request, tmp_path_factory) as told:
        yield told


def test_a_tail_that_was_cut_is_found_with_the_heads(told: Told) -> None:
    """Without them, books that end earlier are books like any other."""
    forger = Forger(told)
    with told.intruder.meanwhile():
        last = forger.row(accounts)["sequence"]
        forger.remove(last)
        forger.change(accounts, forger.row(accounts), state="open")
        forger.fit()
        assert told.verify().problems == ()
        found = told.verify(told.heads)
    assert [(one.account, one.sequence) for one in found.problems] == [(FIRST, last)]
    assert f"the journal ends at {last - 1}" in found.problems[0].what


def test_a_chain_that_was_redone_is_found_with_the_heads(told: Told) -> None:
    """One word of an early entry was changed, all hashes worked out again, and an entry added."""
    forger = Forger(told)
    with told.intruder.meanwhile():
        forger.change(journal_entries, forger.row(journal_entries, kind=Kind.FEE), reason="another reason")
        forger.append(Kind.FEE, ("balance", -1), ("system:fees", 1))
        forger.fit()
        assert told.verify().problems == ()
        found = told.verify(told.heads)
    (known,) = [one for one in told.heads if one.account == FIRST]
    assert [(one.account, one.sequence) for one in found.problems] == [(FIRST, known.sequence)]
    assert found.problems[0].what == "It is not the entry whose hash was exported."


def test_entries_that_follow_exported_heads_are_no_problem(told: Told) -> None:
    """The books go on; what the heads name is still there."""
    forger = Forger(told)
    with told.intruder.meanwhile():
        forger.append(Kind.FEE, ("balance", -1), ("system:fees", 1))
        forger.fit()
        assert told.verify(told.heads).problems == ()


def test_an_account_that_is_gone_is_found_with_the_heads(told: Told) -> None:
    """With all that it had."""
    with told.intruder.meanwhile():
        for table in BOOKS:
            for row in told.intruder.rows(table, SECOND):
                told.intruder.delete(table, row)
        assert told.verify().problems == ()
        found = told.verify(told.heads)
    assert [one.account for one in found.problems] == [SECOND]


def test_heads_survive_being_written_and_read(told: Told) -> None:
    """As JSON lines, and as one array."""
    text = format_heads(told.heads)
    assert parse_heads(text) == parse_heads(f"[{','.join(text.splitlines())}]") == told.heads
    assert len(told.heads) == 2


@pytest.mark.parametrize(
    "text",
    [
        "heads",
        "{}",
        "[1]",
        '{"account": "93d5df06-996c-48c3-9847-348d6b580b80", "sequence": 1, "hash": "xx"}',
        '{"account": "93d5df06-996c-48c3-9847-348d6b580b80", "sequence": "1", "hash": "00"}',
        '{"account": "93d5df06-996c-48c3-9847-348d6b580b80", "sequence": -1, "hash": "00"}',
        '{"account": 5, "sequence": 1, "hash": "00"}',
    ],
)
def test_what_are_no_heads_is_refused(text: str) -> None:
    """Rather than nothing being compared."""
    with pytest.raises(InvalidInputError, match="no chain heads"):
        parse_heads(text)


def test_rows_of_an_account_that_is_gone_are_found(told: Told) -> None:
    """Without heads too, when it left anything behind."""
    with told.intruder.meanwhile():
        told.intruder.delete(accounts, told.intruder.rows(accounts)[0])
        assert told.accused() == {FIRST}


def test_an_empty_account_of_another_currency_is_found(told: Told) -> None:
    """Whose an account is, and in which currency, is what its chain begins with, before there is any entry."""
    forger = Forger(told)
    with told.intruder.meanwhile():
        for table in (journal_entries, postings, lots, payouts, policies, discrepancies):
            for row in forger.intruder.rows(table):
                forger.intruder.delete(table, row)
        zero = {bucket.value: forger.amount(0) for bucket in Bucket}
        empty = {"sequence": 0, "recorded_at": None, "policy": 0, "state": "open", "closed_until": None}
        row = forger.row(accounts)
        forger.change(accounts, row, **zero, **empty, head=genesis(FIRST, uuid.UUID(str(row["merchant_id"])), "RUB"))
        assert told.verify().problems == ()
        forger.change(accounts, row, currency="EUR")
        assert told.accused() == {FIRST}


def test_a_reference_that_was_used_twice_is_found(told: Told) -> None:
    """Where the index that forbids it is gone."""
    if told.on_sqlite:
        # There the table cannot be without it.
        return
    told.intruder.execute(
        "ALTER TABLE journal_entries DROP CONSTRAINT journal_entries_lane_account_id_kind_reference_key"
    )
    forger = Forger(told)
    with told.intruder.meanwhile():
        sequence = forger.append(Kind.FEE, ("balance", -1), ("system:fees", 1), reference="fee-1")
        forger.fit()
        found = told.verify()
    assert [(one.sequence, one.what) for one in found.problems] == [(sequence, "There is another fee 'fee-1'.")]
