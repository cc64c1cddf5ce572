"""Lots, payouts, policies and the hash chain; what is booked already is given its lots, payouts and hashes."""

import sqlalchemy as sa
from alembic import op

from alikassa.ledger.migrations.carry_over import carry_over
from alikassa.ledger.types import Amount, Moment, Uuid

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _add_columns()
    _make_tables()
    carry_over(op.get_bind())
    if _on_postgresql():
        _guard_on_postgresql()
    else:
        _guard_on_sqlite()


def _on_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _add_columns() -> None:
    # SQLite adds a column that is not null only with a default; carry_over fills in the empty ones.
    empty = sa.text("''::bytea") if _on_postgresql() else sa.text("x''")
    op.add_column("accounts", sa.Column("state", sa.Text, nullable=False, server_default="open"))
    op.add_column("accounts", sa.Column("policy", sa.Integer, nullable=False, server_default="0"))
    op.add_column("accounts", sa.Column("next_due_at", Moment))
    op.add_column("accounts", sa.Column("closed_until", Moment))
    op.add_column("accounts", sa.Column("head", sa.LargeBinary, nullable=False, server_default=empty))
    op.create_index("accounts_next_due_at_idx", "accounts", ["next_due_at"])
    op.add_column("journal_entries", sa.Column("metadata", sa.Text, nullable=False, server_default="{}"))
    op.add_column("journal_entries", sa.Column("subject", sa.BigInteger))
    op.add_column("journal_entries", sa.Column("detail", sa.Text, nullable=False, server_default=""))
    op.add_column("journal_entries", sa.Column("hash", sa.LargeBinary, nullable=False, server_default=empty))
    about = sa.text("subject IS NOT NULL")
    op.create_index(
        "journal_entries_subject_idx",
        "journal_entries",
        ["lane", "account_id", "subject"],
        postgresql_where=about,
        sqlite_where=about,
    )
    op.add_column("postings", sa.Column("lot_sequence", sa.BigInteger))
    op.add_column("postings", sa.Column("lot_line", sa.SmallInteger))
    if _on_postgresql():
        # An account's row is written with every batch: room beside it keeps its indexes out of that.
        op.execute("ALTER TABLE accounts SET (fillfactor = 50)")


def _make_tables() -> None:
    op.create_table(
        "lots",
        *_key(),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("line", sa.SmallInteger, nullable=False),
        sa.Column("bucket", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("policy", sa.Integer, nullable=False),
        sa.Column("due_at", Moment),
        sa.Column("amount", Amount, nullable=False),
        sa.Column("remaining", Amount, nullable=False),
        sa.Column("open", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("lane", "account_id", "sequence", "line", name="lots_pkey"),
        sa.CheckConstraint("bucket IN ('hold', 'rolling_reserve')", name=op.f("lots_bucket_check")),
        *_amounts("lots", "amount", "remaining"),
        sqlite_with_rowid=False,
    )
    still_open = sa.text("open")
    op.create_index(
        "lots_open_idx",
        "lots",
        ["lane", "account_id", "due_at"],
        postgresql_where=still_open,
        sqlite_where=still_open,
    )
    op.create_table(
        "payouts",
        *_key(),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("line", sa.SmallInteger, nullable=False),
        sa.Column("amount", Amount, nullable=False),
        sa.Column("fee", Amount, nullable=False),
        sa.Column("by_hand", sa.Boolean, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("state_sequence", sa.BigInteger, nullable=False),
        sa.Column("state_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("lane", "account_id", "reference", name="payouts_pkey"),
        sa.UniqueConstraint("lane", "account_id", "sequence", "line", name="payouts_lane_account_id_sequence_line_key"),
        *_amounts("payouts", "amount", "fee"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "payouts_lane_account_id_state_sequence_idx", "payouts", ["lane", "account_id", "state", "sequence"]
    )
    op.create_table(
        "discrepancies",
        *_key(),
        sa.Column("payout", sa.Text, nullable=False),
        sa.Column("claimed", sa.Text, nullable=False),
        sa.Column("opened_at", Moment, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("last_at", Moment, nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
        sa.Column("closed_sequence", sa.BigInteger),
        sa.PrimaryKeyConstraint("lane", "account_id", "payout", "claimed", "opened_at", name="discrepancies_pkey"),
        sqlite_with_rowid=False,
    )
    terms = ("fee_percent", "fee_fixed", "hold_percent", "reserve_percent")
    op.create_table(
        "policies",
        *_key(),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("fee_percent", Amount, nullable=False),
        sa.Column("fee_fixed", Amount, nullable=False),
        sa.Column("hold_percent", Amount, nullable=False),
        sa.Column("hold_days", sa.Integer, nullable=False),
        sa.Column("reserve_percent", Amount, nullable=False),
        sa.Column("reserve_days", sa.Integer, nullable=False),
        sa.Column("reserve_base", sa.Text, nullable=False),
        sa.Column("time_zone", sa.Text, nullable=False),
        sa.Column("clock_start", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("lane", "account_id", "version", name="policies_pkey"),
        *_amounts("policies", *terms),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "closed_periods",
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("until", Moment, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("recorded_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("reference", name="closed_periods_pkey"),
    )
    op.create_table(
        "operator_tokens",
        sa.Column("id", Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("revoked_at", Moment),
        sa.Column("last_used_at", Moment),
        sa.PrimaryKeyConstraint("id", name="operator_tokens_pkey"),
        sa.UniqueConstraint("hash", name="operator_tokens_hash_key"),
        sa.CheckConstraint("scope IN ('read', 'write')", name=op.f("operator_tokens_scope_check")),
    )
    op.create_table(
        "attempts",
        sa.Column("lane", sa.SmallInteger, nullable=False),
        sa.Column("token_id", Uuid, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("request", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("made_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("lane", "token_id", "key", name="attempts_pkey"),
        sqlite_with_rowid=False,
    )
    op.create_index("attempts_made_at_idx", "attempts", ["made_at"])


def _key() -> tuple[sa.Column[int], sa.Column[object]]:
    return sa.Column("lane", sa.SmallInteger, nullable=False), sa.Column("account_id", Uuid, nullable=False)


def _amounts(table: str, *columns: str) -> list[sa.CheckConstraint]:
    """On SQLite, where an amount is text: digits, a point and eight decimals, and nothing else."""
    if _on_postgresql():
        return [sa.CheckConstraint(f"{one} >= 0", name=op.f(f"{table}_{one}_check")) for one in columns]
    form = "{0} NOT GLOB '*[^.0-9]*' AND {0} GLOB '*[0-9].[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]'"
    return [sa.CheckConstraint(form.format(column), name=op.f(f"{table}_{column}_form_check")) for column in columns]


# What is fixed when a lot, payout or policy is made stays as it is, and none is taken away.
_FIXED = {
    "lots": "lane, account_id, sequence, line, bucket, source, policy, due_at, amount",
    "payouts": "lane, account_id, reference, sequence, line, fee, by_hand, created_at",
}


def _guard_on_postgresql() -> None:
    # A posting without its entry, or an entry without its account, is refused once a statement. A foreign key looks
    # each row up by itself, which took a fifth of the time of a payment.
    op.drop_constraint("postings_lane_fkey", "postings", type_="foreignkey")
    op.drop_constraint("journal_entries_lane_fkey", "journal_entries", type_="foreignkey")
    op.execute(
        "CREATE OR REPLACE FUNCTION refuse_late_postings() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF EXISTS (SELECT 1 FROM added p LEFT JOIN journal_entries e USING (lane, account_id, sequence) "
        "WHERE e.lines IS NULL OR p.line < 0 OR p.line >= e.lines) THEN "
        "RAISE EXCEPTION 'journal entries are immutable' USING ERRCODE = 'restrict_violation'; END IF; "
        "RETURN NULL; END $$"
    )
    op.execute(
        "CREATE FUNCTION refuse_entries_of_nobody() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF EXISTS (SELECT 1 FROM (SELECT DISTINCT lane, account_id FROM added) e "
        "LEFT JOIN accounts a ON a.lane = e.lane AND a.id = e.account_id WHERE a.id IS NULL) THEN "
        "RAISE EXCEPTION 'a journal entry names no account' USING ERRCODE = 'foreign_key_violation'; END IF; "
        "RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER journal_entries_account AFTER INSERT ON journal_entries REFERENCING NEW TABLE AS added "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_entries_of_nobody()"
    )
    op.execute(
        "CREATE TRIGGER policies_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON policies "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    for table, columns in _FIXED.items():
        op.execute(
            f"CREATE TRIGGER {table}_immutable BEFORE UPDATE OF {columns} OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def _guard_on_sqlite() -> None:
    # One condition an index: in one condition with OR, they had every entry of the lane read.
    op.execute("DROP TRIGGER journal_entries_no_replace")
    for name, same in (
        ("sequence", "account_id = NEW.account_id AND sequence = NEW.sequence"),
        ("reference", "account_id = NEW.account_id AND kind = NEW.kind AND reference = NEW.reference"),
        ("id", "id = NEW.id"),
    ):
        op.execute(
            f"CREATE TRIGGER journal_entries_no_replace_{name} BEFORE INSERT ON journal_entries "
            f"WHEN EXISTS (SELECT 1 FROM journal_entries WHERE lane = NEW.lane AND {same}) "
            "BEGIN SELECT RAISE(ABORT, 'table journal_entries is immutable'); END"
        )
    taken = {
        "policies": "version = NEW.version",
        "lots": "sequence = NEW.sequence AND line = NEW.line",
        "payouts": "reference = NEW.reference",
    }
    for table, same in taken.items():
        columns = f" OF {_FIXED[table]}" if table in _FIXED else ""
        exists = f"EXISTS (SELECT 1 FROM {table} WHERE lane = NEW.lane AND account_id = NEW.account_id AND {same})"
        for name, event, condition in (
            ("no_update", f"UPDATE{columns}", "1"),
            ("no_delete", "DELETE", "1"),
            ("no_replace", "INSERT", exists),
        ):
            op.execute(
                f"CREATE TRIGGER {table}_{name} BEFORE {event} ON {table} WHEN {condition} "
                f"BEGIN SELECT RAISE(ABORT, 'table {table} is immutable'); END"
            )
