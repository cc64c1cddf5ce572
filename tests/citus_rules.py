"""What Citus's documentation says that it refuses, as an extension for the tests' PostgreSQL, which has no Citus.

Nothing is spread anywhere: its functions look at a table as it is, refuse what the documentation says is refused, and
note what they were asked for in `citus_rules`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import asyncpg

_CONTROL = "comment = 'rules'\ndefault_version = '1'\nrelocatable = false\nschema = 'public'\n"
_SCRIPT = r"""
CREATE TABLE pg_dist_node (isactive boolean NOT NULL, shouldhaveshards boolean NOT NULL);
CREATE TABLE citus_rules (name text PRIMARY KEY, kind text NOT NULL, together text, shards integer);

CREATE FUNCTION citus_look_at(asked regclass) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
  IF EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = asked AND NOT tgisinternal) THEN
    RAISE EXCEPTION 'triggers are not supported on %', asked; END IF;
  IF EXISTS (SELECT 1 FROM pg_constraint WHERE contype = 'f' AND conrelid <> confrelid AND (conrelid = asked
      AND confrelid::regclass::text NOT IN (SELECT name FROM citus_rules) OR confrelid = asked
      AND conrelid::regclass::text NOT IN (SELECT name FROM citus_rules))) THEN
    RAISE EXCEPTION 'a foreign key of % is with a local table', asked; END IF;
  IF current_setting('citus.multi_shard_modify_mode', true) IS DISTINCT FROM 'sequential' THEN
    RAISE EXCEPTION 'parallel changes in one transaction'; END IF;
END $$;

CREATE FUNCTION create_reference_table(asked regclass) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
  PERFORM citus_look_at(asked);
  INSERT INTO citus_rules VALUES (asked::text, 'reference');
END $$;

CREATE FUNCTION create_distributed_table(
  asked regclass, distribution_column text, colocate_with text DEFAULT 'default', shard_count integer DEFAULT NULL
) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
  PERFORM citus_look_at(asked);
  IF EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = asked AND i.indisunique AND NOT EXISTS (
      SELECT 1 FROM pg_attribute a WHERE a.attrelid = asked AND a.attnum = ANY (i.indkey)
      AND a.attname = distribution_column)) THEN
    RAISE EXCEPTION 'a unique index of % lacks the distribution column', asked; END IF;
  IF colocate_with NOT IN ('none', 'default') AND (shard_count IS NOT NULL
      OR NOT EXISTS (SELECT 1 FROM citus_rules WHERE name = colocate_with AND kind = distribution_column)) THEN
    RAISE EXCEPTION '% cannot be put beside %', asked, colocate_with; END IF;
  INSERT INTO citus_rules VALUES (asked::text, distribution_column, colocate_with, shard_count);
END $$;
"""


async def install(url: str, *, nodes: int) -> None:
    """The rules, in the database at `url`, with so many nodes that hold rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "extension"
        folder.mkdir()
        (folder / "citus.control").write_text(_CONTROL)
        (folder / "citus--1.sql").write_text(_SCRIPT)
        # The server may run as somebody else.
        for path in (folder.parent, folder):
            path.chmod(0o755)
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(f"SET extension_control_path = '{name}:$system'")
            await connection.execute("CREATE EXTENSION citus")
            await connection.executemany("INSERT INTO pg_dist_node VALUES (true, true)", [()] * nodes)
        finally:
            await connection.close()
