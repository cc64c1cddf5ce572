"""People and their sessions, the log of requests, uses of certificates, verifications, and snapshots of balances."""

import sqlalchemy as sa
from alembic import op

from alikassa.ledger.migrations.past_snapshots import take_past_snapshots
from alikassa.ledger.types import Amount, Moment, Uuid

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    _widen_the_index_of_open_lots()
    _make_snapshots()
    _make_people()
    _make_requests()
    op.create_table(
        "verifications",
        sa.Column("id", Uuid, nullable=False),
        sa.Column("started_at", Moment, nullable=False),
        sa.Column("finished_at", Moment, nullable=False),
        sa.Column("accounts", sa.BigInteger, nullable=False),
        sa.Column("entries", sa.BigInteger, nullable=False),
        sa.Column("wrong", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="verifications_pkey"),
    )


def _widen_the_index_of_open_lots() -> None:
    still_open = sa.text("open")
    op.drop_index("lots_open_idx", "lots")
    op.create_index(
        "lots_open_idx",
        "lots",
        ["lane", "account_id", "due_at", "sequence", "line", "bucket", "remaining", "open"],
        postgresql_where=still_open,
        sqlite_where=still_open,
    )


def _make_snapshots() -> None:
    op.create_table(
        "balance_snapshots",
        sa.Column("lane", sa.SmallInteger, nullable=False),
        sa.Column("account_id", Uuid, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("recorded_at", Moment, nullable=False),
        sa.Column("balance", Amount, nullable=False),
        sa.Column("hold", Amount, nullable=False),
        sa.Column("rolling_reserve", Amount, nullable=False),
        sa.Column("pending_payouts", Amount, nullable=False),
        sa.PrimaryKeyConstraint("lane", "account_id", "sequence", name="balance_snapshots_pkey"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "balance_snapshots_lane_account_id_recorded_at_idx", "balance_snapshots", ["lane", "account_id", "recorded_at"]
    )
    take_past_snapshots(op.get_bind())


def _make_people() -> None:
    op.create_table(
        "users",
        sa.Column("id", Uuid, nullable=False),
        sa.Column("merchant_id", Uuid),
        sa.Column("login", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("password", sa.Text, nullable=False),
        sa.Column("totp_secret", sa.LargeBinary),
        sa.Column("totp_step", sa.BigInteger),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("disabled_at", Moment),
        sa.PrimaryKeyConstraint("id", name="users_pkey"),
        sa.UniqueConstraint("login", name="users_login_key"),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchants.id"], name="users_merchant_id_fkey"),
        sa.CheckConstraint("role IN ('owner', 'viewer', 'operator')", name=op.f("users_role_check")),
        sa.CheckConstraint("(role = 'operator') = (merchant_id IS NULL)", name=op.f("users_merchant_check")),
    )
    op.create_index("users_merchant_id_idx", "users", ["merchant_id"])
    op.create_table(
        "sessions",
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("user_id", Uuid, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("seen_at", Moment, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("user_agent", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("hash", name="sessions_pkey"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="sessions_user_id_fkey"),
    )
    op.create_index("sessions_user_id_idx", "sessions", ["user_id"])


def _make_requests() -> None:
    op.create_table(
        "requests",
        sa.Column("lane", sa.SmallInteger, nullable=False),
        sa.Column("account_id", Uuid, nullable=False),
        sa.Column("verified", sa.Boolean, nullable=False),
        sa.Column("id", Uuid, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("endpoint", sa.Text, nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("certificate_id", Uuid),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("micros", sa.BigInteger, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("user_agent", sa.Text, nullable=False),
        sa.Column("others", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("lane", "account_id", "verified", "id", name="requests_pkey"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "certificate_uses",
        sa.Column("certificate_id", Uuid, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("last_used_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("certificate_id", "digest", name="certificate_uses_pkey"),
        sa.ForeignKeyConstraint(["certificate_id"], ["certificates.id"], name="certificate_uses_certificate_id_fkey"),
    )
