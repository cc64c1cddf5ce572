"""The pages, one module for each room of the cabinet."""

from alikassa.cabinet.pages import (
    accounts,
    chart,
    keys,
    login,
    merchants,
    operators,
    profile,
    requests,
    statement,
    tryit,
)

__all__ = ["ROUTES"]

ROUTES = [
    *login.ROUTES,
    *accounts.ROUTES,
    *chart.ROUTES,
    *statement.ROUTES,
    *profile.ROUTES,
    *keys.ROUTES,
    *tryit.ROUTES,
    *requests.ROUTES,
    *operators.ROUTES,
    *merchants.ROUTES,
]
