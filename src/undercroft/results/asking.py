"""Asking for a result: from the cache, from whoever loads it at this moment, or by running it."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import orjson

from undercroft.core.operation import operation
from undercroft.core.runtime.base import Ports
from undercroft.core.types import to_json
from undercroft.errors import InvalidInput, UndercroftError
from undercroft.results import ops
from undercroft.results.memory import Flight, Memory, Tally
from undercroft.results.ops import Entry
from undercroft.results.records import Answer, CacheStats, Day, Kept, Reason
from undercroft.results.rules import Request, request

logger = logging.getLogger("undercroft")

LARGEST = 8_000_000
"""Bytes of JSON that a result may have unless a call says otherwise."""
LEASE = 60.0
"""Seconds for which nobody else loads what one process loads; then another one may, if it takes that long."""
FIRST_LOOK, LONGEST_LOOK = 0.02, 0.5

_FIND = operation(ops.find, access="point")
_ACQUIRE = operation(ops.acquire)
_FINISH = operation(ops.finish)
_RELEASE = operation(ops.release)
_STORE = operation(ops.store)
_COUNT = operation(ops.count)
_STATS = operation(ops.stats, access="read")
_EFFICIENCY = operation(ops.efficiency, access="read")


def get(
    ports: Ports,
    sql: str,
    *,
    database: str,
    rights: str | Collection[str],
    parameters: Mapping[str, Any] | Sequence[Any] | None = None,
    dialect: str | None = None,
) -> Answer | None:
    """Look up the result of a query, None where there is none; nobody with other rights finds it.

    ``rights`` are those of whoever asks, such as ``users.authorize_query(...).rights``; ``dialect`` is the name by
    which sqlglot knows the SQL of the database, such as ``snowflake``, without one standard SQL.

    Raises:
        InvalidInput: no database, no rights, an unknown dialect, or a parameter of a type that has no exact text.
    """
    asked = request(sql, database=database, rights=rights, parameters=parameters, dialect=dialect)
    memory = _memory(ports)
    if asked.statement.reason is not None:
        memory.miss(cacheable=False)
        return None
    found = _look_up(ports, memory, asked.key)
    if found is None:
        memory.miss()
        _write_down(ports, memory, now=memory.due)
        return None
    return _answer(asked, found, hit=True)


def put(
    ports: Ports,
    sql: str,
    value: Any,
    *,
    database: str,
    rights: str | Collection[str],
    parameters: Mapping[str, Any] | Sequence[Any] | None = None,
    dialect: str | None = None,
    ttl: float | None = None,
    max_bytes: int = LARGEST,
) -> Kept:
    """Store the result of a query, a JSON value, for ``ttl`` seconds (the setting ``cache_ttl_seconds`` without).

    What was run before an invalidation is stored all the same: `get_or_run` knows better. SQL that is no single read,
    or that cannot be read, and results of more bytes than allowed are not stored, and the reason is told.

    Raises:
        InvalidInput: as `get`, a value that is no JSON, or a period that is not positive.
    """
    asked = request(sql, database=database, rights=rights, parameters=parameters, dialect=dialect)
    kept = _entry(ports, asked, _encoded(value), ttl)
    reason = asked.statement.reason or _too_large(kept, max_bytes)
    if reason is not None:
        return Kept(_key(asked), stored=False, reason=reason)
    memory = _memory(ports)
    _with_tally(memory, lambda tally: ports.run(_STORE, kept, tally))
    return Kept(_key(asked), stored=True)


def get_or_run(
    ports: Ports,
    sql: str,
    run: Callable[[], Any],
    *,
    database: str,
    rights: str | Collection[str],
    parameters: Mapping[str, Any] | Sequence[Any] | None = None,
    dialect: str | None = None,
    ttl: float | None = None,
    max_bytes: int = LARGEST,
) -> Answer:
    """Return the result of a query from the cache, or run it and store what it returns.

    Of many that ask at once one runs it, in this process and in others, and all get its result or its error. If whoever
    runs it is cancelled, another one does. SQL that is no single read, or that cannot be read, is run for everyone who
    asks. The value is what JSON keeps of it, the first time too.

    Raises:
        InvalidInput: as `put`. What ``run`` raises goes on to everybody who waits for it.
    """
    asked = request(sql, database=database, rights=rights, parameters=parameters, dialect=dialect)
    _positive(ttl)
    memory = _memory(ports)
    if asked.statement.reason is not None:
        memory.miss(cacheable=False)
        return _answer(asked, _encoded(ports.call(run)), hit=False, reason=asked.statement.reason)
    while True:
        found = _look_up(ports, memory, asked.key)
        if found is not None:
            return _answer(asked, found, hit=True)
        flight, mine = memory.join(asked.key)
        if mine:
            return _load(ports, memory, flight, asked, run, ttl=ttl, max_bytes=max_bytes)
        found = ports.wait(flight.done)
        if found is not None:
            memory.hit(asked.key)
            return _answer(asked, found, hit=True)


def stats(ports: Ports) -> CacheStats:
    """Tell what the cache holds and did."""
    _write_down(ports, _memory(ports))
    told: CacheStats = ports.run(_STATS)
    return told


def efficiency(ports: Ports, *, days: int = 7) -> list[Day]:
    """Tell what the cache did on each of the last days, the latest first; the view ``cache_efficiency`` has every day.

    Other processes write down what they counted after a minute.

    Raises:
        InvalidInput: the period is not 1 to 3660 days.
    """
    _write_down(ports, _memory(ports))
    told: list[Day] = ports.run(_EFFICIENCY, days=days)
    return told


def _load(
    ports: Ports,
    memory: Memory,
    flight: Flight,
    asked: Request,
    run: Callable[[], Any],
    *,
    ttl: float | None,
    max_bytes: int,
) -> Answer:
    """Run a query for everybody who waits for it, unless another process has."""
    try:
        found = _leased(ports, flight, asked)
        if found is not None:
            memory.hit(asked.key)
            memory.land(asked.key, flight, found)
            return _answer(asked, found, hit=True)
        value = _encoded(ports.call(run))
        memory.miss()
        reason = _finish(ports, memory, flight, _entry(ports, asked, value, ttl), max_bytes)
    except BaseException as error:
        released = False
        try:
            released = _release(ports, flight, asked)
        finally:
            memory.give_up(asked.key, flight, error, released=released)
        raise
    # What was overtaken is the truth of before: good enough for who asked before, not for who came since.
    memory.land(asked.key, flight, None if reason in {"overtaken", "failed"} else value)
    return _answer(asked, value, hit=False, stored=reason is None, reason=reason)


def _leased(ports: Ports, flight: Flight, asked: Request) -> bytes | None:
    """Wait until the lease of a key is ours, or the result of whoever had it is there."""
    pause = FIRST_LOOK
    while True:
        found, taken = ports.run(_ACQUIRE, asked.key, holder=flight.holder, database=asked.database, lease=LEASE)
        if taken or found is not None:
            return None if taken else found
        ports.sleep(pause)
        pause = min(pause * 1.5, LONGEST_LOOK)


def _finish(ports: Ports, memory: Memory, flight: Flight, entry: Entry, max_bytes: int) -> Reason | None:
    reason = _too_large(entry, max_bytes)
    kept = None if reason else entry
    try:
        held = _with_tally(
            memory, lambda tally: ports.run(_FINISH, entry.key, holder=flight.holder, entry=kept, tally=tally)
        )
    except UndercroftError as error:
        logger.warning("a result is not in the cache: %s", error)
        return "failed"
    return reason if held else "overtaken"


def _release(ports: Ports, flight: Flight, asked: Request) -> bool:
    try:
        ports.run(_RELEASE, asked.key, holder=flight.holder)
    except UndercroftError:
        return False  # it ends by itself
    return True


def _look_up(ports: Ports, memory: Memory, key: bytes) -> bytes | None:
    found: tuple[bytes, bool] | None = ports.run(_FIND, key)
    if found is None:
        return None
    value, stale = found
    memory.hit(key)
    _write_down(ports, memory, now=stale or memory.due)
    return value


def _memory(ports: Ports) -> Memory:
    return ports.kept(Memory, lambda last: _write_down(last, last.kept(Memory)))


def _write_down(ports: Ports, memory: Memory, *, now: bool = True) -> None:
    if now:
        _with_tally(memory, lambda tally: None if tally.empty else ports.run(_COUNT, tally))


def _with_tally(memory: Memory, write: Callable[[Tally], Any]) -> Any:
    tally = memory.take()
    try:
        return write(tally)
    except BaseException:
        memory.give_back(tally)
        raise


def _entry(ports: Ports, asked: Request, value: bytes, ttl: float | None) -> Entry:
    facts = ports.facts
    seconds = facts.cache_ttl_seconds if ttl is None else _positive(ttl)
    form, tables = asked.statement.form, asked.statement.tables
    return Entry(asked.key, value, asked.database, form, tables, float(seconds or 0), facts.max_cache_entries)


def _positive(ttl: float | None) -> float | None:
    if ttl is not None and not 0 < ttl <= 10 * 366 * 86_400:
        message = "A result is valid for more than 0 seconds and at most ten years."
        raise InvalidInput(message, field="ttl")
    return ttl


def _too_large(entry: Entry, most: int) -> Reason | None:
    return "too_large" if len(entry.value) > most else None


def _encoded(value: Any) -> bytes:
    return to_json(value).encode()


def _key(asked: Request) -> str | None:
    return None if asked.statement.reason else asked.key.hex()


def _answer(
    asked: Request, value: bytes, *, hit: bool, stored: bool | None = None, reason: Reason | None = None
) -> Answer:
    return Answer(orjson.loads(value), _key(asked), hit, hit if stored is None else stored, reason)
