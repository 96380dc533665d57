"""The statements of the threads slice that several operations share.

A thread's row counts its messages, so the next position is given out by the row that is written anyway, and without a
gap: the last twenty messages are a range of positions, whatever the length. The range's bounds are computed where the
thread is read and only compared where messages are: under row-level security PostgreSQL looks into an index only with
conditions that cannot leak a row, and a subtraction might.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    and_,
    bindparam,
    case,
    func,
    insert as plain_insert,
    literal_column,
    null,
    select,
    tuple_,
    type_coerce,
    union_all,
)
from sqlalchemy.dialects.postgresql import Insert, insert

from undercroft.core.buckets import HOUR, bucket
from undercroft.core.schema import BigInt, UtcDateTime, Uuid
from undercroft.core.server_time import server_now
from undercroft.threads.models import Thread as Row, ThreadMessage as Said

MINE = Row.tenant_id == bindparam("tenant_id")
SAID_HERE = Said.tenant_id == bindparam("tenant_id")
_IDLE = func.nullif(Row.expires_after, literal_column("0"))
EXPIRED: ColumnElement[bool] = Row.last_activity_at < server_now(-_IDLE)
"""NULL, and so not true, where a thread never expires."""
LIVING: ColumnElement[bool] = _IDLE.is_(None) | (Row.last_activity_at >= server_now(-_IDLE))
THIS_HOUR = bucket(server_now(), HOUR)
OLDER: ColumnElement[bool] = and_(
    Row.active_hour <= bindparam("hour"),  # what the index knows
    tuple_(Row.last_activity_at, Row.id)
    < tuple_(bindparam("active_before", type_=UtcDateTime()), bindparam("before_id", type_=Uuid())),
)
THREAD = (
    Row.id,
    Row.key,
    Row.owner,
    Row.title,
    Row.data,
    Row.expires_after,
    Row.first_position,
    Row.last_position,
    Row.created_at,
    Row.last_activity_at,
)
GIVEN = ("role", "user_native_id", "content", "parts", "tool_calls", "tool_call_id", "data")
MESSAGE = ("position", "created_at", *GIVEN)
SAID = tuple(getattr(Said, name) for name in MESSAGE)
TABLE = Row.metadata.tables["undercroft.threads"]
_SAID_TABLE = Said.metadata.tables["undercroft.thread_messages"]
NONE_SKIPPED: ColumnElement[Any] = literal_column("0")
"""OFFSET 0 keeps a sub-select from being merged into what surrounds it."""


_ONE: ColumnElement[int] = literal_column("1", BigInt())


def thread(
    added: ColumnElement[int],
    *,
    entering: bool = False,
    is_activity: bool = True,
    new: Mapping[str, ColumnElement[Any]] | None = None,
    changed: Mapping[str, ColumnElement[Any]] | None = None,
) -> Insert:
    """Write the upsert of a thread that takes so many messages more; one that has expired begins anew.

    ``new`` are columns that only a new thread gets; ``changed`` replace what one has, where they are not NULL.
    What is no activity leaves the time of the last one, unless the thread has expired.
    """
    changed = changed or {}
    first: dict[str, ColumnElement[Any]] = {
        "tenant_id": bindparam("tenant_id", type_=Uuid()),
        "id": bindparam("id", type_=Uuid()),
        "key": bindparam("key", type_=TABLE.c.key.type),
        "first_position": _ONE,
        "last_position": added,
        "stored_from": _ONE,
        "created_at": server_now(),
        "last_activity_at": server_now(),
        "active_hour": THIS_HOUR,
        **(new or {}),
        **changed,
    }
    if entering:
        entered = func.undercroft.enter(bindparam("entered_tenant", type_=Uuid())).label("tenant")
        ctx = select(entered).offset(NONE_SKIPPED).subquery("ctx")
        upsert = insert(Row).from_select(list(first), select(*first.values()).where(ctx.c.tenant.is_not(None)))
    else:
        upsert = insert(Row).values(first)
    old, given = TABLE.c, upsert.excluded
    kept = {name: func.coalesce(given[name], old[name]) for name in changed}
    anew = {name: case((EXPIRED, given[name]), else_=kept.get(name, old[name])) for name in ("title", "data")}
    now: dict[str, ColumnElement[Any]] = {name: given[name] for name in ("last_activity_at", "active_hour")}
    if not is_activity:
        now = {name: case((EXPIRED, value), else_=old[name]) for name, value in now.items()}
    return upsert.on_conflict_do_update(
        index_elements=[Row.tenant_id, Row.key],
        set_={
            **kept,
            **anew,
            "first_position": case((EXPIRED, old.last_position + _ONE), else_=old.first_position),
            "last_position": old.last_position + given.last_position,
            "created_at": case((EXPIRED, given.created_at), else_=old.created_at),
            **now,
        },
    )


_SPEAKER = {"owner": bindparam("user_native_id", type_=TABLE.c.owner.type)}
COUNTED = (Row.id, Row.first_position, Row.last_position, Row.last_activity_at)

ADD_ONE = thread(_ONE, new=_SPEAKER).returning(*COUNTED)
ADD_MESSAGE = plain_insert(Said).values(
    tenant_id=bindparam("tenant_id"),
    thread_id=bindparam("thread_id"),
    position=bindparam("position"),
    created_at=bindparam("created_at"),
    **{name: bindparam(name) for name in GIVEN},
)
BETWEEN: Select[Any] = (
    select(*SAID)
    .where(
        SAID_HERE,
        Said.thread_id == bindparam("thread_id"),
        Said.position >= bindparam("low"),
        Said.position < bindparam("high"),
    )
    .order_by(Said.position)
)


def _appended(*, entering: bool, window: bool) -> Select[Any] | CompoundSelect[Any]:
    """Write the append of one message as one query; with ``window`` it answers with those before as well."""
    low = (Row.last_position - bindparam("before", type_=BigInt())).label("low")
    upsert = thread(_ONE, entering=entering, new=_SPEAKER)
    counted = upsert.returning(*COUNTED, *([low] if window else [])).cte("thread")
    values = {
        "tenant_id": bindparam("tenant_id", type_=Uuid()),
        "thread_id": counted.c.id,
        "position": counted.c.last_position,
        "created_at": counted.c.last_activity_at,
        **{name: bindparam(name, type_=_SAID_TABLE.c[name].type) for name in GIVEN},
    }
    said = plain_insert(Said).from_select(list(values), select(*values.values())).returning(Said.position).cte("said")
    added = select(
        counted.c.last_position,
        counted.c.last_activity_at,
        *(type_coerce(null(), _SAID_TABLE.c[name].type) for name in GIVEN),
        counted.c.first_position,
        counted.c.id,
    )
    if not window:
        return added.add_cte(said)
    before = (
        select(*SAID)
        .where(
            SAID_HERE,
            Said.thread_id == counted.c.id,
            Said.position >= counted.c.low,
            Said.position >= counted.c.first_position,
            Said.position < counted.c.last_position,
        )
        .offset(NONE_SKIPPED)
        .lateral("before")
    )
    no_thread = (type_coerce(null(), BigInt()).label("first_position"), type_coerce(null(), Uuid()).label("thread_id"))
    earlier = select(*before.c, *no_thread).select_from(counted.join(before, literal_column("true")))
    return union_all(earlier, added).add_cte(said)


def _in_both_forms(*, window: bool) -> Select[Any] | CompoundSelect[Any]:
    entering = _appended(entering=True, window=window)
    return _appended(entering=False, window=window).execution_options(entering=entering, shares=("key",))


APPEND = _in_both_forms(window=False)
TURN = _in_both_forms(window=True)
