"""What Citus's documentation says that it refuses, as an extension for the tests' PostgreSQL, which has no Citus.

Nothing is spread anywhere: its functions look at a table as it is, refuse what the documentation says is refused, and
note what they were asked for in `citus_rules`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import asyncpg

_CONTROL = "comment = 'rules'\ndefault_version = '{}'\nrelocatable = false\nschema = 'public'\n"
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

-- Citus refuses a change of a reference table after one of a distributed table; here the first is refused too. Single
-- columns are refused before 13.1.
CREATE FUNCTION citus_look_at_change() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
  IF EXISTS (SELECT 1 FROM citus_rules)
      AND current_setting('citus.multi_shard_modify_mode', true) IS DISTINCT FROM 'sequential' THEN
    RAISE EXCEPTION 'cannot modify table because there was a parallel operation on a distributed table'; END IF;
  IF EXISTS (SELECT 1 FROM citus_rules) AND tg_tag IN ('GRANT', 'REVOKE') AND current_query() LIKE '%(%'
      AND (SELECT string_to_array(split_part(extversion, '-', 1), '.')::integer[] < '{13,1}'
        FROM pg_extension WHERE extname = 'citus') THEN
    RAISE EXCEPTION 'grant/revoke on column list is currently unsupported'; END IF;
END $$;
CREATE EVENT TRIGGER citus_changes ON ddl_command_start WHEN TAG IN ('CREATE TABLE', 'GRANT', 'REVOKE')
  EXECUTE FUNCTION citus_look_at_change();
"""


async def install(url: str, *, nodes: int, version: str = "14.0-1") -> None:
    """The rules of that version, in the database at `url`, with so many nodes that hold rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "extension"
        folder.mkdir()
        (folder / "citus.control").write_text(_CONTROL.format(version))
        (folder / f"citus--{version}.sql").write_text(_SCRIPT)
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
