"""Who wrote how much, where and when; deleted messages are not counted. Days and hours are those of UTC."""

from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, distinct, func, select

from undercroft.archive.models import Channel, Message as Row
from undercroft.archive.results import Activity, DailyCount, HourlyCount
from undercroft.core import ids
from undercroft.core.buckets import DAY, HOUR, bucket, bucket_start
from undercroft.core.clock import require_aware
from undercroft.core.pages import Filtered, check_limit
from undercroft.core.schema import any_of
from undercroft.core.tx import Tx
from undercroft.users.models import User

_LIVING = (Row.tenant_id == bindparam("tenant_id"), Row.deleted_at.is_(None))
_CONDITIONS = {
    "channel": Row.channel_id == bindparam("channel"),
    # by the id too: it leads to the index and, on PostgreSQL, to the partitions of those years
    "since": (Row.id >= bindparam("since_id")) & (Row.sent_at >= bindparam("since")),
    "until": (Row.id < bindparam("until_id")) & (Row.sent_at < bindparam("until")),
}
_day = bucket(Row.sent_at, DAY)
_DAY_COUNTS: tuple[Any, ...] = (_day, func.count(), func.count(distinct(Row.author_id)))
_DAILY = Filtered(
    select(*_DAY_COUNTS).where(*_LIVING).group_by(_day).order_by(_day),
    **_CONDITIONS,
)
_hour = bucket(Row.sent_at, HOUR)
_HOUR_COUNTS: tuple[Any, ...] = (Row.channel_id, _hour, func.count())
_HOURLY = Filtered(
    # the names are looked up after, once a channel: grouping by them costs three times as much
    select(*_HOUR_COUNTS).where(*_LIVING).group_by(Row.channel_id, _hour),
    **_CONDITIONS,
)
_CHANNELS = select(Channel.id, Channel.native_id, Channel.name).where(
    Channel.tenant_id == bindparam("tenant_id"), any_of(Channel.id, "ids")
)
_AUTHOR_COUNTS: tuple[Any, ...] = (
    User.native_id,
    # who names himself nothing is called by his id
    func.coalesce(
        *(func.nullif(name, "") for name in (User.display_name, User.real_name, User.name)), User.native_id
    ).label("author_name"),
    User.is_bot,
    func.count(),
    func.count(func.nullif(Row.thread_id, Row.id)),
    func.count(distinct(Row.channel_id)),
    func.min(Row.sent_at),
    func.max(Row.sent_at),
)
_ACTIVITY = Filtered(
    select(*_AUTHOR_COUNTS)
    .join(User, (User.tenant_id == Row.tenant_id) & (User.id == Row.author_id))
    .where(*_LIVING)
    .group_by(User.tenant_id, User.id)
    .order_by(func.count().desc(), User.native_id)
    .limit(bindparam("limit")),
    **_CONDITIONS,
)


def daily(
    tx: Tx, *, channel: str | None = None, since: datetime | None = None, until: datetime | None = None
) -> list[DailyCount]:
    """Count messages and authors by day, of the tenant or of one channel (a native id)."""
    statement, used = _DAILY.given(**_filters(tx, channel, since, until))
    return [DailyCount(bucket_start(day, DAY).date(), *counts) for day, *counts in tx.rows(statement, used)]


def hourly(
    tx: Tx, *, channel: str | None = None, since: datetime | None = None, until: datetime | None = None
) -> list[HourlyCount]:
    """Count messages by hour and channel, in the order of time."""
    statement, used = _HOURLY.given(**_filters(tx, channel, since, until))
    counts = tx.rows(statement, used)
    places = tx.rows(_CHANNELS, {"ids": list({id_ for id_, *_ in counts})})
    named = {id_: (native_id, name) for id_, native_id, name in places}
    found = [
        HourlyCount(channel, name, bucket_start(hour, HOUR), messages)
        for id_, hour, messages in counts
        for channel, name in (named[id_],)
    ]
    return sorted(found, key=lambda count: (count.hour, count.channel))


def activity(
    tx: Tx,
    *,
    channel: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 100,
) -> list[Activity]:
    """Count what each author wrote, whoever wrote most first; messages without an author are left out."""
    filters = _filters(tx, channel, since, until)
    statement, used = _ACTIVITY.given(**filters, limit=check_limit(limit))
    return [Activity(*row) for row in tx.rows(statement, used)]


def _filters(tx: Tx, channel: str | None, since: datetime | None, until: datetime | None) -> dict[str, Any]:
    first = None if since is None else require_aware(since, "since")
    last = None if until is None else require_aware(until, "until")
    return {
        "channel": None if channel is None else tx.named("channel", channel),
        "since": first,
        "since_id": None if first is None else ids.floor(first),
        "until": last,
        "until_id": None if last is None else ids.time_bounds(last, last)[1],
    }
