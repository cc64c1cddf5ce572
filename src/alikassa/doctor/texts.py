"""Every word of the doctor's, English and Russian side by side: found, meaning, remedy."""

from __future__ import annotations

from alikassa.doctor.texts_answers import ANSWERS
from alikassa.doctor.texts_files import FILES
from alikassa.doctor.texts_network import NETWORK

__all__ = ["AREAS", "TEXTS"]

AREAS = {
    "settings": ("Settings", "Настройки"),
    "archive": ("Archive", "Архив"),
    "key": ("Key", "Ключ"),
    "network": ("Network", "Сеть"),
    "server": ("Server", "Сервер"),
    "refused": ("Signature", "Подпись"),
}

TEXTS = FILES | NETWORK | ANSWERS
