"""The operator's side with the cabinet on it: one process, one port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar import Router

from alikassa.cabinet.assets import serve_asset
from alikassa.cabinet.guard import PREFIX, Guard
from alikassa.cabinet.pages import ROUTES
from alikassa.cabinet.refusals import refuse
from alikassa.server.operator.application import application as operator_application

if TYPE_CHECKING:
    from alikassa.server.operator.bounds import Bounds
    from alikassa.server.settings import Settings

__all__ = ["application"]


def application(settings: Settings) -> Bounds:
    """As the operator's own, and people's pages under `/cabinet`."""
    cabinet = Router(PREFIX, route_handlers=[*ROUTES, serve_asset], exception_handlers={Exception: refuse})
    return operator_application(settings, beside=[cabinet], refusals={PREFIX: refuse}, guard=Guard)
