"""Operations on the history of questions and SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, null, select, update as sa_update

from undercroft.audit import ops as audit
from undercroft.core import ids
from undercroft.core.clock import require_aware, utc_now
from undercroft.core.pages import Filtered, check_limit
from undercroft.core.tx import Tx
from undercroft.errors import InvalidInput, NotFound
from undercroft.queries.models import QueryRun as Row
from undercroft.queries.records import Query, Status
from undercroft.queries.rules import check_count, check_final, sql_hash

_FIELDS = tuple(field.name for field in fields(Query))
_NAMES = {name: "user_native_id" if name == "user" else name for name in _FIELDS}
_COLUMNS = tuple(getattr(Row, name) for name in _NAMES.values())
TABLE = Row.metadata.tables["undercroft.query_history"]
_MINE = Row.tenant_id == bindparam("tenant_id")
_GET = select(*_COLUMNS).where(_MINE, Row.id == bindparam("id"))
_CHANGEABLE = ("status", "error", "finished_at", "row_count", "result", "warehouse_query_id")
_LOCK = _GET.with_for_update()
_CHANGE = sa_update(Row).where(_MINE, Row.id == bindparam("id")).values({name: bindparam(name) for name in _CHANGEABLE})
_APPROVE = (
    sa_update(Row)
    .where(_MINE, Row.id == bindparam("id"), Row.status == "success")
    .values(approved_by=bindparam("by"), approved_at=bindparam("now"))
    .returning(*_COLUMNS)
)
_ABANDON = (
    sa_update(Row)
    .where(_MINE, Row.status == "running", Row.id < bindparam("before"))
    .values(status="abandoned", finished_at=null())
)
_HISTORY = Filtered(
    select(*_COLUMNS).where(_MINE).order_by(Row.id.desc()).limit(bindparam("limit")),
    user=Row.user_native_id == bindparam("user"),
    status=Row.status == bindparam("status"),
    database=Row.database == bindparam("database"),
    session=Row.session_id == bindparam("session"),
    sql_hash=Row.sql_hash == bindparam("sql_hash"),
    approved=Row.approved_at.is_not(None),
    since=Row.id >= bindparam("since"),
    until=Row.id < bindparam("until"),
    before=Row.id < bindparam("before"),
)


def new_query(
    question: str,
    *,
    sql: str | None = None,
    database: str | None = None,
    user: str | None = None,
    session: UUID | None = None,
    status: Status = "success",
    error: str | None = None,
    execution_time_ms: int | None = None,
    row_count: int | None = None,
    result: Mapping[str, Any] | None = None,
    warehouse_query_id: str | None = None,
) -> Query:
    """Write down a query that has ended; times are in milliseconds.

    Raises:
        InvalidInput: a status that is no end, or a negative number.
    """
    check_final(status)
    check_count(execution_time_ms, "execution_time_ms")
    check_count(row_count, "row_count")
    now = utc_now()
    return Query(
        id=ids.new(),
        session_id=session,
        user=user,
        question=question,
        sql=sql,
        database=database,
        status=status,
        error=error,
        started_at=now - timedelta(milliseconds=execution_time_ms or 0),
        finished_at=now,
        execution_time_ms=execution_time_ms,
        row_count=row_count,
        result=None if result is None else dict(result),
        warehouse_query_id=warehouse_query_id,
        approved_by=None,
        approved_at=None,
    )


def append(tx: Tx, queries: Sequence[Query]) -> list[Query]:
    """Store queries."""
    rows = [{"tenant_id": tx.tenant_id, "sql_hash": sql_hash(one.sql), **values(one)} for one in queries]
    tx.insert_many(TABLE, rows, conflict="error")
    return list(queries)


def get(tx: Tx, query: UUID) -> Query:
    """Look up a query.

    Raises:
        NotFound: the tenant has no such query.
    """
    row = tx.row(_GET, {"id": query})
    if row is None:
        raise _none()
    return Query(*row)


def update(
    tx: Tx,
    query: UUID,
    *,
    status: Status | None = None,
    error: str | None = None,
    row_count: int | None = None,
    result: Mapping[str, Any] | None = None,
    warehouse_query_id: str | None = None,
) -> Query:
    """Attach what became known later: the result, the warehouse's id of the query, how it ended.

    Raises:
        NotFound: the tenant has no such query.
        InvalidInput: a status that is no end, or a negative number.
    """
    check_count(row_count, "row_count")
    row = tx.row(_LOCK, {"id": query})
    if row is None:
        raise _none()
    old = Query(*row)
    ended = None if status is None else check_final(status)
    given = {
        "status": ended,
        "error": error,
        "finished_at": tx.now if ended and old.finished_at is None else None,
        "row_count": row_count,
        "result": None if result is None else dict(result),
        "warehouse_query_id": warehouse_query_id,
    }
    known: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    new = replace(old, **known)
    tx.run(_CHANGE, {"id": query, **{name: getattr(new, name) for name in _CHANGEABLE}})
    return new


def history(
    tx: Tx,
    *,
    user: str | None = None,
    status: Status | None = None,
    database: str | None = None,
    session: UUID | None = None,
    sql: str | None = None,
    approved: bool = False,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 50,
    before: UUID | None = None,
) -> list[Query]:
    """Return queries, newest first; ``before`` is the id of the last one of the page before."""
    statement, used = _HISTORY.given(
        user=user,
        status=status,
        database=database,
        session=session,
        sql_hash=sql_hash(sql),
        approved=approved or None,
        since=None if since is None else ids.floor(require_aware(since, "since")),
        until=None if until is None else ids.floor(require_aware(until, "until")),
        before=before,
        limit=check_limit(limit),
    )
    return [Query(*row) for row in tx.rows(statement, used)]


def approve(tx: Tx, query: UUID, *, by: str) -> Query:
    """Mark a successful query as one whose SQL may be shown as an answer again; written down in the audit trail.

    Raises:
        NotFound: the tenant has no such query, or it did not succeed.
    """
    row = tx.row(_APPROVE, {"id": query, "by": by, "now": tx.now})
    if row is None:
        raise _none()
    audit.log(tx, "query.approve", by=by, resource_type="query", resource_id=str(query))
    return Query(*row)


def abandon(tx: Tx, *, hours: float = 24) -> int:
    """Call a query abandoned that is ``running`` for so long that its process must be gone; returns how many."""
    if hours <= 0:
        message = "The period must be positive."
        raise InvalidInput(message, field="hours")
    return tx.run(_ABANDON, {"before": ids.floor(tx.now - timedelta(hours=hours))})


def values(query: Query) -> dict[str, Any]:
    """Return the columns of a query."""
    return {column: getattr(query, name) for name, column in _NAMES.items()}


def _none() -> NotFound:
    message = "The tenant has no such query."
    return NotFound(message)
