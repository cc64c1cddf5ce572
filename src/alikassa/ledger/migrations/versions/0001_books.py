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
        sa.UniqueConstraint(
            "merchant_id", "purpose", "fingerprint", name="certificates_merchant_id_purpose_fingerprint_key"
        ),
        sa.CheckConstraint("purpose IN ('payment', 'payout')", name="certificates_purpose_check"),
        sa.CheckConstraint("(state = 'active') = (revoked_at IS NULL)", name="certificates_state_check"),
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
        *(_not_negative(bucket) for bucket in ("hold", "rolling_reserve", "pending_payouts")),
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
        sa.PrimaryKeyConstraint("lane", "account_id", "sequence", "line", name="postings_pkey"),
        sa.ForeignKeyConstraint(
            ["lane", "account_id", "sequence"],
            ["journal_entries.lane", "journal_entries.account_id", "journal_entries.sequence"],
            name="postings_lane_fkey",
        ),
        sqlite_with_rowid=False,
    )
    if op.get_bind().dialect.name == "postgresql":
        _immutable_on_postgresql()
    else:
        _immutable_on_sqlite()


def _not_negative(bucket: str) -> sa.CheckConstraint:
    # On SQLite an amount is text.
    condition = f"{bucket} >= 0" if op.get_bind().dialect.name == "postgresql" else f"{bucket} NOT LIKE '-%'"
    return sa.CheckConstraint(condition, name=f"accounts_{bucket}_check")


def _immutable_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'table % is immutable', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$"
    )
    for table in ("journal_entries", "postings"):
        op.execute(
            f"CREATE TRIGGER {table}_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def _immutable_on_sqlite() -> None:
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
            op.execute(
                f"CREATE TRIGGER {table}_no_{event.lower()} BEFORE {event} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, 'table {table} is immutable'); END"
            )
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same_key}) "
            f"BEGIN SELECT RAISE(ABORT, 'table {table} is immutable'); END"
        )
