"""The tables, as the program reads and writes them. The migrations make them; a test compares the two.

The lane comes first in the key of every table that grows. Merchants, certificates and settings stay small.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)

from alikassa.ledger.types import Amount, Moment, Uuid

__all__ = [
    "GROWING",
    "IMMUTABLE",
    "REVISION",
    "accounts",
    "certificates",
    "journal_entries",
    "merchants",
    "metadata",
    "postings",
    "settings",
]

#: The revision of the newest migration.
REVISION = "0001"

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

settings = Table(
    "settings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

merchants = Table(
    "merchants",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
)

certificates = Table(
    "certificates",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("merchant_id", Uuid, ForeignKey("merchants.id"), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("sha1_allowed", Boolean, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("bits", Integer, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("revoked_at", Moment),
    UniqueConstraint("merchant_id", "fingerprint"),
    Index(None, "merchant_id", "purpose", "state"),
)

accounts = Table(
    "accounts",
    metadata,
    Column("lane", SmallInteger, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("merchant_id", Uuid, ForeignKey("merchants.id"), nullable=False),
    Column("currency", Text, nullable=False),
    Column("balance", Amount, nullable=False),
    Column("hold", Amount, nullable=False),
    Column("rolling_reserve", Amount, nullable=False),
    Column("pending_payouts", Amount, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("recorded_at", Moment),
    Column("opened_at", Moment, nullable=False),
    PrimaryKeyConstraint("lane", "id"),
    Index(None, "merchant_id"),
    sqlite_with_rowid=False,
)

journal_entries = Table(
    "journal_entries",
    metadata,
    Column("lane", SmallInteger, nullable=False),
    Column("account_id", Uuid, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("lines", SmallInteger, nullable=False),
    Column("effective_at", Moment, nullable=False),
    Column("recorded_at", Moment, nullable=False),
    PrimaryKeyConstraint("lane", "account_id", "sequence"),
    UniqueConstraint("lane", "account_id", "kind", "reference"),
    UniqueConstraint("lane", "id"),
    ForeignKeyConstraint(["lane", "account_id"], ["accounts.lane", "accounts.id"]),
    sqlite_with_rowid=False,
)

postings = Table(
    "postings",
    metadata,
    Column("lane", SmallInteger, nullable=False),
    Column("account_id", Uuid, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("line", SmallInteger, nullable=False),
    Column("bucket", Text, nullable=False),
    Column("amount", Amount, nullable=False),
    PrimaryKeyConstraint("lane", "account_id", "sequence", "line"),
    ForeignKeyConstraint(
        ["lane", "account_id", "sequence"],
        ["journal_entries.lane", "journal_entries.account_id", "journal_entries.sequence"],
    ),
    sqlite_with_rowid=False,
)

#: Never updated, never deleted from: by triggers, and on PostgreSQL by the server role's privileges too.
IMMUTABLE = (journal_entries, postings)
#: Tables whose key begins with the lane.
GROWING = (accounts, journal_entries, postings)
