"""Bringing a schema up to date. Loads Alembic, which takes as long as everything else: import it when needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["is_older", "newest", "upgrade"]

_MIGRATIONS = Path(__file__).parent / "migrations"


def newest() -> str | None:
    """The revision that the newest migration makes."""
    return ScriptDirectory(str(_MIGRATIONS)).get_current_head()


def is_older(revision: str) -> bool:
    """Whether this program knows how to bring that revision up to date."""
    return any(script.revision == revision for script in ScriptDirectory(str(_MIGRATIONS)).walk_revisions())


def upgrade(connection: sa.Connection) -> None:
    """Run what is missing, in the connection's transaction."""
    scripts = ScriptDirectory(str(_MIGRATIONS))
    config = Config()
    config.attributes["connection"] = connection
    with EnvironmentContext(
        config, scripts, fn=lambda revision, _: scripts._upgrade_revs("head", revision), destination_rev="head"
    ):
        scripts.run_env()
