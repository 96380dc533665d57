"""How a query ends, decided without a database."""

import asyncio
import hashlib
from collections.abc import Sized

from undercroft.core.canonical import clean_text
from undercroft.errors import InvalidInput
from undercroft.queries.records import Run, Status

FINAL: tuple[Status, ...] = ("success", "failed", "cancelled", "declined")
LONGEST_ERROR = 2000


def check_final(status: Status) -> Status:
    """Return a status in which a query ends; raises InvalidInput for another."""
    if status not in FINAL:
        message = f"A query ends as one of {', '.join(FINAL)}."
        raise InvalidInput(message, field="status", hint="use queries.record(...) for one that runs")
    return status


def check_count(number: int | None, field: str) -> int | None:
    """Return a number of rows or milliseconds; raises InvalidInput for a negative one."""
    if number is not None and number < 0:
        message = "A count is not negative."
        raise InvalidInput(message, field=field)
    return number


def outcome(error: BaseException | None) -> tuple[Status, str | None]:
    """Name the status and the text for what ended a recorded block."""
    if error is None:
        return "success", None
    text = storable(f"{type(error).__name__}: {error}")
    if isinstance(error, (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit)):
        return "cancelled", text
    return "failed", text


def storable(error: str) -> str:
    """Cut an error's text, and take out what no text may hold: a driver may say anything."""
    return clean_text(error[:LONGEST_ERROR])[0]


def row_count(run: Run) -> int | None:
    """Count the rows of a run where nobody has."""
    if run.row_count is None and isinstance(run.rows, Sized):  # a warehouse's cursor has no length
        return len(run.rows)
    return run.row_count


def sql_hash(sql: str | None) -> bytes | None:
    """Return the SHA-256 of a statement's text, by which equal texts are found without comparing them."""
    return None if sql is None else hashlib.sha256(sql.encode()).digest()
