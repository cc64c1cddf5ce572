"""Column types that mean the same on SQLite and on PostgreSQL."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import DateTime, Numeric, Text
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator, TypeEngine

from alikassa.clock import moment_text
from alikassa.money import from_units, to_units

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

__all__ = ["Amount", "Moment", "Uuid"]


class Amount(TypeDecorator[int]):
    """Integers of 10^-8. NUMERIC(38,8) on PostgreSQL; on SQLite text with eight decimals: its integers end at
    9.2 * 10^18, its numerics are floats."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(Numeric(38, 8))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: int | None, dialect: Dialect) -> object:
        if value is None:
            return None
        text = from_units(value)
        return Decimal(text) if dialect.name == "postgresql" else text

    def process_result_value(self, value: object, dialect: Dialect) -> int | None:
        return None if value is None else to_units(format(value, "f") if isinstance(value, Decimal) else str(value))


class Moment(TypeDecorator[datetime]):
    """An aware time in UTC. TIMESTAMPTZ on PostgreSQL, ISO 8601 text of fixed width on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(DateTime(timezone=True))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> object:
        if value is None or dialect.name == "postgresql":
            return value
        return moment_text(value)

    def process_result_value(self, value: object, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        return moment.astimezone(UTC)


class Uuid(TypeDecorator[uuid.UUID]):
    """UUID on PostgreSQL, its usual text in small letters on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.UUID(as_uuid=True))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: uuid.UUID | None, dialect: Dialect) -> object:
        return value if value is None or dialect.name == "postgresql" else str(value)

    def process_result_value(self, value: object, dialect: Dialect) -> uuid.UUID | None:
        return None if value is None else uuid.UUID(str(value))
