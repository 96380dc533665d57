"""Somebody with all rights in a database: reads a tenant's trail, and writes another one in its place."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import make_url

from tests import databases, servers
from tests.audit.tampering import Trail
from undercroft.audit.rules import Link
from undercroft.core.clock import from_micros, micros

LINK = ("sequence", "event_id", "event_hash", "previous", "hash")
EVENT = (
    *("id", "event_type", "category", "action", "status", "description", "actor", "resource_type", "resource_id"),
    *("ip", "user_agent", "data", "occurred_at", "canonical", "event_hash"),
)


class Superuser:
    """Every right on one database; SQLite's file has no others."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._is_sqlite = isinstance(connection, sqlite3.Connection)

    def run(self, sql: str, *arguments: Any) -> list[Any]:
        """Run a statement written for PostgreSQL, with ? for its values."""
        if self._is_sqlite:
            sql = sql.replace("undercroft.", "")
            arguments = tuple(value.bytes if isinstance(value, UUID) else value for value in arguments)
        else:
            sql = sql.replace("?", "%s")
        cursor = self._connection.execute(sql, arguments)
        return list(cursor.fetchall()) if cursor.description else []

    def read(self, tenant: UUID) -> Trail:
        """Read a tenant's trail."""
        trail = Trail(tenant)
        found = self.run(f"SELECT {', '.join(LINK)} FROM undercroft.audit_links WHERE tenant_id = ? ORDER BY 1", tenant)
        for sequence, event, *hashes in found:
            trail.links.append(Link(sequence, self._uuid(event), *map(bytes, hashes)))
        for values in self.run(f"SELECT {', '.join(EVENT)} FROM undercroft.audit_events WHERE tenant_id = ?", tenant):
            row = dict(zip(EVENT, values, strict=True))
            row["id"] = self._uuid(row["id"])
            if self._is_sqlite:
                row |= {"data": orjson.loads(row["data"]), "occurred_at": from_micros(row["occurred_at"])}
            trail.events[row["id"]] = row
        return trail

    def write(self, trail: Trail) -> None:
        """Leave a tenant nothing but this trail."""
        for table in ("audit_events", "audit_links", "audit_pending"):
            self.run(f"DELETE FROM undercroft.{table} WHERE tenant_id = ?", trail.tenant)
        for link in trail.links:
            values = (link.sequence, link.event_id, link.event_hash, link.previous, link.hash)
            self._insert("audit_links", LINK, trail.tenant, values)
        for row in trail.events.values():
            kept = dict(row)
            if self._is_sqlite:
                kept |= {"data": orjson.dumps(row["data"]).decode(), "occurred_at": micros(row["occurred_at"])}
            else:
                kept["data"] = Jsonb(row["data"])
            self._insert("audit_events", EVENT, trail.tenant, [kept[name] for name in EVENT])

    def _insert(self, table: str, names: tuple[str, ...], tenant: UUID, values: Any) -> None:
        marks = ", ".join("?" for _ in range(len(names) + 1))
        self.run(f"INSERT INTO undercroft.{table} (tenant_id, {', '.join(names)}) VALUES ({marks})", tenant, *values)

    def _uuid(self, value: Any) -> UUID:
        return UUID(bytes=value) if self._is_sqlite else value


@contextmanager
def superuser(engine: str, database_url: str) -> Iterator[Superuser]:
    """Everything is allowed to him, in the database of a store."""
    if engine == "sqlite":
        connection = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)
        try:
            yield Superuser(connection)
        finally:
            connection.close()
        return
    with psycopg.connect(as_owner(engine, database_url), autocommit=True) as connection:
        yield Superuser(connection)


def as_owner(engine: str, database_url: str) -> str:
    """The address of a store's database on a server, for its administrator."""
    server = servers.url("postgresql" if engine == "pgbouncer" else engine)
    return databases.changed(server, database=make_url(database_url).database or "")
