"""What the cabinet works with, beside the operator's desk: its users, their sessions, their attempts to log in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import structlog

from alikassa.cabinet.codes import Offers
from alikassa.cabinet.passwords import Passwords
from alikassa.cabinet.sessions import Sessions
from alikassa.cabinet.throttle import Throttle
from alikassa.cabinet.users import Users

if TYPE_CHECKING:
    from litestar import Request

    from alikassa.server.operator.desk import Desk

__all__ = ["Office", "office_of"]


@dataclass(frozen=True)
class Office:
    """One for the process."""

    desk: Desk
    users: Users
    sessions: Sessions
    passwords: Passwords
    throttle: Throttle
    offers: Offers
    log: Any

    @classmethod
    def at(cls, desk: Desk) -> Office:
        return cls(
            desk,
            Users(desk.database),
            Sessions(desk.database),
            Passwords(),
            Throttle(),
            Offers(),
            structlog.get_logger("alikassa.cabinet"),
        )


def office_of(request: Request[Any, Any, Any]) -> Office:
    state = request.app.state
    if "office" not in state:
        state["office"] = Office.at(state["desk"])
    return cast("Office", state["office"])
