"""Backups of the books while they are in use, and restoring them."""

from alikassa.ledger.backup.manifest import BackupError, Manifest, TableSum
from alikassa.ledger.backup.restoring import Restored, restore
from alikassa.ledger.backup.taking import backup

__all__ = ["BackupError", "Manifest", "Restored", "TableSum", "backup", "restore"]
