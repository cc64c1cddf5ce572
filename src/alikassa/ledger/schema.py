"""The tables, as the program reads and writes them. The migrations make them; a test compares the two.

The lane comes first in the key of every table that grows. Merchants, certificates and settings stay small.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
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
    false,
    literal_column,
    nulls_last,
)

from alikassa.ledger.types import Amount, Moment, Uuid

__all__ = [
    *("GROWING", "IMMUTABLE", "IN_ORDER_OF_RELEASE", "REVISION", "accounts", "attempts", "balance_snapshots"),
    *("certificate_uses", "certificates", "closed_periods", "discrepancies", "is_open", "journal_entries"),
    *("lots", "merchants", "metadata", "nonces", "operator_tokens", "payouts", "policies", "postings", "requests"),
    *("sessions", "settings", "users", "verifications"),
]

#: The revision of the newest migration.
REVISION = "0006"

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
    Column("state", Text, nullable=False, server_default="open"),
    Column("policy", Integer, nullable=False, server_default="0"),
    Column("next_due_at", Moment),
    Column("closed_until", Moment),
    Column("head", LargeBinary, nullable=False),
    Column("requires_fresh", Boolean, nullable=False, server_default=false()),
    PrimaryKeyConstraint("lane", "id"),
    Index(None, "merchant_id"),
    Index(None, "next_due_at"),
    sqlite_with_rowid=False,
)

# On PostgreSQL triggers see to it, once a statement, that an entry has its account and a posting its entry; the foreign
# keys are SQLite's.
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
    Column("metadata", Text, nullable=False, server_default="{}"),
    Column("subject", BigInteger),
    Column("detail", Text, nullable=False, server_default=""),
    Column("hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("lane", "account_id", "sequence"),
    UniqueConstraint("lane", "account_id", "kind", "reference"),
    UniqueConstraint("lane", "id"),
    ForeignKeyConstraint(["lane", "account_id"], ["accounts.lane", "accounts.id"]),
    sqlite_with_rowid=False,
)
_about = journal_entries.c.subject.is_not(None)
Index(
    "journal_entries_subject_idx",
    *(journal_entries.c.lane, journal_entries.c.account_id, journal_entries.c.subject),
    postgresql_where=_about,
    sqlite_where=_about,
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
    Column("lot_sequence", BigInteger),
    Column("lot_line", SmallInteger),
    PrimaryKeyConstraint("lane", "account_id", "sequence", "line"),
    ForeignKeyConstraint(
        ["lane", "account_id", "sequence"],
        ["journal_entries.lane", "journal_entries.account_id", "journal_entries.sequence"],
    ),
    sqlite_with_rowid=False,
)

# A lot is named by the posting that made it. `remaining` follows from the postings that name it.
lots = Table(
    "lots",
    metadata,
    Column("lane", SmallInteger, nullable=False),
    Column("account_id", Uuid, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("line", SmallInteger, nullable=False),
    Column("bucket", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("policy", Integer, nullable=False),
    Column("due_at", Moment),
    Column("amount", Amount, nullable=False),
    Column("remaining", Amount, nullable=False),
    Column("open", Boolean, nullable=False),
    PrimaryKeyConstraint("lane", "account_id", "sequence", "line"),
    sqlite_with_rowid=False,
)
#: Lots that hold something. As their index has it: SQLite does not find the index by SQLAlchemy's own `open = 1`.
is_open: ColumnElement[bool] = literal_column("lots.open")
#: The order of that index, without which SQLite would read the closed ones too.
IN_ORDER_OF_RELEASE = (nulls_last(lots.c.due_at), lots.c.sequence, lots.c.line)
Index(
    "lots_open_idx",
    *(lots.c.lane, lots.c.account_id, lots.c.due_at, lots.c.sequence, lots.c.line),
    # What their sums are made of: read from the index alone.
    *(lots.c.bucket, lots.c.remaining, lots.c.open),
    postgresql_where=lots.c.open,
    sqlite_where=lots.c.open,
)

payouts = Table(
    "payouts",
    metadata,
    Column("lane", SmallInteger, nullable=False),
    Column("account_id", Uuid, nullable=False),
    Column("reference", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("line", SmallInteger, nullable=False),
    Column("amount", Amount, nullable=False),
    Column("fee", Amount, nullable=False),
    Column("by_hand", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("state", Text, nullable=False),
    Column("state_sequence", BigInteger, nullable=False),
    Column("state_at", Moment, nullable=False),
    PrimaryKeyConstraint("lane", "account_id", "reference"),
    UniqueConstraint("lane", "account_id", "sequence", "line"),
    Index(None, "lane", "account_id", "state", "sequence"),
    sqlite_with_rowid=False,
)

discrepancies = Table(
    "discrepancies",
    metadata,
    Column("lane", SmallInteger, nullable=False),
    Column("account_id", Uuid, nullable=False),
    Column("payout", Text, nullable=False),
    Column("claimed", Text, nullable=False),
    Column("opened_at", Moment, nullable=False),
    Column("state", Text, nullable=False),
    Column("last_at", Moment, nullable=False),
    Column("times", Integer, nullable=False),
    Column("closed_sequence", BigInteger),
    PrimaryKeyConstraint("lane", "account_id", "payout", "claimed", "opened_at"),
    sqlite_with_rowid=False,
)

policies = Table(
    "policies",
    metadata,
    Column("lane", SmallInteger, nullable=False),
    Column("account_id", Uuid, nullable=False),
    Column("version", Integer, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("fee_percent", Amount, nullable=False),
    Column("fee_fixed", Amount, nullable=False),
    Column("hold_percent", Amount, nullable=False),
    Column("hold_days", Integer, nullable=False),
    Column("reserve_percent", Amount, nullable=False),
    Column("reserve_days", Integer, nullable=False),
    Column("reserve_base", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("clock_start", Text, nullable=False),
    PrimaryKeyConstraint("lane", "account_id", "version"),
    sqlite_with_rowid=False,
)

#: What accounts that are opened later are told of the periods that are closed.
closed_periods = Table(
    "closed_periods",
    metadata,
    Column("reference", Text, primary_key=True),
    Column("until", Moment, nullable=False),
    Column("reason", Text, nullable=False),
    Column("recorded_at", Moment, nullable=False),
)

#: Of a token only its hash is kept.
operator_tokens = Table(
    "operator_tokens",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("created_at", Moment, nullable=False),
    Column("revoked_at", Moment),
    Column("last_used_at", Moment),
)

# The answers to attempts that were named by an Idempotency-Key, kept for a day.
attempts = Table(
    "attempts",
    metadata,
    Column("lane", SmallInteger, nullable=False),
    Column("token_id", Uuid, nullable=False),
    Column("key", Text, nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("made_at", Moment, nullable=False),
    PrimaryKeyConstraint("lane", "token_id", "key"),
    Index(None, "made_at"),
    sqlite_with_rowid=False,
)

# Nonces of signed bodies: each is good once for its certificate. `at` is the time that was signed with it.
nonces = Table(
    "nonces",
    metadata,
    Column("lane", SmallInteger, nullable=False),
    Column("certificate_id", Uuid, nullable=False),
    Column("nonce", Text, nullable=False),
    Column("at", Moment, nullable=False),
    PrimaryKeyConstraint("lane", "certificate_id", "nonce"),
    Index(None, "at"),
    sqlite_with_rowid=False,
)

# What an account's buckets stood at after every 128th entry, written with that entry: a question about the past begins
# at the nearest one. Derived from the postings, and checked against them by `verify`.
balance_snapshots = Table(
    "balance_snapshots",
    metadata,
    Column("lane", SmallInteger, nullable=False),
    Column("account_id", Uuid, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("recorded_at", Moment, nullable=False),
    Column("balance", Amount, nullable=False),
    Column("hold", Amount, nullable=False),
    Column("rolling_reserve", Amount, nullable=False),
    Column("pending_payouts", Amount, nullable=False),
    PrimaryKeyConstraint("lane", "account_id", "sequence"),
    Index(None, "lane", "account_id", "recorded_at"),
    sqlite_with_rowid=False,
)

#: People who use the cabinet. Of a password only its Argon2 hash is kept; an operator belongs to no merchant.
users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("merchant_id", Uuid, ForeignKey("merchants.id")),
    Column("login", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("password", Text, nullable=False),
    Column("totp_secret", LargeBinary),
    Column("totp_step", BigInteger),
    Column("language", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("disabled_at", Moment),
    Index(None, "merchant_id"),
)

#: Of a session's token only its hash is kept.
sessions = Table(
    "sessions",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id"), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Column("address", Text, nullable=False),
    Column("user_agent", Text, nullable=False),
    Index(None, "user_id"),
)

# The last requests that named an account, in two rings: those whose signature was verified, and the others. Requests
# that named none that there is lie under the nil uuid. `others` like it came just before and were only counted.
requests = Table(
    "requests",
    metadata,
    Column("lane", SmallInteger, nullable=False),
    Column("account_id", Uuid, nullable=False),
    Column("verified", Boolean, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("at", Moment, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("certificate_id", Uuid),
    Column("digest", Text, nullable=False),
    Column("micros", BigInteger, nullable=False),
    Column("address", Text, nullable=False),
    Column("user_agent", Text, nullable=False),
    Column("others", Integer, nullable=False),
    PrimaryKeyConstraint("lane", "account_id", "verified", "id"),
    sqlite_with_rowid=False,
)

#: When a certificate last signed with a digest, right to about a minute.
certificate_uses = Table(
    "certificate_uses",
    metadata,
    Column("certificate_id", Uuid, ForeignKey("certificates.id"), nullable=False),
    Column("digest", Text, nullable=False),
    Column("last_used_at", Moment, nullable=False),
    PrimaryKeyConstraint("certificate_id", "digest"),
)

#: Readings of all of the books, and what they found.
verifications = Table(
    "verifications",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("started_at", Moment, nullable=False),
    Column("finished_at", Moment, nullable=False),
    Column("accounts", BigInteger, nullable=False),
    Column("entries", BigInteger, nullable=False),
    Column("wrong", BigInteger, nullable=False),
)

#: Never updated, never deleted from: by triggers, and on PostgreSQL by the server role's privileges too.
IMMUTABLE = (journal_entries, postings, policies)
#: Tables whose key begins with the lane.
GROWING = (
    *(accounts, journal_entries, postings, lots, payouts, discrepancies, policies, attempts),
    *(balance_snapshots, nonces, requests),
)
