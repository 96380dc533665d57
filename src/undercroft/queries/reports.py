"""What the history of queries adds up to, for a period that its index can find."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Case, bindparam, case, func, literal_column, select, union_all

from undercroft.core import ids
from undercroft.core.buckets import HOUR, bucket, bucket_start
from undercroft.core.pages import Filtered, check_limit
from undercroft.core.tx import Tx
from undercroft.core.types import BigInt
from undercroft.errors import InvalidInput
from undercroft.queries.models import QueryRun as Row
from undercroft.queries.records import Activity, Hour
from undercroft.sessions.models import UserSession

LONGEST = timedelta(days=366)

_SINCE = (
    Row.tenant_id == bindparam("tenant_id"),
    Row.id >= bindparam("first"),  # finds them: an id is never older than what it stands for
    Row.started_at >= bindparam("since"),
)
_BY_HOUR = (
    select(bucket(Row.started_at, HOUR).label("hour"), Row.status, Row.execution_time_ms).where(*_SINCE).subquery()
)
_RANKED = select(
    _BY_HOUR.c.hour,
    _BY_HOUR.c.status,
    _BY_HOUR.c.execution_time_ms,
    func.row_number()
    .over(partition_by=_BY_HOUR.c.hour, order_by=_BY_HOUR.c.execution_time_ms.asc().nulls_last())
    .label("place"),
    func.count(_BY_HOUR.c.execution_time_ms).over(partition_by=_BY_HOUR.c.hour).label("timed"),
).subquery()


def _with_status(status: str) -> Any:
    return func.count(case((_RANKED.c.status == literal_column(f"'{status}'"), 1)))


def _nearest_rank(percent: int) -> Any:
    reached: Case[int] = case(
        (
            _RANKED.c.place * literal_column("100") >= _RANKED.c.timed * literal_column(str(percent)),
            _RANKED.c.execution_time_ms,
        )
    )
    return func.min(reached, type_=BigInt)


# Written out and not percentile_disc(), so that one statement serves every engine; the views are held equal to it.
_PERFORMANCE = (
    select(
        _RANKED.c.hour,
        func.count(),
        _with_status("failed"),
        _with_status("cancelled"),
        _with_status("declined"),
        _nearest_rank(50),
        _nearest_rank(95),
    )
    .group_by(_RANKED.c.hour)
    .order_by(_RANKED.c.hour.desc())
)
_NOTHING, _ONE = literal_column("0", BigInt), literal_column("1", BigInt)
# Not from the view: SQLite would read every tenant's rows before it chooses one's.
_DONE = union_all(
    select(
        Row.user_native_id,
        _ONE.label("queries"),
        case((Row.status == literal_column("'failed'"), _ONE), else_=_NOTHING).label("errors"),
        _NOTHING.label("sessions"),
        _NOTHING.label("active"),
        Row.started_at.label("at"),
    ).where(Row.tenant_id == bindparam("tenant_id"), Row.user_native_id.is_not(None)),
    select(
        UserSession.user_native_id,
        _NOTHING,
        _NOTHING,
        _ONE,
        case((UserSession.ended_at.is_(None), _ONE), else_=_NOTHING),
        UserSession.last_activity_at,
    ).where(UserSession.tenant_id == bindparam("tenant_id")),
).subquery()
_SUMMARY = (
    select(
        _DONE.c.user_native_id,
        *(func.sum(_DONE.c[name]).label(name) for name in ("queries", "errors", "sessions", "active")),
        func.max(_DONE.c["at"]).label("last"),
    )
    .group_by(_DONE.c.user_native_id)
    .subquery()
)
_ACTIVITY = Filtered(
    select(*_SUMMARY.c).order_by(_SUMMARY.c.last.desc(), _SUMMARY.c.user_native_id).limit(bindparam("limit")),
    since=_SUMMARY.c.last >= bindparam("since"),
)


def performance(tx: Tx, *, hours: float = 24) -> list[Hour]:
    """Tell for each of the last hours how many queries there were, how they ended and how long they took; newest first.

    The oldest hour is given from the moment the period begins. The view ``query_performance_metrics`` has every hour.

    Raises:
        InvalidInput: the period is not between 0 and a year.
    """
    since = _since(tx, hours, "hours", timedelta(hours=1))
    rows = tx.rows(_PERFORMANCE, {"since": since, "first": ids.floor(since)})
    return [Hour(bucket_start(hour, HOUR), *map(_whole, rest)) for hour, *rest in rows]


def activity(tx: Tx, *, days: float | None = None, limit: int = 100) -> list[Activity]:
    """Tell what each user ever did, the latest first, as the view ``user_activity_summary`` has it.

    With ``days``, only users that did something in so many last ones.

    Raises:
        InvalidInput: the period is not between 0 and a year, or the limit not between 1 and 1000.
    """
    since = None if days is None else _since(tx, days, "days", timedelta(days=1))
    statement, used = _ACTIVITY.given(since=since, limit=check_limit(limit))
    rows = tx.rows(statement, used)
    return [Activity(user, int(q), int(e), int(s), int(a), at) for user, q, e, s, a, at in rows]


def _since(tx: Tx, number: float, field: str, unit: timedelta) -> datetime:
    if not timedelta() < number * unit <= LONGEST:
        message = f"The period is more than 0 {field} and at most {LONGEST.days} days."
        raise InvalidInput(message, field=field)
    return tx.now - number * unit


def _whole(number: Any) -> Any:
    return None if number is None else int(number)
