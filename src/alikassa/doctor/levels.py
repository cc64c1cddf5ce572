"""How bad a finding is, and in which language it is told."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Language", "Level"]


class Level(StrEnum):
    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


class Language(StrEnum):
    EN = "en"
    RU = "ru"
