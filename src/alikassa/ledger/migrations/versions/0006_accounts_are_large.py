"""On PostgreSQL: the planner takes every account for a large one.

It multiplies what it knows of `lane` with what it knows of `account_id`, as if one did not follow from the other, and
takes all accounts for average ones. With 64 lanes and a few entries an account it so expects one row where one busy
account has 20,000. An index that begins with both then looks as good as any other that does, and each payment read all
of its account's entries to find its reference: 100 payments/s instead of 5,000.

So an account is said to have 3,200 rows, 50 times the lanes, however few the average has. (Never more than the largest
one has, by the planner's own list of the most common.) What names all columns of an index is then found by that one.
"""

import sqlalchemy as sa
from alembic import op

from alikassa.ledger.distribution.marker import FIND_ENGINE

revision = "0006"
down_revision = "0005"

# Those that have several indexes which begin with lane and account.
_TABLES = ("journal_entries", "lots", "payouts")


def upgrade() -> None:
    bind = op.get_bind()
    if bind.dialect.name != "postgresql" or bind.scalar(sa.text(FIND_ENGINE)) is not None:
        return  # SQLite is told the index; tables that are spread over nodes have their statistics there
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} ALTER COLUMN account_id SET (n_distinct = {-1 / 3200})")
        # It holds from the next statistics on.
        if bind.scalar(sa.text(f"SELECT EXISTS (SELECT FROM {table})")):
            op.execute(f"ANALYZE {table}")
