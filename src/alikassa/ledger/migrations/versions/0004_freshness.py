"""Accounts that take only requests that are good once, and the nonces of such requests."""

import sqlalchemy as sa
from alembic import op

from alikassa.ledger.types import Moment, Uuid

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("accounts", sa.Column("requires_fresh", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "nonces",
        sa.Column("lane", sa.SmallInteger, nullable=False),
        sa.Column("certificate_id", Uuid, nullable=False),
        sa.Column("nonce", sa.Text, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("lane", "certificate_id", "nonce", name="nonces_pkey"),
        sqlite_with_rowid=False,
    )
    op.create_index("nonces_at_idx", "nonces", ["at"])
