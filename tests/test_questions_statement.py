"""Statements: what an account stood at, what moved it, and what it stands at."""

from __future__ import annotations

import base64
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import event

from alikassa.errors import InvalidInputError, NotFoundError
from alikassa.ledger.commands import Payment
from alikassa.ledger.database import Database
from alikassa.ledger.model import Bucket, Kind, LotKey, Posting, SystemAccount
from alikassa.ledger.questions import entries
from alikassa.ledger.questions.statement import Statement, statement, statement_pages
from alikassa.money import SCALE
from questions_story import INSTANT, Story, day, four, new_url, open_account, tell, units

pytestmark = pytest.mark.anyio

# Of the story, by entry.
AFTER = {
    1: four(0, 0, 0, 0),
    2: four(711, 200, 50, 0),
    3: four(661, 0, 0, 0),
    4: four(1011.5, 100, 25, 0),
    5: four(910.5, 100, 25, 100),
    6: four(900.5, 110, 25, 100),
    7: four(1000.5, 10, 25, 100),
    8: four(1000.5, 10, 25, 0),
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for the module, on each engine in turn: every story has an account of its own."""
    return new_url(request, tmp_path_factory)


@pytest.fixture
async def database(url: str, anyio_backend: str) -> AsyncIterator[Database]:
    async with await Database.open(url, create=True) as opened:
        yield opened


@pytest.fixture
async def story(database: Database) -> Story:
    return await tell(database)


async def ask(story: Story, **arguments: Any) -> Statement:
    return await statement(story.database, story.account.id, **arguments)


def balances(found: Statement) -> dict[int, dict[Bucket, int]]:
    return {line.entry.sequence: line.balances for line in found.lines}


async def test_a_statement_leads_from_opening_to_closing(story: Story) -> None:
    """All entries, in the order of booking, each with the four numbers after it."""
    found = await ask(story)
    assert (found.opening, found.closing, found.count, found.cursor) == (AFTER[1], AFTER[8], 8, None)
    assert list(balances(found)) == list(range(1, 9))
    assert balances(found) == AFTER
    assert found.lines[2].changes == {
        Bucket.HOLD: units("-200"),
        Bucket.ROLLING_RESERVE: units("-50"),
        Bucket.BALANCE: units("-50"),
    }


async def test_a_line_has_its_whole_entry(story: Story) -> None:
    """Postings in their order with the lots that they name, times, and what was said."""
    entry = (await ask(story)).lines[1].entry
    assert entry.postings == (
        Posting(SystemAccount.CLEARING, units("-1000")),
        Posting(SystemAccount.FEES, units("39")),
        Posting(Bucket.ROLLING_RESERVE, units("50"), LotKey(2, 2)),
        Posting(Bucket.HOLD, units("200"), LotKey(2, 3)),
        Posting(Bucket.BALANCE, units("711")),
    )
    assert (entry.account, entry.kind, entry.reference, entry.detail) == (story.account.id, Kind.PAYMENT, "p1", "1")
    assert (entry.effective_at, entry.recorded_at, len(entry.hash)) == (day(0), day(0), 32)


async def test_a_period_has_its_start_and_not_its_end(story: Story) -> None:
    """What is recorded in the first instant is in it, what is recorded in the last is not."""
    for start, end, opening, sequences in (
        (day(0), day(1.25), 1, [2, 3]),
        (day(0) + INSTANT, day(1.25) + INSTANT, 2, [3, 4]),
        (day(3.5), None, 6, [7, 8]),
        (None, day(0), 1, [1]),
        (day(1.3), day(1.4), 4, []),
        (day(-9), day(-8), 1, []),
        (day(90), None, 8, []),
        (day(1), day(1), 2, []),
    ):
        found = await ask(story, start=start, end=end)
        assert (list(balances(found)), found.count) == (sequences, len(sequences)), (start, end)
        assert found.opening == AFTER[opening], (start, end)
        assert found.closing == AFTER[max([opening, *sequences])], (start, end)


@pytest.mark.parametrize("newest", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
async def test_pages_make_up_the_whole(story: Story, limit: int, newest: bool) -> None:
    """Whatever their size and direction: every line once, with the same numbers, and the period's own on each page."""
    lines: dict[int, dict[Bucket, int]] = {}
    after: str | None = None
    pages = 0
    while after is not None or not pages:
        page = await ask(story, start=day(0), limit=limit, after=after, newest=newest)
        assert (page.opening, page.closing, page.count) == (AFTER[1], AFTER[8], 7)
        assert not lines.keys() & balances(page).keys()
        lines |= balances(page)
        after, pages = page.cursor, pages + 1
    assert pages == -(-7 // limit)
    assert list(lines) == (list(range(8, 1, -1)) if newest else list(range(2, 9)))
    assert lines == {number: AFTER[number] for number in range(2, 9)}


@pytest.mark.parametrize(
    ("filters", "sequences"),
    [
        ({"kinds": [Kind.PAYMENT]}, [2, 4]),
        ({"kinds": {Kind.PAYMENT, Kind.PAYOUT_PAID, Kind.RELEASE}}, [2, 4, 7, 8]),
        ({"reference": "o1"}, [5, 8]),
        ({"reference": "o1", "kinds": [Kind.PAYOUT_CREATED]}, [5]),
        ({"reference": "nothing"}, []),
    ],
    ids=["kind", "kinds", "reference", "both", "none"],
)
async def test_filters_choose_lines_and_change_no_numbers(
    story: Story, filters: dict[str, Any], sequences: list[int]
) -> None:
    """What is left out still moved the balances; opening, closing and count are the whole period's."""
    for newest in (False, True):
        found = await ask(story, newest=newest, **filters)
        assert list(balances(found)) == (sequences[::-1] if newest else sequences)
        assert balances(found) == {number: AFTER[number] for number in sequences}
        assert (found.opening, found.closing, found.count) == (AFTER[1], AFTER[8], 8)


@pytest.mark.parametrize(
    "question", [{}, {"start": day(1), "end": day(3)}, {"kinds": [Kind.PAYMENT, Kind.PAYOUT_PAID]}, {"reference": "o1"}]
)
async def test_all_pages_at_once_are_the_same_statement(
    story: Story, question: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read in one go, two lines at a time, as asked for page by page; without a cursor."""
    whole = await ask(story, **question)
    monkeypatch.setattr("alikassa.ledger.questions.statement.MOST_LINES", 2)
    pages = [page async for page in statement_pages(story.database, story.account.id, **question)]
    assert [line for page in pages for line in page.lines] == whole.lines
    assert {len(page.lines) for page in pages[:-1]} <= {2}
    for page in pages:
        assert (page.opening, page.closing, page.count) == (whole.opening, whole.closing, whole.count)
        assert page.cursor is None


async def test_an_entry_that_comes_between_two_pages_is_on_the_last(story: Story) -> None:
    """A cursor stays good while the books go on."""
    first = await ask(story, limit=7)
    story.clock.at = day(4)
    await story.books.book(Payment(account=story.account.id, amount=100 * SCALE, reference="p3"))
    second = await ask(story, limit=7, after=first.cursor)
    assert list(balances(second)) == [8, 9]
    # 100: fee 12.9, reserve 5, hold 20.
    assert second.closing == four(1062.5, 30, 30, 0) | {Bucket.BALANCE: units("1062.6")}


async def test_a_cursor_belongs_to_its_question(story: Story) -> None:
    """Of another period, filter, direction or account it is refused, and so is what never was one."""
    cursor = (await ask(story, limit=1)).cursor
    assert cursor is not None
    assert len((await ask(story, limit=1000, after=cursor)).lines) == 7
    others: list[dict[str, Any]] = [
        {"start": day(0)},
        {"end": day(9)},
        {"kinds": [Kind.PAYMENT]},
        {"reference": "p1"},
        {"newest": True},
    ]
    for other in others:
        with pytest.raises(InvalidInputError):
            await ask(story, after=cursor, **other)
    stranger = await open_account(story.database)
    with pytest.raises(InvalidInputError):
        await statement(story.database, stranger.id, after=cursor)
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    forged = [raw[:8] + body for body in (b"", b"[]", b"[-1]", b'["2"]', b"[1.5]", b"[99999999999999999999]", b"\xff")]
    texts = [base64.urlsafe_b64encode(one).decode().rstrip("=") for one in forged]
    for text in ("", "1", cursor + "A", cursor[:-1], cursor + "=", "\u0434", "x" * 5000, *texts):
        with pytest.raises(InvalidInputError):
            await ask(story, after=text)


async def test_what_cannot_be_answered_is_refused(story: Story) -> None:
    """An unknown account, limits out of range, a time without a zone, a period that ends before it starts."""
    with pytest.raises(NotFoundError):
        await statement(story.database, uuid.uuid4())
    refused: list[dict[str, Any]] = [
        {"limit": 0},
        {"limit": 1001},
        {"start": datetime(2024, 3, 1)},  # noqa: DTZ001 - the point
        {"end": datetime(2024, 3, 1)},  # noqa: DTZ001 - the point
        {"start": day(1), "end": day(0)},
        {"reference": ""},
        {"reference": "a\x00b"},
    ]
    for arguments in refused:
        with pytest.raises(InvalidInputError):
            await ask(story, **arguments)


async def test_an_account_without_entries_has_an_empty_statement(database: Database) -> None:
    """Nothing before, nothing after."""
    account = await open_account(database)
    found = await statement(database, account.id, start=day(0), newest=True)
    nothing = four(0, 0, 0, 0)
    assert (found.opening, found.lines, found.closing, found.count, found.cursor) == (nothing, [], nothing, 0, None)


async def test_few_lines_of_a_kind_are_found_by_an_index(
    sqlite_url: str, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite the references' index leads to them: the journal is not walked through for them."""
    monkeypatch.setattr(entries, "_LOOKED_THROUGH", 1)
    asked: list[tuple[str, Any]] = []
    async with await Database.open(sqlite_url, create=True) as database:
        story = await tell(database)
        engine = database._engine.sync_engine
        event.listen(engine, "before_cursor_execute", lambda *arguments: asked.append((arguments[2], arguments[3])))
        found = await statement(database, story.account.id, kinds=[Kind.PAYOUT_PAID, Kind.RELEASE], limit=2)
        assert [line.entry.sequence for line in found.lines] == [7, 8]
        of_kinds = [one for one in asked if "kind IN" in one[0]]
        assert len(of_kinds) == 2
        async with database.read() as connection:
            walked, by_index = [
                str((await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}", values)).all())
                for one, values in of_kinds
            ]
    assert "USING PRIMARY KEY (lane=? AND account_id=? AND sequence>? AND sequence<?)" in walked
    assert "USING INDEX sqlite_autoindex_journal_entries_2 (lane=? AND account_id=? AND kind=?)" in by_index
