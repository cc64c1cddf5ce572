"""What the operator's process says on stderr. Tokens and bodies are never handed to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from alikassa.server.seldom import Seldom

if TYPE_CHECKING:
    from alikassa.errors import AlikassaError

__all__ = ["OperatorLog"]


class OperatorLog:
    """Events of the operator's API."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("alikassa.operator")
        self._seldom = Seldom()

    def serving(self, url: str) -> None:
        self._log.info("operator serving", url=url)

    def unprotected(self, host: str) -> None:
        self._log.warning("operator's tokens travel unencrypted", host=host)

    def stopped(self) -> None:
        self._log.info("operator stopped")

    def ended(self, exit_code: int | None) -> None:
        self._log.error("operator's process ended", exit_code=exit_code)

    def failed(self, method: str, path: str, error: Exception) -> None:
        """A defect, with its traceback."""
        self._log.error("unexpected error", method=method, path=path, exc_info=error)

    def database_failed(self, error: AlikassaError) -> None:
        """Once in a few seconds a kind, with how many more there were."""
        kind = type(error).__name__
        more = self._seldom.unsaid(kind)
        if more is not None:
            self._log.error("database", problem=str(error), kind=kind, more=more)

    def note_failed(self, error: AlikassaError) -> None:
        if self._seldom.unsaid("note") is not None:
            self._log.warning("a token's use was not written down", problem=str(error))

    def verification_not_noted(self, error: AlikassaError) -> None:
        self._log.warning("a verification was not written down", problem=str(error))

    def swept(self, accounts: int) -> None:
        self._log.info("released what was due", accounts=accounts)

    def metrics_failed(self, error: OSError) -> None:
        self._log.warning("counts for the metrics were not left", problem=error.strerror or type(error).__name__)

    def statistics_failed(self, error: Exception) -> None:
        self._log.warning("statistics not made", problem=str(error), kind=type(error).__name__)

    def sweep_failed(self, error: Exception) -> None:
        self._log.error("sweep failed", problem=str(error), kind=type(error).__name__)
