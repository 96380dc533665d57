"""Databases of one's own, to be migrated in every way."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from tests import servers
from undercroft.migrations import history

Connecting = Callable[..., AbstractContextManager[sa.Connection]]

LOGIN = "uc_mig_app"


@contextmanager
def connected(url: str, **login: str) -> Iterator[sa.Connection]:
    address = sa.make_url(url)
    if address.drivername == "postgresql":
        address = address.set(drivername="postgresql+psycopg", **login)
    engine = sa.create_engine(address, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def created(server: str) -> Iterator[str]:
    """A new, empty database on a PostgreSQL server; gives the administrator's address of it."""
    address = sa.make_url(servers.url(server))
    name = f"uc_mig_{uuid4().hex}"
    run(servers.url(server), f"CREATE DATABASE {name}")
    try:
        yield address.set(database=name).render_as_string(hide_password=False)
    finally:
        run(servers.url(server), f"DROP DATABASE {name} WITH (FORCE)")


def run(url: str, *statements: str) -> None:
    with connected(url) as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        for statement in statements:
            connection.exec_driver_sql(statement)


def login(url: str, name: str, *, roles: str = "", options: str = "") -> None:
    """Make a login, whoever else makes it at this moment, and give it roles."""
    run(
        url,
        f"DO $$ BEGIN CREATE ROLE {name} LOGIN PASSWORD '{name}' {options};"
        " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
        *([f"DO $$ BEGIN GRANT {roles} TO {name}; EXCEPTION WHEN unique_violation THEN NULL; END $$"] if roles else []),
    )


@pytest.fixture
def connection(empty_database_url: str) -> Iterator[sa.Connection]:
    """An owner's connection to a database in which nothing was ever created, on every engine."""
    with connected(empty_database_url) as opened:
        yield opened


@dataclass(frozen=True)
class House:
    """A migrated PostgreSQL database with two tenants, each with a user and a message, and one that is deleted."""

    url: str
    acme: UUID
    bolt: UUID
    gone: UUID

    def admin(self) -> AbstractContextManager[sa.Connection]:
        return connected(self.url)

    def app(self) -> AbstractContextManager[sa.Connection]:
        """A plain login with the application's role and nothing else."""
        return connected(self.url, username=LOGIN, password=LOGIN)

    def fleet(self) -> AbstractContextManager[sa.Connection]:
        """A login with both roles."""
        return connected(self.url, username=f"{LOGIN}_fleet", password=f"{LOGIN}_fleet")


@pytest.fixture(scope="module", params=servers.names("postgresql"))
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    with created(request.param) as url:
        with connected(url) as connection:
            history.upgrade(connection)
        login(url, LOGIN, roles="undercroft_app")
        login(url, f"{LOGIN}_fleet", roles="undercroft_app, undercroft_fleet")
        made = House(url, uuid4(), uuid4(), uuid4())
        for tenant in (made.acme, made.bolt, made.gone):
            run(url, *fill(tenant))
        run(url, f"UPDATE undercroft.tenants SET deleted_at = now() WHERE tenant_id = '{made.gone}'")
        yield made


def fill(tenant: UUID) -> list[str]:
    """Statements that make a tenant with one row in every table, which names the tenant in it."""
    message = "018f0000-0000-8000-8000-000000000001"
    values = {
        "tenants (tenant_id, platform, native_id, name, created_at, updated_at)": "'slack', '{t}', '{t}', now(), now()",
        "users (tenant_id, id, platform, native_id, created_at, updated_at)": "'{t}', 'slack', '{t}', now(), now()",
        "channels (tenant_id, id, native_id, name, kind)": "'{t}', 'C1', '{t}', 'public'",
        "channel_members (tenant_id, channel_id, user_id)": "'{t}', '{t}'",
        "messages (tenant_id, id, channel_id, native_id, text, sent_at, search)": (
            "'{m}', '{t}', '1.0', '{t}', now(), $$'hello':1$$"
        ),
        "message_versions (tenant_id, message_id, version, text, seen_at)": "'{m}', 1, '{t}', now()",
        "attachments (tenant_id, message_id, position, native_id, kind)": "'{m}', 0, '{t}', 'file'",
        "reactions (tenant_id, message_id, emoji, count)": "'{m}', '{t}', 1",
        "reaction_users (tenant_id, message_id, emoji, user_id)": "'{m}', '{t}', '{t}'",
        "mentions (tenant_id, message_id, kind, native_id)": "'{m}', 'user', '{t}'",
        "quarantine (tenant_id, id, source, path, position, reason, record, created_at)": (
            "'{t}', 'source', 'path', 1, 'reason', '{t}', now()"
        ),
        "audit_events (tenant_id, id, event_type, category, action, status, occurred_at, canonical, event_hash)": (
            "'{m}', 'a.b', 'a', 'b', 'success', now(), '', sha256('')"
        ),
        "idempotency_keys (tenant_id, operation, key, request_hash, created_at, expires_at)": (
            "'op', '{t}', '', now(), now()"
        ),
        "user_sessions (tenant_id, id, user_native_id, started_at, last_activity_at)": "'{t}', '{t}', now(), now()",
        "query_history (tenant_id, id, question, status, started_at)": "'{m}', '{t}', 'success', now()",
        "user_mappings (tenant_id, user_id, native_id, database_user, role, allowed_databases, permissions, created_at,"
        " updated_at)": "'{t}', '{t}', 'u', 'r', '[]', '[]', now(), now()",
        "query_cache (tenant_id, key, database, sql, value, size, created_at, last_used_at, expires_at)": (
            "sha256('{t}'), '{t}', '', '', 0, now(), now(), now()"
        ),
        "query_cache_tables (tenant_id, key, name)": "sha256('{t}'), '{t}'",
        "query_cache_leases (tenant_id, key, holder, database, expires_at)": "sha256(''), '{t}', '{t}', now()",
        "query_cache_days (tenant_id, day)": "now()",
    }
    return [
        f"INSERT INTO undercroft.{columns} VALUES ('{tenant}', {row.format(t=tenant, m=message)})"
        for columns, row in values.items()
    ]
