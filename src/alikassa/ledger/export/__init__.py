"""The journal for other programs: spreadsheets, scripts, and plain text accounting."""

from alikassa.ledger.export.exporting import Exported, Form, export

__all__ = ["Exported", "Form", "export"]
