"""AWS's library writes whole answers to its debug log. The answer to `sign` is a credential."""

from __future__ import annotations

import logging

__all__ = ["keep_signatures_out"]


def keep_signatures_out() -> None:
    """From now on the log of botocore's parsers drops each answer that holds a signature."""
    # Adding a filter again changes nothing.
    logging.getLogger("botocore.parsers").addFilter(_holds_none)


def _holds_none(record: logging.LogRecord) -> bool:
    return "Signature" not in record.getMessage()
