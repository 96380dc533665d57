"""A query recorded while it runs, however it ends."""

import logging
import time
from collections.abc import Generator
from uuid import UUID

from sqlalchemy import bindparam

from undercroft.core.dialects.base import ReturnedRow
from undercroft.core.operation import operation
from undercroft.core.runtime.base import Ports
from undercroft.core.tx import Tx
from undercroft.errors import UndercroftError
from undercroft.queries.models import QueryRun as Row
from undercroft.queries.ops import TABLE, new_query, values
from undercroft.queries.records import Run, Status
from undercroft.queries.rules import check_count, check_final, outcome, row_count, sql_hash, storable

logger = logging.getLogger("undercroft")

_ENDING = (
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
_RUNNING = ReturnedRow(
    (Row.tenant_id == bindparam("tenant_id"), Row.id == bindparam("id"), Row.status == "running"), (Row.id,)
)


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
        InvalidInput: a text that cannot be stored, or a status that is no end.
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


def _start(
    tx: Tx, question: str, *, sql: str | None, database: str | None, user: str | None, session: UUID | None
) -> UUID:
    begun = new_query(question, sql=sql, database=database, user=user, session=session)
    row = {**values(begun), "status": "running", "finished_at": None, "sql_hash": sql_hash(sql)}
    tx.insert_many(TABLE, [{"tenant_id": tx.tenant_id, **row}], conflict="error")
    return begun.id


def _end(tx: Tx, run: Run, ended: tuple[Status, str | None], seconds: float) -> None:
    status, text = ended
    told = {
        "sql": run.sql,
        "sql_hash": sql_hash(run.sql),
        "database": run.database,
        "status": check_final(run.status or status),
        "error": text if run.error is None else storable(run.error),
        "finished_at": tx.now,
        "execution_time_ms": round(seconds * 1000),
        "row_count": check_count(row_count(run), "row_count"),
        "result": None if run.result is None else dict(run.result),
        "warehouse_query_id": run.warehouse_query_id,
    }
    ending = tx.dialect.update_by_key(TABLE, _ENDING, _RUNNING)
    tx.rows(ending, {"id": run.id, **{f"new_{name}": told[name] for name in _ENDING}})


_START = operation(_start, access="append")
_END = operation(_end, access="append")
