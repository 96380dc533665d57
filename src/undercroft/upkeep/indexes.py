"""Looking after indexes: what was broken off or has grown is rebuilt, and the planner learns the tables anew."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from undercroft.core.operation import operation
from undercroft.core.runtime.base import Ports
from undercroft.core.tx import Tx
from undercroft.errors import InvalidInput, PermissionDenied

_INDEXES = (files("undercroft.upkeep") / "indexes.sql").read_text(encoding="utf-8").strip().removesuffix(";")
# Partitioned tables too, of which autovacuum never gathers statistics; each takes its partitions along.
_TABLES = """
SELECT c.oid::regclass::text FROM pg_catalog.pg_class c
WHERE c.relnamespace = 'undercroft'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1
"""
_MAY = "SELECT pg_has_role('undercroft_owner', 'MEMBER')"
_LOCK = "SELECT pg_try_advisory_lock(hashtextextended('undercroft.maintain_indexes', 0))"
_WORTH_IT = 16 * 2**20  # bytes: below, a rebuild costs more than it gives
_ROWS_LOOKED_AT = 1000  # of each index, by SQLite's ANALYZE


@dataclass(frozen=True, slots=True)
class IndexCare:
    """What was done, by name; `left` are indexes that could not be mended, each with the reason."""

    rebuilt: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    analyzed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Index:
    """A row of indexes.sql, in its order."""

    name: str
    partitioned: bool
    valid: bool
    leftover: bool
    bytes: int
    needed: int | None


def maintain_indexes(ports: Ports, *, bloat: float = 2.0, optimize_search: bool = False) -> IndexCare:
    """Rebuild indexes without blocking anybody, and refresh the planner's statistics.

    On PostgreSQL, as the login of ``migrate_url``: INVALID indexes, and those of 16 MiB or more that are ``bloat``
    times as large as their rows need. On SQLite the statistics; with ``optimize_search`` the search index is merged
    into one piece as well, which rewrites it while other writers wait. A second process that asks at the same time does
    nothing.

    Raises:
        InvalidInput: ``bloat`` is not above 1.
        PermissionDenied: that login may not act as undercroft_owner.
    """
    if bloat <= 1:
        raise InvalidInput("An index needs at least its own size", field="bloat", hint="2.0 means twice what it needs")
    return _ENGINES[ports.facts.engine](ports, bloat, optimize_search)


def care(indexes: list[Index], bloat: float) -> Iterator[tuple[str, Index]]:
    """Choose what to do with which index: "drop", "rebuild" or "leave"."""
    for index in indexes:
        if index.leftover:
            yield "drop", index
        elif index.partitioned:
            if not index.valid:
                yield "leave", index
        elif not index.valid or (
            index.needed is not None and index.bytes >= _WORTH_IT and index.bytes > bloat * index.needed
        ):
            yield "rebuild", index


def _on_server(ports: Ports, bloat: float, optimize_search: bool) -> IndexCare:  # noqa: FBT001 - one row of _ENGINES
    del optimize_search  # a GIN index is merged by VACUUM

    def work(connection: Connection) -> IndexCare:
        done = IndexCare()
        if not connection.exec_driver_sql(_MAY).scalar():
            message = "Only undercroft_owner may rebuild its indexes"
            raise PermissionDenied(message, hint="set UNDERCROFT_MIGRATE_URL to the login of the migrations")
        connection.exec_driver_sql("SET ROLE undercroft_owner")
        connection.exec_driver_sql("SET statement_timeout = 0")
        if not connection.exec_driver_sql(_LOCK).scalar():  # never wait: a rebuild waits for all who wait
            return done
        for table in connection.exec_driver_sql(_TABLES).scalars().all():
            connection.exec_driver_sql(f"ANALYZE {table}")
            done.analyzed.append(table)
        indexes = [Index(*row) for row in connection.exec_driver_sql(_INDEXES)]
        for verb, index in care(indexes, bloat):
            _treat(connection, verb, index, done)
        return done

    return ports.administer(work)  # type: ignore[no-any-return]  # what work returns


def _treat(connection: Connection, verb: str, index: Index, done: IndexCare) -> None:
    if verb == "leave":
        done.left.append(f"{index.name}: a partition lacks its part of it")
        return
    command, list_ = ("DROP INDEX", done.dropped) if verb == "drop" else ("REINDEX INDEX", done.rebuilt)
    try:
        connection.exec_driver_sql(f"{command} CONCURRENTLY {index.name}")
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        done.left.append(f"{index.name}: {str(error.orig).splitlines()[0]}")
    else:
        list_.append(index.name)


def _in_file(ports: Ports, bloat: float, optimize_search: bool) -> IndexCare:  # noqa: FBT001 - as above
    del bloat  # pages that become free are used again
    return ports.run(_REFRESH, optimize_search)  # type: ignore[no-any-return]  # what the operation returns


def _refresh(tx: Tx, optimize_search: bool) -> IndexCare:  # noqa: FBT001 - as above
    tx.sql(f"PRAGMA analysis_limit = {_ROWS_LOOKED_AT}")
    tx.command("ANALYZE main")
    if optimize_search:
        tx.command("INSERT INTO main.messages_fts (messages_fts) VALUES ('optimize')")
    tables = "SELECT DISTINCT tbl FROM main.sqlite_stat1 ORDER BY tbl"
    return IndexCare(rebuilt=["messages_fts"] if optimize_search else [], analyzed=[name for (name,) in tx.sql(tables)])


_REFRESH = operation(_refresh)
_ENGINES = {"postgresql": _on_server, "sqlite": _in_file}
