"""On PostgreSQL: what dates the answers of replicas, and how often what requests are judged by has changed."""

import sqlalchemy as sa
from alembic import op

from alikassa.ledger.distribution.marker import FIND_ENGINE
from alikassa.ledger.types import Moment, Uuid

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return  # SQLite has no replicas
    op.create_table(
        "heartbeats",
        sa.Column("worker", Uuid, nullable=False),
        sa.Column("beat", sa.BigInteger, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("worker", name="heartbeats_pkey"),
    )
    changes = op.create_table(
        "permission_changes",
        sa.Column("id", sa.SmallInteger, nullable=False, autoincrement=False),
        sa.Column("changes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="permission_changes_pkey"),
    )
    op.bulk_insert(changes, [{"id": 1, "changes": 0}])
    if op.get_bind().scalar(sa.text(FIND_ENGINE)) is not None:
        return  # spread over nodes: no triggers there, and no replicas
    # With the rights of the tables' owner: whoever may change a certificate need not be able to set the count. Nothing
    # is looked for where others may put something of the same name, and nobody else may make a trigger of it.
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    op.execute(
        "CREATE FUNCTION count_permission_change() RETURNS trigger LANGUAGE plpgsql"
        " SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ BEGIN"
        f" UPDATE {schema}.permission_changes SET changes = changes + 1; RETURN NULL; END $$"
    )
    op.execute("REVOKE ALL ON FUNCTION count_permission_change() FROM PUBLIC")
    # Before the rows are locked, so that two who change several lock each other out in one place only. A new account is
    # no change: nobody remembers that there was none.
    for table, events in (
        ("certificates", "INSERT OR UPDATE OR DELETE OR TRUNCATE"),
        ("accounts", "UPDATE OF lane, id, merchant_id, currency, requires_fresh OR DELETE OR TRUNCATE"),
    ):
        op.execute(
            f"CREATE TRIGGER {table}_permissions BEFORE {events} ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION count_permission_change()"
        )
