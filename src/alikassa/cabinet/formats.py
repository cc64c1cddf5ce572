"""Amounts, times and days as their reader writes them. An amount has all its decimals, two at least."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime, format_timedelta
from babel.numbers import format_decimal
from markupsafe import Markup

from alikassa.clock import moment_text
from alikassa.money import from_units

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Formats", "zone_of"]

_LOCALES = {"ru": Locale.parse("ru_RU"), "en": Locale.parse("en_GB")}
_LEAST_DECIMALS = 2
_MINUS = "\N{MINUS SIGN}"


def zone_of(name: str) -> ZoneInfo:
    """UTC for a name that this machine does not know."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")


@lru_cache(maxsize=4096)
def _day_text(language: str, day: date, form: str) -> str:
    """A chart names hundreds of days, and the next one nearly the same."""
    return str(format_date(day, form, locale=_LOCALES[language]))


class Formats:
    """For one language and one time zone."""

    def __init__(self, language: str, zone: ZoneInfo | None = None) -> None:
        self.language = language
        self.zone = zone or ZoneInfo("UTC")
        self._locale = _LOCALES[language]

    def at(self, zone: ZoneInfo) -> Formats:
        return Formats(self.language, zone)

    @cached_property
    def _symbols(self) -> tuple[str, str]:
        symbols = self._locale.number_symbols["latn"]
        return str(symbols["group"]), str(symbols["decimal"])

    def plain(self, units: int, *, signed: bool = False) -> str:
        """`12,345.67`; every decimal that is not zero is there, and two at least."""
        group, point = self._symbols
        whole, decimals = from_units(abs(units)).split(".")
        kept = decimals.rstrip("0").ljust(_LEAST_DECIMALS, "0")
        parts = [whole[max(0, end - 3) : end] for end in range(len(whole), 0, -3)]
        sign = _MINUS if units < 0 else "+" if signed and units > 0 else ""
        return f"{sign}{group.join(reversed(parts))}{point}{kept}"

    def amount(self, units: int, currency: str = "", *, signed: bool = False) -> Markup:
        """The same, with the exact eight decimals of the wire to point at, and to read by programs."""
        exact, classes = from_units(units), "amount negative" if units < 0 else "amount"
        shown = self.plain(units, signed=signed)
        unit = Markup(' <span class="currency">{}</span>').format(currency) if currency else ""
        return Markup('<data class="{}" value="{}" title="{}">{}{}</data>').format(
            classes, exact, f"{exact} {currency}".strip(), shown, unit
        )

    def number(self, count: int) -> str:
        return str(format_decimal(count, locale=self._locale))

    def moment(self, moment: datetime | None, *, seconds: bool = False) -> Markup | str:
        """A time in this zone; UTC to point at."""
        if moment is None:
            return Markup('<span class="none">—</span>')
        local = moment.astimezone(self.zone)
        form = "d MMM y, HH:mm:ss" if seconds else "d MMM y, HH:mm"
        shown = format_datetime(local, form, locale=self._locale)
        exact = moment_text(moment.astimezone(UTC))
        return Markup('<time datetime="{}" title="{}">{}</time>').format(exact, exact, shown)

    def day(self, day: date) -> Markup:
        return Markup('<time datetime="{}">{}</time>').format(day.isoformat(), self.day_text(day))

    def day_text(self, day: date) -> str:
        return _day_text(self.language, day, "d MMM y")

    def short_day(self, day: date) -> str:
        return _day_text(self.language, day, "d MMM")

    def today(self, now: datetime) -> date:
        return now.astimezone(self.zone).date()

    def age(self, age: timedelta) -> str:
        """`3 days`, in the largest unit that fits."""
        return str(format_timedelta(max(age, timedelta(0)), threshold=1.5, locale=self._locale))

    def micros(self, micros: int) -> str:
        """A duration in milliseconds, as exact as it was measured."""
        return f"{format_decimal(micros / 1000, '#,##0.00', locale=self._locale)}"

    @property
    def zone_name(self) -> str:
        return self.zone.key

    def with_(self) -> dict[str, Callable[..., object]]:
        """What templates call by name."""
        return {
            "amount": self.amount,
            "plain": self.plain,
            "number": self.number,
            "moment": self.moment,
            "day": self.day,
            "short_day": self.short_day,
            "age": self.age,
            "micros": self.micros,
        }
