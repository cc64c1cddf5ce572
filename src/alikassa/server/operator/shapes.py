"""The shapes of the books' answers as JSON has them, derived from the books' own: amounts become text.

The books' shapes say in words which of their integers are amounts; here their names do.
"""

from __future__ import annotations

import inspect
import types
import typing
from datetime import date, datetime, timedelta
from enum import Enum
from functools import cache
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from alikassa.ledger.model import Bucket, JournalEntry, LotKey, SystemAccount
from alikassa.money import from_units
from alikassa.server.operator.answers import Decimals, EntryAnswer, Place, entry_answer
from alikassa.server.operator.fields import Moment

__all__ = ["wire", "wire_type"]

#: Integers with these names are amounts, or percentages, in 10^-8; all others are counts and numbers.
_AMOUNTS = frozenset(
    {
        *("amount", "remaining", "total", "change", "hold", "rolling_reserve", "fee", "percent"),
        *("fee_percent", "fee_fixed", "hold_percent", "reserve_percent"),
    }
)
_Lot = Annotated[str, Meta(description="A held sum or payout, by the posting that made it.", examples=["17.2"])]
_Seconds = Annotated[float, Meta(description="Seconds.")]


def wire(value: Any) -> Any:
    """What msgspec writes as the JSON that `wire_type` describes."""
    return _value(value, amounts=False)


def _value(value: Any, *, amounts: bool) -> Any:
    if type(value) is int:
        return from_units(value) if amounts else value
    if isinstance(value, LotKey):
        return str(value)
    if isinstance(value, JournalEntry):
        return entry_answer(value)
    if isinstance(value, msgspec.Struct):
        return {name: _value(getattr(value, name), amounts=name in _AMOUNTS) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {_key(key): _value(one, amounts=isinstance(key, Bucket) or amounts) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_value(one, amounts=amounts) for one in value]
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.hex()
    return value


def _key(key: Any) -> str:
    return str(key.value) if isinstance(key, Enum) else str(key)


@cache
def wire_type(shape: type[msgspec.Struct]) -> Any:
    """The shape of what `wire` makes of values of this one."""
    if shape is JournalEntry:
        return EntryAnswer
    hints = typing.get_type_hints(shape)
    return msgspec.defstruct(
        shape.__name__,
        [(name, _type(hints[name], amounts=name in _AMOUNTS)) for name in shape.__struct_fields__],
        namespace={"__doc__": inspect.getdoc(shape)},
        module=__name__,
    )


def _type(hint: Any, *, amounts: bool) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _union(arguments, amounts=amounts)
    if origin is dict:
        return dict[str, _type(arguments[1], amounts=arguments[0] is Bucket or amounts)]  # type: ignore[misc]
    if origin in (list, tuple):
        return list[_type(arguments[0], amounts=amounts)]  # type: ignore[misc]
    return _plain(hint, amounts=amounts)


def _union(arguments: tuple[Any, ...], *, amounts: bool) -> Any:
    if set(arguments) == {Bucket, SystemAccount}:
        return Place
    kinds = [_type(one, amounts=amounts) for one in arguments]
    return typing.Union[tuple(kinds)]  # noqa: UP007 - of a tuple that is known at run time


def _plain(hint: Any, *, amounts: bool) -> Any:
    if hint is int:
        return Decimals if amounts else int
    if hint is LotKey:
        return _Lot
    if hint is timedelta:
        return _Seconds
    if hint is bytes:
        return str
    if hint is datetime:
        return Moment
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return wire_type(hint)
    if hint in (str, bool, float, None, type(None), date) or isinstance(hint, type):
        return hint
    raise TypeError(f"{hint} has no JSON shape here.")
