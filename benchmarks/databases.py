"""Databases to measure in: made for a task and dropped after it, with an application's login that passes no wall."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import psycopg
from sqlalchemy import make_url

import undercroft
from tests import servers

LOGIN = "undercroft_benchmark"
CONNECTIONS = 8
"""How many each contender may open."""


@dataclass(frozen=True)
class Postgres:
    """One database: its owner's address, which no wall stops, and an application's."""

    owner: str
    app: str

    def run(self, *statements: str) -> None:
        """Run statements as the owner, each in its own transaction."""
        with psycopg.connect(self.owner, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def settings(self, **more: Any) -> undercroft.Settings:
        """The settings of a store that opens as many connections as every other contender."""
        return undercroft.Settings(database_url=self.app, pool_size=CONNECTIONS, max_overflow=0, **more)

    def sqlalchemy(self, driver: str) -> str:
        """The application's address as SQLAlchemy wants it."""
        return make_url(self.app).set(drivername=f"postgresql+{driver}").render_as_string(hide_password=False)


def server() -> str:
    """The administrator's address: UNDERCROFT_BENCH_POSTGRES, else the environment's server, else a throwaway one."""
    return os.environ.get("UNDERCROFT_BENCH_POSTGRES") or servers.url(servers.names("postgresql")[-1])


@contextmanager
def postgres(*, name: str | None = None) -> Iterator[Postgres]:
    """A migrated database; one with a name is kept, and found again by it."""
    admin = server()
    database = name or f"undercroft_bench_{uuid4().hex}"
    address = make_url(admin).set(database=database)
    found = Postgres(
        owner=address.render_as_string(hide_password=False),
        app=address.set(username=LOGIN, password=LOGIN).render_as_string(hide_password=False),
    )
    try:
        _prepare(admin, database, found.owner)
        yield found
    finally:
        if name is None:
            drop(database)


def drop(name: str) -> None:
    """Drop a database."""
    with psycopg.connect(server(), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@contextmanager
def sqlite_file() -> Iterator[str]:
    """The address of a new file."""
    with TemporaryDirectory(prefix="undercroft-bench-") as folder:
        yield f"sqlite:///{Path(folder, 'undercroft.db')}"


def _prepare(admin: str, database: str, owner: str) -> None:
    with psycopg.connect(admin, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
            connection.execute(f'CREATE DATABASE "{database}" TEMPLATE template0')
        with undercroft.Store(owner) as store:
            store.migrate()
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [LOGIN]).fetchone():
            connection.execute(f"CREATE ROLE {LOGIN} LOGIN PASSWORD '{LOGIN}'")
        connection.execute(f"GRANT undercroft_app, undercroft_fleet TO {LOGIN}")
