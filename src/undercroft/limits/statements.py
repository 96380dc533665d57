"""The statements of the counters; `rules` says the same in Python.

A take is one upsert, so it is decided under the row's own lock, by the definition as it stands and by the database's
clock; where it is refused nothing is written.
"""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Insert,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from undercroft.core.pages import Filtered
from undercroft.core.server_time import month_millis, server_millis
from undercroft.core.types import BigInt, Text
from undercroft.limits.models import ApiRateLimit as Defined, ApiRateLimitUsage as Row

_NOW = server_millis()
_UNITS = bindparam("units", type_=BigInt())
_ZERO: ColumnElement[int] = literal_column("0", BigInt())
"""Constants are written into the text: a parameter would travel with every take."""
_NOBODY: ColumnElement[str] = literal_column("''", Text())
_BUCKET = Defined.kind == literal_column("'bucket'", Text())
_OF_MONTH = Defined.length == _ZERO
_BOTH: ColumnElement[str] = literal_column("'user and resource'", Text())
_BY_USER = or_(Defined.each == literal_column("'user'", Text()), Defined.each == _BOTH)
_BY_RESOURCE = or_(Defined.each == literal_column("'resource'", Text()), Defined.each == _BOTH)

PERIOD = case(
    (_BUCKET, -Defined.parts),
    (_OF_MONTH, month_millis()),
    else_=_NOW - _NOW % Defined.length,
)
_ENDS = case(
    (_BUCKET, _ZERO),
    (_OF_MONTH, month_millis(1)),
    else_=_NOW - _NOW % Defined.length + Defined.length,
)
_USER = case((_BY_USER, bindparam("user", type_=Text())), else_=_NOBODY)
_RESOURCE = case((_BY_RESOURCE, bindparam("resource", type_=Text())), else_=_NOBODY)
_NAMED = and_(Defined.tenant_id == bindparam("tenant_id"), Defined.name == bindparam("name"))
_KNOWN = and_(
    or_(~_BY_USER, bindparam("user", type_=Text()) != _NOBODY),
    or_(~_BY_RESOURCE, bindparam("resource", type_=Text()) != _NOBODY),
)

KEY = ("tenant_id", "name", "user_native_id", "resource", "period")
COUNT = (Row.period, Row.ends, Row.used, Row.at, Row.capacity, Row.refill)


def _drained(now: ColumnElement[int]) -> ColumnElement[int]:
    """Return what is still used of a counter: `rules.drained`."""
    elapsed = now - Row.at
    return case(
        (Row.refill == _ZERO, Row.used),
        (elapsed <= _ZERO, Row.used),
        (elapsed > Row.used // Row.refill, _ZERO),
        else_=Row.used - elapsed * Row.refill,
    )


def _later(now: ColumnElement[int]) -> ColumnElement[int]:
    """Return a moment that never goes back, though the statement began before the one that it waited for."""
    return case((now > Row.at, now), else_=Row.at)


def _take() -> Insert:
    columns: dict[str, Any] = {
        "tenant_id": Defined.tenant_id,
        "name": Defined.name,
        "user_native_id": _USER,
        "resource": _RESOURCE,
        "period": PERIOD,
        "ends": _ENDS,
        "used": _UNITS * Defined.parts,
        "at": _NOW,
        "capacity": Defined.burst * Defined.parts,
        "refill": Defined.refill,
    }
    asked = select(*(value.label(name) for name, value in columns.items())).where(
        _NAMED, _KNOWN, Defined.burst >= _UNITS
    )
    new = insert(Row).from_select(list(columns), asked)
    used = _drained(new.excluded.at) + new.excluded.used
    return (
        new.on_conflict_do_update(
            index_elements=KEY,
            set_={
                "used": used,
                "at": _later(new.excluded.at),
                "capacity": new.excluded.capacity,
                "refill": new.excluded.refill,
            },
            where=used <= new.excluded.capacity,
        )
        .returning(*COUNT)
        .execution_options(relaxed=True, shares=("name", "user", "resource"))
    )


TAKE = _take()

_CURRENT = and_(
    Row.tenant_id == Defined.tenant_id,
    Row.name == Defined.name,
    Row.user_native_id == _USER,
    Row.resource == _RESOURCE,
    Row.period == PERIOD,
)
STATE = (
    select(
        PERIOD.label("period"),
        _ENDS.label("ends"),
        func.coalesce(_drained(_NOW), _ZERO).label("used"),
        func.coalesce(_later(_NOW), _NOW).label("at"),
        (Defined.burst * Defined.parts).label("capacity"),
        Defined.refill.label("refill"),
        Defined.each.label("each"),
    )
    .select_from(Defined)
    .outerjoin(Row, _CURRENT)
    .where(_NAMED)
)
"""A counter as it stands now, also one that nobody has used."""

_ONE = (
    Row.tenant_id == bindparam("tenant_id"),
    Row.name == bindparam("name"),
    Row.user_native_id == bindparam("user"),
    Row.resource == bindparam("resource"),
    Row.period == bindparam("period"),
)
_BACK = _drained(_NOW) - _UNITS * bindparam("parts", type_=BigInt())
GIVE_BACK = (
    update(Row).where(*_ONE).values(used=case((_BACK > _ZERO, _BACK), else_=_ZERO), at=_later(_NOW)).returning(*COUNT)
)

RESET = Filtered(
    delete(Row).where(Row.tenant_id == bindparam("tenant_id"), Row.name == bindparam("name")),
    user=Row.user_native_id == bindparam("user"),
    resource=Row.resource == bindparam("resource"),
)
FORGET = delete(Row).where(
    Row.tenant_id == bindparam("tenant_id"),
    or_(
        and_(Row.ends > _ZERO, Row.ends <= _NOW - bindparam("keep", type_=BigInt())),
        and_(Row.ends == _ZERO, Row.refill > _ZERO, _NOW - Row.at > Row.used // Row.refill),
    ),
)
"""Periods that ended some time ago, and buckets that are full again: one that is not there is full as well."""

USAGE = Filtered(
    select(Row.name, Row.user_native_id, Row.resource, *COUNT[:2], _drained(_NOW), _later(_NOW), *COUNT[4:])
    .where(
        Row.tenant_id == bindparam("tenant_id"),
        or_(Row.ends > _NOW, Row.ends == _ZERO),
    )
    .order_by(Row.name, Row.user_native_id, Row.resource, Row.period)
    .limit(bindparam("limit")),
    name=Row.name == bindparam("name"),
    user=Row.user_native_id == bindparam("user"),
    resource=Row.resource == bindparam("resource"),
)

_PUT = insert(Defined).values(
    {column.name: bindparam(column.name, type_=column.type) for column in Defined.__table__.columns}
)
DEFINE = _PUT.on_conflict_do_update(
    index_elements=("tenant_id", "name"),
    set_={column.name: _PUT.excluded[column.name] for column in Defined.__table__.columns if not column.primary_key},
)
_LIMIT: tuple[Any, ...] = (Defined.name, Defined.kind, Defined.amount, Defined.per, Defined.burst, Defined.each)
DEFINITIONS = select(*_LIMIT).where(Defined.tenant_id == bindparam("tenant_id")).order_by(Defined.name)
DEFINED = Filtered(DEFINITIONS, name=Defined.name == bindparam("name"))
REMOVE = delete(Defined).where(_NAMED)
