"""Operations on the cache of results.

Whoever writes takes the tenant's row of the day first. So the writers of a tenant wait for each other instead of for
each other's rows, and whoever evicts sees what all of them stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, bindparam, case, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from undercroft.core.server_time import server_now
from undercroft.core.tx import Tx
from undercroft.core.types import BigInt
from undercroft.errors import InvalidInput
from undercroft.results.memory import Tally
from undercroft.results.models import CacheDay, CachedResult as Row, CachedResultTable, ResultLease
from undercroft.results.records import CacheStats, Day

RECENT = 60
"""Seconds for which a hit need not be written down."""
NOTHING = Tally({})

_KEY: BindParameter[bytes] = bindparam("key")
_MINE = Row.tenant_id == bindparam("tenant_id")
_FIND = select(Row.value, case((Row.last_used_at < server_now("recent"), 1), else_=0).label("stale")).where(
    _MINE, Row.key == _KEY, Row.expires_at > server_now()
)
_LEASE_NEW = insert(ResultLease).values(
    tenant_id=bindparam("tenant_id"),
    key=_KEY,
    holder=bindparam("holder"),
    database=bindparam("database"),
    expires_at=server_now("lease"),
)
_LEASE = _LEASE_NEW.on_conflict_do_update(
    index_elements=[ResultLease.tenant_id, ResultLease.key],
    set_={name: _LEASE_NEW.excluded[name] for name in ("holder", "database", "expires_at")},
    where=or_(ResultLease.expires_at <= server_now(), ResultLease.holder == bindparam("holder")),
)
_LEASES_OF_MINE = ResultLease.tenant_id == bindparam("tenant_id")
_RELEASE = delete(ResultLease).where(
    _LEASES_OF_MINE, ResultLease.key == _KEY, ResultLease.holder == bindparam("holder")
)
_STORE_NEW = insert(Row).values(
    tenant_id=bindparam("tenant_id"),
    key=_KEY,
    database=bindparam("database"),
    sql=bindparam("sql"),
    value=bindparam("value"),
    size=bindparam("size"),
    hits=bindparam("hits"),
    created_at=server_now(),
    last_used_at=server_now(),
    expires_at=server_now("ttl"),
)
_STORE = _STORE_NEW.on_conflict_do_update(
    index_elements=[Row.tenant_id, Row.key],
    set_={name: _STORE_NEW.excluded[name] for name in ("value", "size", "created_at", "last_used_at", "expires_at")},
)
_TABLES = CachedResultTable.metadata.tables["undercroft.query_cache_tables"]
_EVICT = delete(Row).where(
    _MINE,
    Row.key.in_(
        select(Row.key)
        .where(Row.tenant_id == bindparam("tenant_id"))
        .order_by(Row.last_used_at.desc(), Row.key)
        .offset(bindparam("most"))
    ),
)
_COUNTS = ("hits", "misses", "uncacheable", "evicted", "invalidated")
_DAY_NEW = insert(CacheDay).values(
    tenant_id=bindparam("tenant_id"), day=bindparam("day"), **{name: bindparam(name) for name in _COUNTS}
)
_DAY = _DAY_NEW.on_conflict_do_update(
    index_elements=[CacheDay.tenant_id, CacheDay.day],
    set_={name: getattr(CacheDay, name) + _DAY_NEW.excluded[name] for name in _COUNTS},
)
_USED = (
    update(Row)
    .where(_MINE, Row.key == _KEY)
    .values(
        hits=Row.hits + bindparam("count", type_=BigInt),
        last_used_at=case((Row.last_used_at < server_now("ago"), server_now("ago")), else_=Row.last_used_at),
    )
)
_OF_TABLE = Row.key.in_(
    select(CachedResultTable.key).where(
        CachedResultTable.tenant_id == bindparam("tenant_id"), CachedResultTable.name == bindparam("table")
    )
)
_INVALIDATE = {
    ("key",): (
        delete(ResultLease).where(_LEASES_OF_MINE, ResultLease.key == _KEY),
        delete(Row).where(_MINE, Row.key == _KEY),
    ),
    ("table",): (delete(ResultLease).where(_LEASES_OF_MINE), delete(Row).where(_MINE, _OF_TABLE)),
    ("database",): (
        delete(ResultLease).where(_LEASES_OF_MINE, ResultLease.database == bindparam("database")),
        delete(Row).where(_MINE, Row.database == bindparam("database")),
    ),
    ("table", "database"): (
        delete(ResultLease).where(_LEASES_OF_MINE, ResultLease.database == bindparam("database")),
        delete(Row).where(_MINE, Row.database == bindparam("database"), _OF_TABLE),
    ),
    ("everything",): (delete(ResultLease).where(_LEASES_OF_MINE), delete(Row).where(_MINE)),
}  # what is being loaded may read the table: which tables it reads is known when it is stored
_EXPIRED = delete(Row).where(_MINE, Row.expires_at <= server_now())
_LEASES_EXPIRED = delete(ResultLease).where(_LEASES_OF_MINE, ResultLease.expires_at <= server_now())
_HELD = select(
    func.count(),
    func.count(case((Row.expires_at <= server_now(), 1))),
    func.coalesce(func.sum(Row.size), 0),
).where(_MINE)
_DONE = select(*(func.coalesce(func.sum(getattr(CacheDay, name)), 0).label(name) for name in _COUNTS)).where(
    CacheDay.tenant_id == bindparam("tenant_id")
)
_DAYS = (
    select(CacheDay.day, *(getattr(CacheDay, name) for name in _COUNTS))
    .where(CacheDay.tenant_id == bindparam("tenant_id"), CacheDay.day >= bindparam("since"))
    .order_by(CacheDay.day.desc())
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A result as it is stored: ``ttl`` in seconds, ``most`` the number of results that the tenant may have."""

    key: bytes
    value: bytes
    database: str
    sql: str
    tables: Sequence[str]
    ttl: float
    most: int


def find(tx: Tx, key: bytes) -> tuple[bytes, bool] | None:
    """Return a result that has not expired, and whether its last use was written down a while ago."""
    row = tx.row(_FIND, {"key": key, "recent": -float(RECENT)})
    return None if row is None else (bytes(row[0]), bool(row[1]))


def acquire(tx: Tx, key: bytes, *, holder: UUID, database: str, lease: float) -> tuple[bytes | None, bool]:
    """Take the lease of a key for so many seconds; returns the result where it came meanwhile, and if it was taken."""
    given = {"key": key, "holder": holder, "database": database, "lease": lease}
    if not tx.run(_LEASE, given):
        return None, False
    found = find(tx, key)  # behind the lease: whoever had it before has stored by now
    if found is None:
        return None, True
    tx.run(_RELEASE, {"key": key, "holder": holder})
    return found[0], False


def finish(tx: Tx, key: bytes, *, holder: UUID, entry: Entry | None, tally: Tally) -> bool:
    """Give a lease back and store what was loaded under it; tells whether it was still held, else nothing is stored."""
    _count(tx, tally)
    if not tx.run(_RELEASE, {"key": key, "holder": holder}):
        return False
    if entry is not None:
        _store(tx, entry)
    return True


def release(tx: Tx, key: bytes, *, holder: UUID) -> None:
    """Give a lease back."""
    tx.run(_RELEASE, {"key": key, "holder": holder})


def store(tx: Tx, entry: Entry, tally: Tally) -> None:
    """Store a result."""
    _count(tx, tally)
    _store(tx, entry)


def count(tx: Tx, tally: Tally) -> None:
    """Write down what was counted."""
    _count(tx, tally)


def invalidate(
    tx: Tx,
    *,
    key: str | None = None,
    table: str | None = None,
    database: str | None = None,
    everything: bool = False,
) -> int:
    """Remove results: one by its key, those that read a table, those of a database, both, or everything.

    What is being loaded at this moment is not stored, and not given to whoever asks later. A table is named by the last
    part of its name, in any case; a view is not looked through. Returns how many results were removed.

    Raises:
        InvalidInput: nothing is named, or a key or everything together with something else.
    """
    given: dict[str, Any] = {"key": key, "table": table, "database": database, "everything": everything or None}
    named = tuple(name for name, value in given.items() if value is not None)
    if named not in _INVALIDATE:
        message = "Name a key, a table, a database, a table of a database, or everything=True."
        raise InvalidInput(message, field="key")
    if key is not None:
        given["key"] = _key(key)
    if table is not None:
        given["table"] = table.rpartition(".")[2].strip('"`[]').lower()
    _count(tx, NOTHING)
    leases, results = _INVALIDATE[named]
    tx.run(leases, given)
    removed = tx.run(results, given)
    if removed:
        _add(tx, invalidated=removed)
    return removed


def cleanup(tx: Tx) -> int:
    """Remove results that have expired; returns how many."""
    _count(tx, NOTHING)
    tx.run(_LEASES_EXPIRED)
    return tx.run(_EXPIRED)


def stats(tx: Tx) -> CacheStats:
    """Tell what the cache holds and did."""
    return CacheStats(*map(int, tx.rows(_HELD)[0]), *map(int, tx.rows(_DONE)[0]))


def efficiency(tx: Tx, *, days: int = 7) -> list[Day]:
    """Tell what the cache did on each of the last days, the latest first."""
    if not 1 <= days <= 3660:  # noqa: PLR2004 - ten years
        message = "The period is 1 to 3660 days."
        raise InvalidInput(message, field="days")
    return [Day(*row) for row in tx.rows(_DAYS, {"since": _today(tx) - timedelta(days=days - 1)})]


def _store(tx: Tx, entry: Entry) -> None:
    told = {"key": entry.key, "database": entry.database, "sql": entry.sql, "value": entry.value}
    tx.run(_STORE, {**told, "size": len(entry.value), "hits": 0, "ttl": float(entry.ttl)})
    tx.insert_many(_TABLES, [{"tenant_id": tx.tenant_id, "key": entry.key, "name": name} for name in entry.tables])
    evicted = tx.run(_EVICT, {"most": entry.most})
    if evicted:
        _add(tx, evicted=evicted)


def _count(tx: Tx, tally: Tally) -> None:
    hits = sum(count for count, _ in tally.hits.values())
    _add(tx, hits=hits, misses=tally.misses, uncacheable=tally.uncacheable)
    used = [{"key": key, "count": count, "ago": -age} for key, (count, age) in sorted(tally.hits.items())]
    tx.run_many(_USED, used)


def _add(tx: Tx, **counts: int) -> None:
    known: Mapping[str, int] = dict.fromkeys(_COUNTS, 0) | counts
    tx.run(_DAY, {"day": _today(tx), **known})


def _today(tx: Tx) -> Any:
    return tx.now.replace(hour=0, minute=0, second=0, microsecond=0)


def _key(key: str) -> bytes:
    try:
        return bytes.fromhex(key)
    except ValueError as error:
        message = "A key is what an answer told."
        raise InvalidInput(message, field="key") from error
