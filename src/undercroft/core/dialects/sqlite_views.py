"""The views through which one tenant sees a SQLite file, and the triggers through which he writes it.

They are temporary, one set for each connection, and find their tenant in a function of that connection.
"""

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Table

from undercroft.core.schema import SCHEMA, Base, every_table

TENANT = "undercroft_tenant"
"""The SQL function that gives the tenant's id, NULL where none is entered."""
CHANGED = "undercroft_changed"
"""The SQL function that triggers tell of a row: how many it was, and its rowid."""
FOREIGN = "undercroft_foreign"
"""The SQL function that triggers call before they refuse another tenant's row."""

VIEWS = {"active_sessions", "query_performance_metrics", "user_activity_summary", "cache_efficiency"}
"""The views of our own history: a tenant sees them made of his views of their tables."""
READ_ONLY = {"tenants", "audit_archives"} | VIEWS
APPEND_ONLY = {"audit_events", "audit_links", "config_audit", "meeting_changes"}
MARKS = {"audit_pending"}
"""What the application may do less with than everything: the rights that PostgreSQL's roles have, once more."""


MODULES = {"fts3", "fts4", "fts5", "rtree", "geopoly"}
"""Of SQLite's virtual tables, those that hold what is put into them; others show what lies in other tables."""
_VIRTUAL = re.compile(r"\s*CREATE\s+VIRTUAL\s+TABLE\b.*?\bUSING\s+[\"'`\[]?(\w+)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The tables of a file: ``walled`` are those with a tenant, ``closed`` what nobody's SQL may touch.

    ``free`` are the others, and ``named`` all of them with what SQLite's modules add.
    """

    walled: frozenset[str]
    closed: frozenset[str]
    free: frozenset[str]
    named: frozenset[str]


def rights(table: str) -> frozenset[str]:
    """Return what the application may do to the rows of one of our tables, or of a user's with a tenant."""
    if table in READ_ONLY:
        return frozenset()
    if table in MARKS:
        return frozenset({"insert", "delete"})
    return frozenset({"insert"} if table in APPEND_ONLY else {"insert", "update", "delete"})


def schemas() -> frozenset[str]:
    """Return the names of schemas that a file has no other use for: there, all of them are the one it has."""
    return frozenset({"main", SCHEMA} | {table.schema for table, _ in _mapped() if table.schema})


def models() -> int:
    """Count the models that are mapped so far."""
    return len(Base.registry.mappers)


def catalogue(connection: sqlite3.Connection) -> Catalogue:
    """Read which tables a file has, and tell them apart.

    A table of ours without a tenant is closed, and one that is only on SQLite too: it is derived from others. Users'
    models share our base, and so the walls where they have a tenant_id.
    """
    tables = every_table().tables.values()
    users = {table.name for table, model in _mapped() if not model.__module__.startswith("undercroft.")}
    ours = {table.name: table for table in tables if table.name not in users}
    walled = {table.name for table, _ in _mapped() if "tenant_id" in table.c} | VIEWS
    closed = {name for name, table in ours.items() if "tenant_id" not in table.c or table.info.get("engines")} - walled
    here: dict[str, str] = dict(
        connection.execute(
            "SELECT lower(name), coalesce(sql, '') FROM main.sqlite_master WHERE type IN ('table', 'view')"
        )
    )
    for name, sql in here.items():
        virtual = _VIRTUAL.match(sql)
        if name.startswith(("sqlite_", "undercroft_")):
            closed.add(name)
        elif virtual and (virtual[1].lower() not in MODULES or any(f"'{table}'" in sql for table in ours)):
            shadows = {other for other in here if other.startswith(f"{name}_")}
            closed |= {name} | shadows
    modules = {name for (name,) in connection.execute("PRAGMA module_list")}
    walled &= set(here)
    free = set(here) - walled - closed
    return Catalogue(frozenset(walled), frozenset(closed), frozenset(free), frozenset(set(here) | closed | modules))


def _mapped() -> Iterator[tuple[Table, type]]:
    for mapper in Base.registry.mappers:
        if isinstance(mapper.local_table, Table):
            yield mapper.local_table, mapper.class_


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    default: str | None
    key: int
    is_generated: bool


def definition(connection: sqlite3.Connection, name: str) -> str:
    """Return the query of one of our views, which names tables."""
    found = connection.execute("SELECT sql FROM main.sqlite_master WHERE type = 'view' AND name = ?", (name,))
    return re.split(r"\bAS\b", found.fetchone()[0], maxsplit=1)[1]


def of_view(query: str, view: str) -> Iterator[str]:
    """Yield what makes the view of one of our views, from its query as the tenant may ask it, and its triggers."""
    yield f"CREATE TEMP VIEW {view} AS {query}"
    for verb in ("insert", "update", "delete"):
        yield _trigger(view, verb, "SELECT 1;")


def statements(connection: sqlite3.Connection, table: str, view: str) -> Iterator[str]:
    """Yield what makes the view of a table and its triggers, as far as the application may write it."""
    name = _quoted(table)
    columns = [
        _Column(row[1], row[4], row[5], row[6] > 1)
        for row in connection.execute(f"PRAGMA main.table_xinfo({name})")
        if row[6] != 1
    ]
    yield (
        f"CREATE TEMP VIEW {view} AS SELECT {', '.join(_quoted(column.name) for column in columns)} "
        f"FROM main.{name} WHERE tenant_id = {TENANT}()"
    )
    may = rights(table)
    others = [column for column in columns if column.name != "tenant_id" and not column.is_generated]
    unique = list(_unique(connection, name))
    foreign = "".join(_taken(name, key) for key in unique)
    key = [column.name for column in columns if column.key and column.name != "tenant_id"]
    own = " AND ".join(
        [f"{name}.tenant_id = {TENANT}()", *(f"{name}.{_quoted(column)} IS OLD.{_quoted(column)}" for column in key)]
    )
    count = f"SELECT {CHANGED}(changes(), last_insert_rowid())"
    if not any(column.key for column in columns) or any(column is None for key in unique for column in key):
        return  # rows that cannot be told apart, or keys that cannot be looked up: he reads them only
    names = ", ".join(_quoted(column.name) for column in others)
    values = ", ".join(_inserted(column) for column in others)
    changes = ", ".join(f"{_quoted(column.name)} = NEW.{_quoted(column.name)}" for column in others)
    bodies = {
        "insert": f"{_refusal(f'coalesce(NEW.tenant_id, {TENANT}()) IS NOT {TENANT}()')} {foreign} "
        f"INSERT INTO {name} (tenant_id, {names}) VALUES ({TENANT}(), {values}); {count};",
        "update": f"{_refusal(f'NEW.tenant_id IS NOT {TENANT}()')} {foreign} "
        f"UPDATE {name} SET {changes} WHERE {own}; {count};",
        "delete": f"DELETE FROM {name} WHERE {own}; {count};",
    }
    for verb, body in bodies.items():
        # Where there is no right a trigger stands all the same, so that it is the authorizer who refuses.
        yield _trigger(view, verb, body if verb in may else "SELECT 1;")


def _trigger(view: str, verb: str, body: str) -> str:
    return f"CREATE TEMP TRIGGER {view}_{verb} INSTEAD OF {verb.upper()} ON temp.{view} BEGIN {body} END"


def _inserted(column: _Column) -> str:
    # A view knows no defaults: what an INSERT leaves out arrives as NULL.
    value = f"NEW.{_quoted(column.name)}"
    return value if column.default is None else f"coalesce({value}, ({column.default}))"


def _refusal(condition: str) -> str:
    return f"SELECT {FOREIGN}(), RAISE(ABORT, 'the row belongs to another tenant') WHERE {condition};"


def _unique(connection: sqlite3.Connection, table: str) -> Iterator[tuple[str | None, ...]]:
    """Yield the keys of a table that tenants share: a row of another one could be in the way, and be replaced."""
    parts = [row for row in connection.execute(f"PRAGMA main.table_xinfo({table})") if row[5]]
    keys: list[tuple[str | None, ...]] = (
        [tuple(row[1] for row in sorted(parts, key=lambda row: row[5]))] if parts else []
    )
    for _, index, is_unique, *_ in connection.execute(f"PRAGMA main.index_list({table})").fetchall():
        if is_unique:
            named = connection.execute(f"PRAGMA main.index_info({_quoted(index)})")
            keys.append(tuple(name if place >= 0 else None for _, place, name in named))
    yield from {key for key in keys if "tenant_id" not in key}


def _taken(table: str, key: tuple[str | None, ...]) -> str:
    same = " AND ".join(f"{_quoted(name)} = NEW.{_quoted(name)}" for name in key if name is not None)
    return _refusal(f"EXISTS (SELECT 1 FROM main.{table} WHERE {same} AND tenant_id IS NOT {TENANT}())")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
