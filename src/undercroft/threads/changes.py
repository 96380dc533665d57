"""Operations that change a conversation as a whole: described, replaced, forked, expired."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, delete, insert as plain_insert, literal_column, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from undercroft.core import ids
from undercroft.core.operation import operation
from undercroft.core.runtime.ports import Ports
from undercroft.core.schema import BigInt, any_of
from undercroft.core.server_time import server_now
from undercroft.core.tx import Tx
from undercroft.errors import AlreadyExists, InvalidInput
from undercroft.threads import statements as sql
from undercroft.threads.models import Thread as Row, ThreadMessage as Said
from undercroft.threads.ops import none, thread
from undercroft.threads.records import NewMessage, Thread
from undercroft.threads.rules import check_key, row, seconds

BATCH = 500

_TABLE = Row.metadata.tables["undercroft.threads"]
_MESSAGES = Said.metadata.tables["undercroft.thread_messages"]
_DESCRIBED = {name: bindparam(name, type_=_TABLE.c[name].type) for name in ("owner", "title", "data", "expires_after")}
_DESCRIBE = sql.thread(literal_column("0", BigInt()), is_activity=False, changed=_DESCRIBED).returning(*sql.THREAD)
_TAKE_POSITIONS = sql.thread(bindparam("added", type_=BigInt())).returning(*sql.THREAD)
_REPLACE = (
    update(Row)
    .where(sql.MINE, Row.id == bindparam("thread_id"))
    .values(first_position=bindparam("low"), stored_from=bindparam("low"))
    .returning(*sql.THREAD)
)
_FORGET = delete(Said).where(sql.SAID_HERE, Said.thread_id == bindparam("thread_id"), Said.position < bindparam("low"))
_SOURCE = select(*sql.THREAD).where(sql.MINE, Row.key == bindparam("key"), sql.LIVING).with_for_update(read=True)
_FORK = (
    insert(Row)
    .values(
        **{name: bindparam(name) for name in ("tenant_id", "id", "key", "data", "expires_after")},
        **{name: bindparam(name) for name in ("owner", "title", "first_position", "last_position")},
        stored_from=bindparam("first_position"),
        created_at=server_now(),
        last_activity_at=server_now(),
        active_hour=sql.THIS_HOUR,
    )
    .on_conflict_do_nothing()
    .returning(*sql.THREAD)
)
_COPY = plain_insert(Said).from_select(
    ["tenant_id", "thread_id", *sql.MESSAGE],
    select(Said.tenant_id, bindparam("copy", type_=_MESSAGES.c.thread_id.type), *sql.SAID).where(
        sql.SAID_HERE,
        Said.thread_id == bindparam("thread_id"),
        Said.position >= bindparam("low"),
        Said.position <= bindparam("high"),
    ),
)
_SOME = select(Row.id).where(sql.MINE).order_by(Row.id).limit(bindparam("limit")).with_for_update()
_EXPIRED = _SOME.where(Row.expires_after.is_not(None), sql.EXPIRED)
_IDLE = _SOME.where(or_(sql.EXPIRED, Row.expires_after.is_(None) & (Row.last_activity_at < server_now("ago"))))
_REMOVE = delete(Row).where(sql.MINE, any_of(Row.id, "ids"))
_REMOVE_MESSAGES = delete(Said).where(sql.SAID_HERE, any_of(Said.thread_id, "ids"))
_RESTARTED = (
    select(Row.id, Row.first_position)
    .where(sql.MINE, Row.first_position > Row.stored_from)
    .order_by(Row.id)
    .limit(bindparam("limit"))
    .with_for_update()
)
_SWEPT = (
    update(Row).where(sql.MINE, Row.id == bindparam("thread_id")).values(stored_from=bindparam("low", type_=BigInt()))
)


def describe(
    tx: Tx,
    key: str,
    *,
    owner: str | None = None,
    title: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    expires_after: timedelta | None = None,
) -> Thread:
    """Say what a conversation is about; what is None stays as it was, and one that does not exist is made, empty.

    ``expires_after`` is how long it may be idle, in whole seconds, rounded up; ``timedelta(0)`` is for ever. What has
    expired is not shown any more, and a message that comes later begins the conversation anew under the same owner.

    Raises:
        InvalidInput: the key is empty or too long, or the period negative.
    """
    about = {"id": ids.new(), "key": check_key(key), "owner": owner, "title": title}
    data = None if metadata is None else dict(metadata)
    return thread(tx.rows(_DESCRIBE, {**about, "data": data, "expires_after": seconds(expires_after)})[0])


def save(tx: Tx, key: str, messages: Sequence[NewMessage]) -> Thread:
    """Replace all messages of a conversation; owner, title, metadata and expiry stay.

    Positions go on counting, so that nobody takes a new message for the old one of its position.

    Raises:
        InvalidInput: as `append` of one of them.
    """
    rows = [row(one) for one in messages]
    taken = tx.rows(_TAKE_POSITIONS, {"id": ids.new(), "key": check_key(key), "added": len(rows)})[0]
    thread_id, last, now = taken[0], taken[7], taken[9]
    low = last - len(rows) + 1
    tx.run(_FORGET, {"thread_id": thread_id, "low": low})
    about = {"tenant_id": tx.tenant_id, "thread_id": thread_id, "created_at": now}
    tx.insert_many(
        _MESSAGES, [{**about, "position": low + place, **one} for place, one in enumerate(rows)], conflict="error"
    )
    return thread(tx.rows(_REPLACE, {"thread_id": thread_id, "low": low})[0])


def fork(tx: Tx, key: str, new_key: str, *, at: int | None = None) -> Thread:
    """Copy a conversation up to the message at a position, by default the last; both go on separately.

    Owner, title, metadata, expiry, positions and times are copied as well.

    Raises:
        NotFound: there is no such conversation, or it has expired.
        AlreadyExists: there is one of the new key.
        InvalidInput: it has no message at that position.
    """
    found = tx.row(_SOURCE, {"key": check_key(key)})
    if found is None:
        raise none(key)
    source, _, owner, title, data, expires_after, first, last, *_ = found
    high = last if at is None else at
    if at is not None and not first <= at <= last:
        message = f"The conversation has messages {first} to {last}." if last >= first else "It has no messages."
        raise InvalidInput(message, field="at")
    told = {"key": check_key(new_key, "new_key"), "owner": owner, "title": title, "data": data}
    numbers = {"expires_after": expires_after, "first_position": first, "last_position": high}
    made = tx.row(_FORK, {"id": ids.new(), **told, **numbers})
    if made is None:
        message = f"There is a conversation {new_key!r} already."
        raise AlreadyExists(message)
    tx.run(_COPY, {"copy": made[0], "thread_id": source, "low": first, "high": high})
    return thread(made)


def cleanup(ports: Ports, *, hours: float | None = None) -> int:
    """Remove conversations that have expired, 500 a transaction; returns how many.

    With ``hours``, also those without an expiry of their own that were idle for so long.

    Raises:
        InvalidInput: the period is not positive.
    """
    if hours is not None and hours <= 0:
        message = "The period must be positive."
        raise InvalidInput(message, field="hours")
    removed: int = 0
    while True:
        count: int = ports.run(_REMOVE_EXPIRED, hours)
        removed += count
        if count < BATCH:
            break
    while ports.run(_SWEEP) == BATCH:
        pass
    return removed


def remove_expired(tx: Tx, hours: float | None) -> int:
    """Remove some conversations that have expired; returns how many."""
    found = tx.rows(_EXPIRED if hours is None else _IDLE, {"limit": BATCH, "ago": -3600.0 * (hours or 0)})
    expired = [id_ for (id_,) in found]
    if expired:
        tx.run(_REMOVE, {"ids": expired})
        tx.run(_REMOVE_MESSAGES, {"ids": expired})
    return len(expired)


def sweep(tx: Tx) -> int:
    """Remove what expired of some conversations that began anew since; returns of how many."""
    restarted = [{"thread_id": id_, "low": first} for id_, first in tx.rows(_RESTARTED, {"limit": BATCH})]
    tx.run_many(_FORGET, restarted)
    tx.run_many(_SWEPT, restarted)
    return len(restarted)


_REMOVE_EXPIRED = operation(remove_expired)
_SWEEP = operation(sweep)
