"""Fixtures: a store on every engine in both colours, its database, and a tenant of one's own in it.

SQLite has a file of its own for every test, the copy of one that was migrated once. A PostgreSQL server has one
database for each worker: tests in it are kept apart by their tenants, whose names are never used twice.
"""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis
import pytest
from sqlalchemy import make_url

from tests import databases, servers
from tests.colours import Driven, LoopThread

ENGINES = ("sqlite", *servers.names("postgresql"))
POOLED = {
    "test_audit.py",
    "test_declarations.py",
    "test_idempotency.py",
    "test_live.py",
    "test_tenants.py",
    "test_transactions.py",
    "test_users.py",
}
"""Of the contract, what runs through PgBouncer as well."""
SEALED = {
    "test_app_settings.py",
    "test_archive.py",
    "test_audit.py",
    "test_audit_chain.py",
    "test_config.py",
    "test_goals.py",
    "test_limits.py",
    "test_live.py",
    "test_metrics.py",
    "test_preferences.py",
    "test_queries.py",
    "test_results.py",
    "test_secrets.py",
    "test_threads.py",
    "test_users.py",
}
"""Of the contract, what runs in a sealed database as well, through PgBouncer too where it is in both sets; beyond the
users in the soak alone."""

# A busy machine is slow, which is not what an example shows; a failure prints what runs it again.
hypothesis.settings.register_profile("undercroft", deadline=None, print_blob=True)
hypothesis.settings.load_profile("undercroft")


FILE = "undercroft.db"
KEYS = "uck1_dW5kZXJjcm9mdCB0ZXN0cyB1bmRlcmNyb2Z0IHRlc3Q"
"""What every store of the tests seals with, where a test says nothing else."""


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault("UNDERCROFT_KEYS", KEYS)
    # Whoever runs in a shell's background ignores Ctrl-C, and so would the programs that a test sends one to.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    lifetime = ExitStack()
    lifetime.enter_context(servers.run())
    config.add_cleanup(lifetime.close)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    chosen = any("engine" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "engine" in metafunc.fixturenames and not chosen:
        name = metafunc.definition.path.name
        pooled = servers.names("pgbouncer") if name in POOLED else []
        marks = () if name == "test_users.py" else (pytest.mark.soak,)
        sealed = [pytest.param(f"sealed-{one}", marks=marks) for one in ("postgresql", *pooled) if name in SEALED]
        metafunc.parametrize("engine", [*ENGINES, *pooled, *sealed], indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("soak") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(3600))


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
    engine: str,
    tmp_path: Path,
    migrated_file: Path,
    shared_database: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """An application's address of a database that a store can use at once."""
    if engine == "sqlite":
        shutil.copy(migrated_file, tmp_path / FILE)
        return _sqlite(tmp_path)
    if engine.startswith("sealed-"):
        monkeypatch.setenv("UNDERCROFT_TENANT_SEAL_KEY", databases.SEAL_KEY)
    if not engine.endswith("pgbouncer"):
        return shared_database(engine)
    monkeypatch.setenv("UNDERCROFT_POOLER", "transaction")
    return databases.moved(shared_database(engine.replace("pgbouncer", "postgresql")), servers.url("pgbouncer"))


@pytest.fixture
def empty_database_url(engine: str, tmp_path: Path) -> Iterator[str]:
    """An owner's address of a database in which nothing was ever created."""
    if engine == "sqlite":
        yield _sqlite(tmp_path)
        return
    with databases.created(servers.url(engine)) as address:
        yield address


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that is migrated and holds nothing else: to migrate it takes longer than most tests."""
    import undercroft

    folder = tmp_path_factory.mktemp("migrated")
    with undercroft.Store(_sqlite(folder)) as store:
        store.migrate()
    return folder / FILE


@pytest.fixture(scope="session")
def shared_database() -> Iterator[Callable[[str], str]]:
    """Gives the application's address of this worker's database on a server, migrated when it is first asked for.

    With ``sealed-`` before the server's name it is another one, in which tenants are sealed.
    """
    addresses: dict[str, str] = {}
    with ExitStack() as lifetimes:

        def address(server: str) -> str:
            if server not in addresses:
                at = servers.url(server.removeprefix("sealed-"))
                admin = lifetimes.enter_context(databases.created(at))
                addresses[server] = databases.migrated(at, admin)
                if server.startswith("sealed-"):
                    databases.seal(admin)
            return addresses[server]

        yield address


@pytest.fixture(scope="session")
def template_database() -> Iterator[Callable[[str], str]]:
    """Gives the name of a migrated database on a server that nobody is connected to."""
    names: dict[str, str] = {}
    with ExitStack() as lifetimes:

        def name(server: str) -> str:
            if server not in names:
                admin = lifetimes.enter_context(databases.created(servers.url(server)))
                databases.migrated(servers.url(server), admin)
                names[server] = make_url(admin).database or ""
            return names[server]

        yield name


@pytest.fixture
def own_database_url(
    engine: str, tmp_path: Path, migrated_file: Path, template_database: Callable[[str], str]
) -> Iterator[str]:
    """As `database_url`, for tests that look at all tenants: a database that holds nobody else's."""
    if engine == "sqlite":
        shutil.copy(migrated_file, tmp_path / FILE)
        yield _sqlite(tmp_path)
        return
    with databases.created(servers.url(engine), like=template_database(engine)) as admin:
        yield databases.changed(admin, username=databases.LOGIN, password=databases.LOGIN)


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
    return f"sqlite:///{folder / FILE}"
