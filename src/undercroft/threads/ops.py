"""Operations on conversations."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, bindparam, delete as sa_delete, select

from undercroft.core import ids
from undercroft.core.buckets import HOUR
from undercroft.core.clock import micros
from undercroft.core.pages import LONGEST, Filtered, check_limit
from undercroft.core.schema import BigInt
from undercroft.core.tx import Tx
from undercroft.errors import InvalidInput, NotFound
from undercroft.threads import statements as sql
from undercroft.threads.models import Thread as Row, ThreadMessage as Said
from undercroft.threads.records import Content, NewMessage, Role, Thread, ThreadMessage
from undercroft.threads.rules import Counter, beginning, check_key, estimate_tokens, fitting, row

LAST = 20
FIRST_PAGE = 50

_GET = select(*sql.THREAD).where(sql.MINE, Row.key == bindparam("key"), sql.LIVING)
_LIST = Filtered(
    select(*sql.THREAD)
    .where(sql.MINE, sql.LIVING)
    .order_by(Row.active_hour.desc(), Row.last_activity_at.desc(), Row.id.desc())
    .limit(bindparam("limit")),
    owner=Row.owner == bindparam("owner"),
    before=sql.OLDER,
)


def _messages(low: ColumnElement[int], high: ColumnElement[int]) -> Select[Any]:
    found = (
        select(Row.id, Row.first_position, low.label("low"), high.label("high"))
        .where(sql.MINE, Row.key == bindparam("key"), sql.LIVING)
        .offset(sql.NONE_SKIPPED)
        .subquery()
    )
    return (
        select(*sql.SAID)
        .where(
            sql.SAID_HERE,
            Said.thread_id == found.c.id,
            Said.position >= found.c.first_position,
            Said.position >= found.c.low,
            Said.position <= found.c.high,
        )
        .order_by(Said.position)
    )


_FEWER = bindparam("fewer", type_=BigInt())
_LAST = _messages(Row.last_position - _FEWER, sql.TABLE.c.last_position)
_BEFORE = _messages(bindparam("high", type_=BigInt()) - _FEWER, bindparam("high", type_=BigInt()))
_DELETE = sa_delete(Row).where(sql.MINE, Row.key == bindparam("key")).returning(Row.id)
_DELETE_MESSAGES = sa_delete(Said).where(sql.SAID_HERE, Said.thread_id == bindparam("thread_id"))


def append(
    tx: Tx,
    key: str,
    *,
    role: Role,
    content: Content = None,
    user: str | None = None,
    tool_calls: Sequence[Mapping[str, Any]] | None = None,
    tool_call_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> ThreadMessage:
    """Append a message to a conversation, which begins with its first one; costs the same at any length.

    ``content`` is text or a list of parts, ``user`` the platform's id of who said it.

    Raises:
        InvalidInput: an unknown role, a message without content and tool calls, a key that is empty or too long.
    """
    said = NewMessage(role, content, user, tool_calls, tool_call_id, metadata)
    return _append(tx, check_key(key), row(said))[0]


def turn(
    tx: Tx,
    key: str,
    *,
    role: Role,
    content: Content = None,
    user: str | None = None,
    tool_calls: Sequence[Mapping[str, Any]] | None = None,
    tool_call_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    last: int = LAST,
) -> list[ThreadMessage]:
    """Append a message and return the last ones, the oldest first and the new one at the end, in one round trip.

    Raises:
        InvalidInput: as `append`, or ``last`` is not between 1 and 1000.
    """
    check_limit(last)
    said = NewMessage(role, content, user, tool_calls, tool_call_id, metadata)
    return _append(tx, check_key(key), row(said), last - 1)


def messages(
    tx: Tx,
    key: str,
    *,
    last: int | None = None,
    before: int | None = None,
    max_tokens: int | None = None,
    counter: Counter | None = None,
) -> list[ThreadMessage]:
    """Return the last messages of a conversation, the oldest first; none where there is no such conversation.

    ``last`` is 20, or with ``max_tokens`` as many as fit that budget together; ``counter`` gives the tokens of one
    message, by default `estimate_tokens`. ``before`` is a position: only what came before it is looked at. A window
    of tokens does not begin with the answer to a tool call that is outside.

    Raises:
        InvalidInput: ``last`` is not between 1 and 1000, or the budget not positive.
    """
    check_key(key)
    if last is not None:
        check_limit(last)
    if max_tokens is None:
        return _page(tx, key, last or LAST, before)
    if max_tokens < 1:
        message = "A budget is at least one token."
        raise InvalidInput(message, field="max_tokens")
    chosen: list[ThreadMessage] = []
    used, size, count = 0, FIRST_PAGE, counter or estimate_tokens
    while True:
        wanted = size if last is None else min(size, last - len(chosen))
        page = _page(tx, key, wanted, before)
        fits, spent, is_full = fitting(reversed(page), max_tokens - used, count)
        chosen += fits
        used += spent
        if is_full or len(page) < wanted or len(chosen) == last:
            return beginning(chosen)
        before, size = page[0].position, min(2 * size, LONGEST)


def get(tx: Tx, key: str) -> Thread:
    """Look up a conversation.

    Raises:
        NotFound: the tenant has no such conversation, or it has expired.
    """
    found = tx.row(_GET, {"key": check_key(key)})
    if found is None:
        raise none(key)
    return thread(found)


def list_(tx: Tx, *, owner: str | None = None, limit: int = 50, before: Thread | None = None) -> list[Thread]:
    """List conversations, that of the newest activity first; ``before`` is the last one of the page before."""
    cursor: dict[str, Any] = {}
    if before is not None:
        hour = micros(before.last_activity_at) // (HOUR * 1_000_000)
        cursor = {"before": True, "hour": hour, "active_before": before.last_activity_at, "before_id": before.id}
    statement, used = _LIST.given(owner=owner, limit=check_limit(limit), **cursor)
    return [thread(found) for found in tx.rows(statement, used)]


def delete(tx: Tx, key: str) -> bool:
    """Delete a conversation with its messages; tells whether there was one."""
    thread_id = tx.value(_DELETE, {"key": check_key(key)})  # its row first: whoever appends meanwhile waits for us
    if thread_id is None:
        return False
    tx.run(_DELETE_MESSAGES, {"thread_id": thread_id})
    return True


def thread(found: Sequence[Any]) -> Thread:
    """Make a result of a row."""
    id_, key, owner, title, data, idle, first, last, created_at, last_activity_at = found
    expires_after = timedelta(seconds=idle) if idle else None
    return Thread(id_, key, owner, title, data or {}, expires_after, last - first + 1, created_at, last_activity_at)


def none(key: str) -> NotFound:
    """Make the error for a conversation that is not there."""
    message = f"The tenant has no conversation {key!r}."
    return NotFound(message)


def _append(tx: Tx, key: str, values: dict[str, Any], before: int = 0) -> list[ThreadMessage]:
    given = {"id": ids.new(), "key": key, **values}
    if not tx.dialect.writes_in_queries:
        thread_id, first, position, now = tx.rows(sql.ADD_ONE, given)[0]
        tx.run(sql.ADD_MESSAGE, {**values, "thread_id": thread_id, "position": position, "created_at": now})
        rows = _between(tx, thread_id, max(first, position - before), position) if before else []
    elif before:
        *rows, (position, now, *_, first, thread_id) = tx.rows(sql.TURN, {**given, "before": before})
        low = max(first, position - before)
        if len(rows) != position - low:  # one came in while this one waited: our statement's snapshot is older
            rows = _between(tx, thread_id, low, position)
    else:
        position, now = tx.rows(sql.APPEND, given)[0][:2]
        rows = []
    return [*map(_message, rows), _message((position, now, *(values[name] for name in sql.GIVEN)))]


def _between(tx: Tx, thread_id: UUID, low: int, high: int) -> list[tuple[Any, ...]]:
    return tx.rows(sql.BETWEEN, {"thread_id": thread_id, "low": low, "high": high})


def _page(tx: Tx, key: str, last: int, before: int | None) -> list[ThreadMessage]:
    given = {"key": key, "fewer": last - 1}
    rows = tx.rows(_LAST, given) if before is None else tx.rows(_BEFORE, {**given, "high": before - 1})
    return [_message(found) for found in rows]


def _message(found: Sequence[Any]) -> ThreadMessage:
    position, created_at, role, user, content, parts, tool_calls, tool_call_id, data = found[:9]
    said = parts if content is None else content
    return ThreadMessage(role, said, user, tool_calls, tool_call_id, data, position=position, created_at=created_at)
