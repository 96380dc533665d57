"""Operations on measurements."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, func, literal_column, null, select, type_coerce, union_all

from undercroft.core import ids
from undercroft.core.clock import require_aware, utc_now
from undercroft.core.pages import Filtered, check_limit
from undercroft.core.schema import BigInt, Text, UtcDateTime
from undercroft.core.tx import Tx
from undercroft.metrics.models import Metric as Row, MetricRollup as Rollup
from undercroft.metrics.records import Bucket, Measurement, MetricName, NewMeasurement, Resolution, Summary
from undercroft.metrics.rules import (
    SECONDS,
    Sketch,
    Tally,
    bucket_of,
    check_name,
    check_resolution,
    check_value,
    period,
)

TABLE = Row.metadata.tables["undercroft.metrics"]
_MINE = Row.tenant_id == bindparam("tenant_id")
_ROLLED = Rollup.tenant_id == bindparam("tenant_id")
_COLUMNS = (Row.id, Row.name, Row.value, Row.unit, Row.data, Row.measured_at)
_QUERY = Filtered(
    select(*_COLUMNS).where(_MINE).order_by(Row.id.desc()).limit(bindparam("limit")),
    name=Row.name == bindparam("name"),
    since=(Row.id >= bindparam("since")) & (Row.measured_at >= bindparam("since_at")),
    until=(Row.id < bindparam("until")) & (Row.measured_at < bindparam("until_at")),
    before=Row.id < bindparam("before"),
)


def _absent(column: Any) -> ColumnElement[Any]:
    return type_coerce(null(), column.type)


# What is rolled up, and what is not yet, in one statement: between two of them a roll-up could move one to the other.
_PENDING = (_MINE, Row.rolled_up.is_(False), Row.id >= bindparam("since"), Row.id < bindparam("until"))
_UP = (_ROLLED, Rollup.id >= bindparam("since"), Rollup.id < bindparam("until"))
_PARTS = union_all(
    select(
        Rollup.started_at,
        Rollup.unit,
        Rollup.count,
        Rollup.total,
        Rollup.lowest,
        Rollup.highest,
        Rollup.sketch,
    ).where(*_UP, Rollup.name == bindparam("name"), Rollup.resolution == bindparam("resolution")),
    select(
        Row.measured_at,
        Row.unit,
        literal_column("1", BigInt()),
        Row.value,
        Row.value,
        Row.value,
        _absent(Rollup.sketch),
    ).where(*_PENDING, Row.name == bindparam("name")),
).subquery()
_SUMMARY = select(*_PARTS.c)
_EACH = union_all(
    select(
        Rollup.name.label("name"),
        Rollup.unit.label("unit"),
        Rollup.count.label("count"),
        Rollup.total.label("total"),
        Rollup.lowest.label("lowest"),
        Rollup.highest.label("highest"),
        Rollup.started_at.label("at"),
    ).where(*_UP, Rollup.resolution == literal_column(str(SECONDS["minute"]), BigInt())),
    select(Row.name, Row.unit, literal_column("1", BigInt()), Row.value, Row.value, Row.value, Row.measured_at).where(
        *_PENDING
    ),
).subquery()
_LIST = (
    select(
        _EACH.c.name,
        func.max(_EACH.c.unit, type_=Text()),
        func.sum(_EACH.c.count),
        func.sum(_EACH.c.total),
        func.min(_EACH.c.lowest),
        func.max(_EACH.c.highest),
        func.max(_EACH.c["at"], type_=UtcDateTime()),
    )
    .group_by(_EACH.c.name)
    .order_by(_EACH.c.name)
    .limit(bindparam("limit"))
)


def measure(
    name: str,
    value: float,
    *,
    unit: str | None = None,
    data: Mapping[str, Any] | None = None,
    at: datetime | None = None,
) -> Measurement:
    """Log a measurement: a number, its unit such as ``ms``, whatever else is known of it, and when it was taken.

    Raises:
        InvalidInput: no name, a value that is no finite number, or a naive moment.
    """
    moment = utc_now() if at is None else require_aware(at, "at")
    known = None if data is None else dict(data)
    return Measurement(ids.new(at=at and moment), check_name(name), check_value(value), unit, known, moment)


def append(tx: Tx, measured: Sequence[Measurement]) -> list[Measurement]:
    """Store measurements."""
    rows = [
        {
            "tenant_id": tx.tenant_id,
            "id": one.id,
            "name": one.name,
            "value": one.value,
            "unit": one.unit,
            "data": one.data,
            "measured_at": one.at,
        }
        for one in measured
    ]
    tx.insert_many(TABLE, rows, conflict="error")
    return list(measured)


def log_many(tx: Tx, measured: Sequence[NewMeasurement]) -> int:
    """Log measurements, all or none of them; returns how many.

    Raises:
        InvalidInput: as `log` of one of them.
    """
    return len(append(tx, [measure(one.name, one.value, unit=one.unit, data=one.data, at=one.at) for one in measured]))


def query(
    tx: Tx,
    name: str | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 100,
    before: UUID | None = None,
) -> list[Measurement]:
    """Return single measurements, the newest first; ``before`` is the id of the last one of the page before.

    They are kept as long as `cleanup` leaves them; what they add up to, `summary` tells for longer.
    """
    statement, used = _QUERY.given(
        name=name,
        since=None if since is None else ids.floor(require_aware(since, "since")),
        since_at=since,
        until=None if until is None else ids.time_bounds(require_aware(until, "until"), until)[1],
        until_at=until,
        before=before,
        limit=check_limit(limit),
    )
    return [Measurement(*row) for row in tx.rows(statement, used)]


def summary(
    tx: Tx,
    name: str,
    *,
    hours: float = 24,
    since: datetime | None = None,
    until: datetime | None = None,
    bucket: Resolution = "hour",
) -> Summary:
    """Tell what a metric did: count, rate, minimum, maximum, mean, p50, p95 and p99 in all and by minute, hour or day.

    The window is the last ``hours``, or from ``since`` until ``until``; it is widened to whole buckets, UTC.

    Raises:
        InvalidInput: no name, an unknown bucket, a naive moment, or a period that is not positive.
    """
    check_resolution(bucket)
    end = tx.now if until is None else require_aware(until, "until")
    begin = end - period(hours, "hours", timedelta(hours=1)) if since is None else require_aware(since, "since")
    low, high = window(begin, end, bucket)
    given = {"name": check_name(name), "resolution": SECONDS[bucket], "since": low, "until": high}
    tallies: dict[datetime, Tally] = {}
    total = Tally()
    for started_at, unit, count, added, lowest, highest, sketch in tx.rows(_SUMMARY, given):
        tally = tallies.setdefault(bucket_of(started_at, bucket), Tally())
        for one in (tally, total):
            if sketch is None:
                one.add(added, unit)
            else:
                one.merge(Tally(unit, count, added, lowest, highest, Sketch.from_json(sketch)))
    buckets = tuple(tallies[start].bucket(start, SECONDS[bucket]) for start in sorted(tallies))
    return Summary(name, total.unit, _whole(total, buckets, ids.at(low), ids.at(high)), buckets)


def list_(tx: Tx, *, hours: float = 24, limit: int = 100) -> list[MetricName]:
    """List what was measured in the last hours, by name, from the minute on in which they begin.

    Raises:
        InvalidInput: a period that is not positive.
    """
    low, high = window(tx.now - period(hours, "hours", timedelta(hours=1)), tx.now, "minute")
    rows = tx.rows(_LIST, {"since": low, "until": high, "limit": check_limit(limit)})
    return [
        MetricName(name, unit, int(count), total / int(count), lowest, highest, at)
        for name, unit, count, total, lowest, highest, at in rows
    ]


def window(begin: datetime, end: datetime, resolution: Resolution) -> tuple[UUID, UUID]:
    """Return the bounds of ids for the whole buckets between two moments, the one of the end too."""
    last = bucket_of(end, resolution) + timedelta(seconds=SECONDS[resolution])
    return ids.floor(bucket_of(begin, resolution)), ids.floor(last)


def _whole(total: Tally, buckets: Sequence[Bucket], begin: datetime, end: datetime) -> Bucket | None:
    return total.bucket(begin, (end - begin).total_seconds()) if buckets else None
