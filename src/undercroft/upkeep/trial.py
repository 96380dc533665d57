"""A row that is written, read back and deleted, each in a transaction of its own: what a ping does not show."""

import contextlib
import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import bindparam, delete, insert, or_, select

from undercroft.core.operation import operation
from undercroft.core.runtime.base import Ports
from undercroft.core.scope import FLEET
from undercroft.core.tx import Tx
from undercroft.errors import DatabaseError
from undercroft.upkeep.models import FLEET_ID, UpkeepRun
from undercroft.upkeep.records import Trial

_NAME = "health "
_LENGTH = 2000
"""Characters of the row's key: more than SQLite keeps in a page of an index, so that the row needs room of its own, and
fewer than PostgreSQL lets an index have."""
_FORGOTTEN = timedelta(hours=1)
_WRITE = insert(UpkeepRun).values(
    tenant_id=FLEET_ID, job=bindparam("job"), started_at=bindparam("started_at"), removed=0
)
_READ = select(UpkeepRun.started_at).where(UpkeepRun.tenant_id == FLEET_ID, UpkeepRun.job == bindparam("job"))
_DELETE = delete(UpkeepRun).where(
    UpkeepRun.tenant_id == FLEET_ID,
    UpkeepRun.job.like(f"{_NAME}%"),
    or_(UpkeepRun.job == bindparam("mine"), UpkeepRun.started_at < bindparam("before")),  # or of who died half-way
)


def attempt(ports: Ports) -> tuple[Trial, DatabaseError | None]:
    """Write a row, read it back and delete it; returns how long each took, and what went wrong if anything did."""
    fleet = ports.within(FLEET)
    job = f"{_NAME}{uuid4()}".ljust(_LENGTH, ".")
    took: list[float] = []

    def step(op: operation[..., Any]) -> None:
        start = time.perf_counter()
        fleet.run(op, job)
        took.append((time.perf_counter() - start) * 1000)

    try:
        for one in (_WRITING, _READING, _DELETING):
            step(one)
    except DatabaseError as error:
        if took:
            with contextlib.suppress(DatabaseError):
                fleet.run(_DELETING, job)
        return _trial(took), error
    return _trial(took), None


def _trial(took: list[float]) -> Trial:
    return Trial(*took, *[None] * (3 - len(took)))


def _write(tx: Tx, job: str) -> None:
    tx.run(_WRITE, {"job": job, "started_at": tx.now})


def _read(tx: Tx, job: str) -> None:
    if tx.row(_READ, {"job": job}) is None:
        raise DatabaseError("A row that was committed is not there", hint="look at the database's own log")


def _delete(tx: Tx, job: str) -> None:
    if not tx.run(_DELETE, {"mine": job, "before": tx.now - _FORGOTTEN}):
        raise DatabaseError("A row that was read cannot be deleted", hint="look at the database's own log")


_WRITING: operation[[str], None] = operation(_write)
_READING: operation[[str], None] = operation(_read, access="read")
_DELETING: operation[[str], None] = operation(_delete)
