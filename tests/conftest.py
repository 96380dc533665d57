"""Fixtures: a store on every engine in both colours, its database, and a tenant of one's own in it.

SQLite has a fresh file for every test. A PostgreSQL server has one database for each worker: tests in it are kept apart
by their tenants, whose names are never used twice.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis
import pytest

from tests import databases, servers
from tests.colours import Driven, LoopThread

ENGINES = ("sqlite", *servers.names("postgresql"))
POOLED = {
    "test_audit.py",
    "test_declarations.py",
    "test_idempotency.py",
    "test_tenants.py",
    "test_transactions.py",
    "test_users.py",
}
"""Of the contract, what runs through PgBouncer as well."""

# A busy machine is slow, which is not what an example shows; a failure prints what runs it again.
hypothesis.settings.register_profile("undercroft", deadline=None, print_blob=True)
hypothesis.settings.load_profile("undercroft")


def pytest_configure(config: pytest.Config) -> None:
    lifetime = ExitStack()
    lifetime.enter_context(servers.run())
    config.add_cleanup(lifetime.close)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    chosen = any("engine" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "engine" in metafunc.fixturenames and not chosen:
        pooled = servers.names("pgbouncer") if metafunc.definition.path.name in POOLED else []
        metafunc.parametrize("engine", [*ENGINES, *pooled], indirect=True)


@pytest.fixture(scope="session")
def soak_share() -> float:
    """How much of its full length a soak test runs."""
    return 0.1 if os.environ.get("UNDERCROFT_SOAK_SHORT") else 1.0


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    """The engine's name; `@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)` chooses."""
    return request.param


@pytest.fixture(params=["sync", "async"])
def colour(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def database_url(
    engine: str, tmp_path: Path, shared_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> str:
    """An application's address of a database that a store can use at once."""
    if engine == "sqlite":
        return _sqlite(tmp_path)
    if engine != "pgbouncer":
        return shared_database(engine)
    monkeypatch.setenv("UNDERCROFT_POOLER", "transaction")
    return databases.moved(shared_database("postgresql"), servers.url("pgbouncer"))


@pytest.fixture
def empty_database_url(engine: str, tmp_path: Path) -> Iterator[str]:
    """An owner's address of a database in which nothing was ever created."""
    if engine == "sqlite":
        yield _sqlite(tmp_path)
        return
    with databases.created(servers.url(engine)) as address:
        yield address


@pytest.fixture(scope="session")
def shared_database() -> Iterator[Callable[[str], str]]:
    """Gives the application's address of this worker's database on a server, migrated when it is first asked for."""
    addresses: dict[str, str] = {}
    with ExitStack() as lifetimes:

        def address(server: str) -> str:
            if server not in addresses:
                admin = lifetimes.enter_context(databases.created(servers.url(server)))
                addresses[server] = databases.migrated(servers.url(server), admin)
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
