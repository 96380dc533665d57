"""Databases on a test server: made, migrated, and dropped at the end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import psycopg
from sqlalchemy import NullPool, create_engine, make_url

LOGIN = "undercroft_test"
SEAL_KEY = "correct horse battery staple, at random"


@contextmanager
def created(admin_url: str, *, like: str = "template1") -> Iterator[str]:
    """A new database on the server, a copy of another that nobody is connected to, dropped at the end."""
    name = f"undercroft_test_{uuid4().hex}"
    with administrator(admin_url) as run:
        run(f'CREATE DATABASE "{name}" TEMPLATE "{like}"')
    try:
        yield changed(admin_url, database=name)
    finally:
        with administrator(admin_url) as run:
            run(f'DROP DATABASE "{name}" WITH (FORCE)')


def migrated(admin_url: str, database_url: str) -> str:
    """Migrate a database and return the address that a login without any right beyond the application's has of it."""
    import undercroft

    with administrator(admin_url) as run:
        # Roles belong to the server: workers, and runs beside this one, create them one after the other.
        run("SELECT pg_advisory_lock(hashtext('undercroft tests'))")
        with undercroft.Store(database_url) as store:
            store.migrate()
        if not run(f"SELECT 1 FROM pg_roles WHERE rolname = '{LOGIN}'").fetchone():
            run(f"CREATE ROLE {LOGIN} LOGIN PASSWORD '{LOGIN}'")
        run(f"GRANT undercroft_app, undercroft_fleet TO {LOGIN}")
    return changed(database_url, username=LOGIN, password=LOGIN)


def seal(database_url: str) -> None:
    """Seal the tenants of a migrated database with `SEAL_KEY`."""
    from undercroft.migrations import sealing

    engine = create_engine(changed(database_url, drivername="postgresql+psycopg"), poolclass=NullPool)
    with engine.connect() as connection:
        sealing.seal(connection, SEAL_KEY)


def context(tenant_id: UUID) -> str:
    """What enters a tenant under `SEAL_KEY`, and where nothing is sealed as well."""
    from undercroft.core.tenant_seal import TenantSeal

    return TenantSeal(SEAL_KEY, lifetime=600).context(tenant_id)


@contextmanager
def administrator(admin_url: str) -> Iterator[Callable[[str], psycopg.Cursor]]:
    """Runs statements as the server's administrator, each a transaction of its own."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        yield connection.execute


def changed(address: str, **parts: str | int) -> str:
    """An address with other parts."""
    return make_url(address).set(**parts).render_as_string(hide_password=False)


def moved(address: str, to: str) -> str:
    """The address of the same database and login at another host and port."""
    there = make_url(to)
    return changed(address, host=there.host or "", port=there.port or 0)
