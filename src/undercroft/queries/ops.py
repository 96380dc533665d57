"""Operations on the history of questions and SQL."""

import logging
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, null, select, update as sa_update

from undercroft.audit import ops as audit
from undercroft.core import ids
from undercroft.core.clock import require_aware, utc_now
from undercroft.core.operation import operation
from undercroft.core.pages import Filtered, check_limit
from undercroft.core.runtime.base import Ports
from undercroft.core.tx import Tx
from undercroft.errors import InvalidInput, NotFound, UndercroftError
from undercroft.queries.models import QueryRun as Row
from undercroft.queries.records import Query, Run, Status
from undercroft.queries.rules import check_count, check_final, outcome, row_count, sql_hash

logger = logging.getLogger("undercroft")

_FIELDS = tuple(field.name for field in fields(Query))
_NAMES = {name: "user_native_id" if name == "user" else name for name in _FIELDS}
_COLUMNS = tuple(getattr(Row, name) for name in _NAMES.values())
_TABLE = Row.metadata.tables["undercroft.query_history"]
_MINE = Row.tenant_id == bindparam("tenant_id")
_GET = select(*_COLUMNS).where(_MINE, Row.id == bindparam("id"))
_FINISH = (
    sa_update(Row)
    .where(_MINE, Row.id == bindparam("id"), Row.status == "running")
    .values(
        {
            name: bindparam(name)
            for name in (
                "sql",
                "sql_hash",
                "database",
                "status",
                "error",
                "finished_at",
                "execution_time_ms",
                "row_count",
                "result",
                "warehouse_query_id",
            )
        }
    )
)
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
    rows = [{"tenant_id": tx.tenant_id, "sql_hash": sql_hash(one.sql), **_values(one)} for one in queries]
    tx.insert_many(_TABLE, rows, conflict="error")
    return list(queries)


def record(
    ports: Ports,
    question: str,
    *,
    sql: str | None = None,
    database: str | None = None,
    user: str | None = None,
    session: UUID | None = None,
) -> Generator[Run, None, None]:
    """Record the block as a query: its time, its rows, and whether it succeeded, failed or was cancelled.

    It stands in the history as ``running`` from the start, so a crash in the block leaves a row that says so. What the
    block raises goes on to the caller, also where its end cannot be written down. Inside a transaction the row is
    stored with it or not at all.

    Raises:
        InvalidInput: a text that cannot be stored.
    """
    begun = ports.run(_START, question, sql=sql, database=database, user=user, session=session)
    run = Run(begun, question, sql, database)
    start = time.perf_counter()
    try:
        yield run
    except BaseException as error:
        seconds = time.perf_counter() - start
        try:
            ports.run(_END, run, outcome(error), seconds)
        except UndercroftError as unwritten:
            logger.warning("the end of query %s is not in its history: %s", run.id, unwritten)
        raise
    ports.run(_END, run, outcome(None), time.perf_counter() - start)


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


def _start(
    tx: Tx, question: str, *, sql: str | None, database: str | None, user: str | None, session: UUID | None
) -> UUID:
    begun = new_query(question, sql=sql, database=database, user=user, session=session)
    row = {**_values(begun), "status": "running", "finished_at": None, "sql_hash": sql_hash(sql)}
    tx.insert_many(_TABLE, [{"tenant_id": tx.tenant_id, **row}], conflict="error")
    return begun.id


def _end(tx: Tx, run: Run, ended: tuple[Status, str | None], seconds: float) -> None:
    status, text = ended
    tx.run(
        _FINISH,
        {
            "id": run.id,
            "sql": run.sql,
            "sql_hash": sql_hash(run.sql),
            "database": run.database,
            "status": status,
            "error": text,
            "finished_at": tx.now,
            "execution_time_ms": round(seconds * 1000),
            "row_count": check_count(row_count(run), "row_count"),
            "result": None if run.result is None else dict(run.result),
            "warehouse_query_id": run.warehouse_query_id,
        },
    )


_START = operation(_start, access="append")
_END = operation(_end)


def _values(query: Query) -> dict[str, Any]:
    return {column: getattr(query, name) for name, column in _NAMES.items()}


def _none() -> NotFound:
    message = "The tenant has no such query."
    return NotFound(message)
