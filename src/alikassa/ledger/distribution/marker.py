"""What the database says of itself: whether its tables are spread over nodes.

Whoever connects asks, since a worker of the server opens its database unseen. It is a setting of ours and not the
presence of the extension: that one may be there before anything is distributed.
"""

from __future__ import annotations

__all__ = ["ENGINE", "FIND_ENGINE", "KEEP_ENGINE"]

#: The only engine that there is a way to.
ENGINE = "citus"
FIND_ENGINE = "SELECT value FROM settings WHERE name = 'engine'"
KEEP_ENGINE = f"INSERT INTO settings (name, value) VALUES ('engine', '{ENGINE}')"  # noqa: S608 - a constant
