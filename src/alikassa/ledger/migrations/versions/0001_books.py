"""Merchants, certificates, accounts, and the immutable journal."""

import sqlalchemy as sa
from alembic import op

from alikassa.ledger.ids import LANES
from alikassa.ledger.types import Amount, Moment, Uuid

revision = "0001"
down_revision = None


def upgrade() -> None:
    settings = op.create_table(
        "settings",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="settings_pkey"),
    )
    op.bulk_insert(settings, [{"name": "lanes", "value": str(LANES)}])
    op.create_table(
        "merchants",
        sa.Column("id", Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="merchants_pkey"),
    )
    op.create_table(
        "certificates",
        sa.Column("id", Uuid, nullable=False),
        sa.Column("merchant_id", Uuid, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("sha1_allowed", sa.Boolean, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("bits", sa.Integer, nullable=False),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("revoked_at", Moment),
        sa.PrimaryKeyConstraint("id", name="certificates_pkey"),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchants.id"], name="certificates_merchant_id_fkey"),
        sa.UniqueConstraint("merchant_id", "fingerprint", name="certificates_merchant_id_fingerprint_key"),
        sa.CheckConstraint("purpose IN ('payment', 'payout')", name=op.f("certificates_purpose_check")),
        sa.CheckConstraint("(state = 'active') = (revoked_at IS NULL)", name=op.f("certificates_state_check")),
    )
    op.create_index("certificates_merchant_id_purpose_state_idx", "certificates", ["merchant_id", "purpose", "state"])
    op.create_table(
        "accounts",
        sa.Column("lane", sa.SmallInteger, nullable=False),
        sa.Column("id", Uuid, nullable=False),
        sa.Column("merchant_id", Uuid, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("balance", Amount, nullable=False),
        sa.Column("hold", Amount, nullable=False),
        sa.Column("rolling_reserve", Amount, nullable=False),
        sa.Column("pending_payouts", Amount, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("recorded_at", Moment),
        sa.Column("opened_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("lane", "id", name="accounts_pkey"),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchants.id"], name="accounts_merchant_id_fkey"),
        *_amounts("accounts", "balance", "hold", "rolling_reserve", "pending_payouts"),
        *_not_negative("hold", "rolling_reserve", "pending_payouts"),
        sqlite_with_rowid=False,
    )
    op.create_index("accounts_merchant_id_idx", "accounts", ["merchant_id"])
    op.create_table(
        "journal_entries",
        sa.Column("lane", sa.SmallInteger, nullable=False),
        sa.Column("account_id", Uuid, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("id", Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("lines", sa.SmallInteger, nullable=False),
        sa.Column("effective_at", Moment, nullable=False),
        sa.Column("recorded_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("lane", "account_id", "sequence", name="journal_entries_pkey"),
        sa.UniqueConstraint(
            "lane", "account_id", "kind", "reference", name="journal_entries_lane_account_id_kind_reference_key"
        ),
        sa.UniqueConstraint("lane", "id", name="journal_entries_lane_id_key"),
        sa.ForeignKeyConstraint(
            ["lane", "account_id"], ["accounts.lane", "accounts.id"], name="journal_entries_lane_fkey"
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "postings",
        sa.Column("lane", sa.SmallInteger, nullable=False),
        sa.Column("account_id", Uuid, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("line", sa.SmallInteger, nullable=False),
        sa.Column("bucket", sa.Text, nullable=False),
        sa.Column("amount", Amount, nullable=False),
        *_amounts("postings", "amount"),
        sa.PrimaryKeyConstraint("lane", "account_id", "sequence", "line", name="postings_pkey"),
        sa.ForeignKeyConstraint(
            ["lane", "account_id", "sequence"],
            ["journal_entries.lane", "journal_entries.account_id", "journal_entries.sequence"],
            name="postings_lane_fkey",
        ),
        sqlite_with_rowid=False,
    )
    if _on_postgresql():
        _guard_on_postgresql()
    else:
        _guard_on_sqlite()


def _on_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _amounts(table: str, *columns: str) -> list[sa.CheckConstraint]:
    """On SQLite, where an amount is text: digits, a point and eight decimals, and nothing else."""
    if _on_postgresql():
        return []
    form = "{0} NOT GLOB '*[^-.0-9]*' AND {0} GLOB '*[0-9].[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]'"
    return [sa.CheckConstraint(form.format(column), name=op.f(f"{table}_{column}_form_check")) for column in columns]


def _not_negative(*buckets: str) -> list[sa.CheckConstraint]:
    condition = "{0} >= 0" if _on_postgresql() else "{0} NOT LIKE '-%'"
    return [sa.CheckConstraint(condition.format(bucket), name=op.f(f"accounts_{bucket}_check")) for bucket in buckets]


# What is booked stays as it is: no update, no delete, and no posting added to an entry that has all of its own.
# What is revoked stays revoked.


def _guard_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'table % is immutable', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$"
    )
    for table in ("journal_entries", "postings"):
        op.execute(
            f"CREATE TRIGGER {table}_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    # Once a statement, however many postings it adds.
    op.execute(
        "CREATE FUNCTION refuse_late_postings() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF EXISTS (SELECT 1 FROM added p JOIN journal_entries e USING (lane, account_id, sequence) "
        "WHERE p.line < 0 OR p.line >= e.lines) THEN "
        "RAISE EXCEPTION 'journal entries are immutable' USING ERRCODE = 'restrict_violation'; END IF; "
        "RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER postings_complete AFTER INSERT ON postings REFERENCING NEW TABLE AS added "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_late_postings()"
    )
    op.execute(
        "CREATE FUNCTION refuse_revival() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'a revoked certificate stays revoked' USING ERRCODE = 'restrict_violation'; END $$"
    )
    op.execute(
        "CREATE TRIGGER certificates_revoked BEFORE UPDATE OF state, revoked_at ON certificates FOR EACH ROW "
        "WHEN (OLD.state = 'revoked') EXECUTE FUNCTION refuse_revival()"
    )


def _guard_on_sqlite() -> None:
    # INSERT OR REPLACE deletes without firing delete triggers unless the connection asked for it with
    # recursive_triggers. A foreign program does not ask, so an insert is looked at before it can replace.
    taken = {
        "journal_entries": (
            "lane = NEW.lane AND (account_id = NEW.account_id AND (sequence = NEW.sequence"
            " OR kind = NEW.kind AND reference = NEW.reference) OR id = NEW.id)"
        ),
        "postings": ("lane = NEW.lane AND account_id = NEW.account_id AND sequence = NEW.sequence AND line = NEW.line"),
    }
    for table, same_key in taken.items():
        for event in ("UPDATE", "DELETE"):
            _refuse(table, f"no_{event.lower()}", event, f"table {table} is immutable")
        exists = f"EXISTS (SELECT 1 FROM {table} WHERE {same_key})"
        _refuse(table, "no_replace", "INSERT", f"table {table} is immutable", exists)
    complete = (
        "NEW.line < 0 OR NEW.line >= (SELECT lines FROM journal_entries"
        " WHERE lane = NEW.lane AND account_id = NEW.account_id AND sequence = NEW.sequence)"
    )
    _refuse("postings", "complete", "INSERT", "journal entries are immutable", complete)
    revoked = "OLD.state = 'revoked'"
    _refuse("certificates", "revoked", "UPDATE OF state, revoked_at", "a revoked certificate stays revoked", revoked)


def _refuse(table: str, name: str, event: str, message: str, condition: str = "1") -> None:
    op.execute(
        f"CREATE TRIGGER {table}_{name} BEFORE {event} ON {table} WHEN {condition} "
        f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
    )
