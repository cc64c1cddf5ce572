"""The pages, one module for each room of the cabinet."""

from alikassa.cabinet.pages import accounts, keys, login, profile, statement

__all__ = ["ROUTES"]

ROUTES = [*login.ROUTES, *accounts.ROUTES, *statement.ROUTES, *profile.ROUTES, *keys.ROUTES]
