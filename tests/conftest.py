"""Fixtures: a store on every engine in both colours, its database, and a tenant of one's own in it.

SQLite has a fresh file for every test. A PostgreSQL server has one database for each worker: tests in it are kept apart
by their tenants, whose names are never used twice.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis
import psycopg
import pytest
from sqlalchemy import make_url

from tests import servers
from tests.colours import Driven, LoopThread

ENGINES = ("sqlite", *servers.names("postgresql"))

# A busy machine is slow, which is not what an example shows; a failure prints what runs it again.
hypothesis.settings.register_profile("undercroft", deadline=None, print_blob=True)
hypothesis.settings.load_profile("undercroft")


def pytest_configure(config: pytest.Config) -> None:
    lifetime = ExitStack()
    lifetime.enter_context(servers.run())
    config.add_cleanup(lifetime.close)


@pytest.fixture(scope="session")
def soak_share() -> float:
    """How much of its full length a soak test runs."""
    return 0.1 if os.environ.get("UNDERCROFT_SOAK_SHORT") else 1.0


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """The engine's name; `@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)` chooses."""
    return request.param


@pytest.fixture(params=["sync", "async"])
def colour(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def database_url(engine: str, tmp_path: Path, shared_database: Callable[[str], str]) -> str:
    """An application's address of a database that a store can use at once."""
    return _sqlite(tmp_path) if engine == "sqlite" else shared_database(engine)


@pytest.fixture
def empty_database_url(engine: str, tmp_path: Path) -> Iterator[str]:
    """An owner's address of a database in which nothing was ever created."""
    if engine == "sqlite":
        yield _sqlite(tmp_path)
        return
    with _created(servers.url(engine)) as address:
        yield address


@pytest.fixture(scope="session")
def shared_database() -> Iterator[Callable[[str], str]]:
    """Gives the application's address of this worker's database on a server, migrated when it is first asked for."""
    addresses: dict[str, str] = {}
    with ExitStack() as databases:

        def address(server: str) -> str:
            if server not in addresses:
                admin = databases.enter_context(_created(servers.url(server)))
                addresses[server] = _migrated(servers.url(server), admin)
            return addresses[server]

        yield address


@pytest.fixture(scope="session")
def loop_thread() -> Iterator[LoopThread]:
    with LoopThread() as thread:
        yield thread


@pytest.fixture
def open_store(loop_thread: LoopThread) -> Iterator[Callable[..., Any]]:
    """Opens stores with the blocking interface, `open_store(colour, url)`, and closes them after the test."""
    import undercroft

    with ExitStack() as stores:

        def open_one(colour: str, *args: Any, **kwargs: Any) -> Any:
            kind = undercroft.Store if colour == "sync" else Driven(undercroft.AsyncStore, loop_thread)
            store = kind(*args, **kwargs)
            stores.callback(store.close)
            return store

        yield open_one


@pytest.fixture
def store(colour: str, database_url: str, open_store: Callable[..., Any]) -> Any:
    """A store in either colour on any engine, with the blocking interface."""
    return open_store(colour, database_url)


@pytest.fixture
def new_tenant(store: Any) -> Callable[[], Any]:
    """Makes another tenant of the same store."""

    def make() -> Any:
        name = f"slack:T{uuid4().hex[:12].upper()}"
        store.tenants.ensure(name)
        return store.tenant(name)

    return make


@pytest.fixture
def tenant(new_tenant: Callable[[], Any]) -> Any:
    """A tenant that no other test knows."""
    return new_tenant()


def _sqlite(folder: Path) -> str:
    return f"sqlite:///{folder / 'undercroft.db'}"


@contextmanager
def _created(admin_url: str) -> Iterator[str]:
    """A new database on the server, dropped at the end."""
    name = f"undercroft_test_{uuid4().hex}"
    with _administrator(admin_url) as run:
        run(f'CREATE DATABASE "{name}"')
    try:
        yield _with(admin_url, database=name)
    finally:
        with _administrator(admin_url) as run:
            run(f'DROP DATABASE "{name}" WITH (FORCE)')


def _migrated(admin_url: str, database_url: str) -> str:
    """Migrate a database and return the address that a login without any right beyond the application's has of it."""
    import undercroft

    with _administrator(admin_url) as run:
        # Roles belong to the server: workers, and runs beside this one, create them one after the other.
        run("SELECT pg_advisory_lock(hashtext('undercroft tests'))")
        with undercroft.Store(database_url) as store:
            store.migrate()
        if not run("SELECT 1 FROM pg_roles WHERE rolname = 'undercroft_test'").fetchone():
            run("CREATE ROLE undercroft_test LOGIN PASSWORD 'undercroft_test'")
        run("GRANT undercroft_app, undercroft_fleet TO undercroft_test")
    return _with(database_url, username="undercroft_test", password="undercroft_test")


@contextmanager
def _administrator(admin_url: str) -> Iterator[Callable[[str], psycopg.Cursor]]:
    with psycopg.connect(admin_url, autocommit=True) as connection:
        yield connection.execute


def _with(address: str, **parts: str) -> str:
    return make_url(address).set(**parts).render_as_string(hide_password=False)
