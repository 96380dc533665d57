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
        "audit_links (tenant_id, sequence, event_id, event_hash, previous, hash)": (
            "1, '{m}', sha256(''), sha256(''), sha256('')"
        ),
        "audit_pending (tenant_id, event_id, event_hash)": "'{m}', sha256('')",
        "audit_archives (tenant_id, sequence, hash, events, file, file_hash, checkpoint, archived_at)": (
            "1, sha256(''), 1, 'file', sha256(''), '{{}}', now()"
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
        "api_rate_limits (tenant_id, name, kind, amount, per, burst, each, parts, length, refill, updated_at)": (
            "'{t}', 'period', 1, 'day', 1, 'tenant', 1, 86400000, 0, now()"
        ),
        "api_rate_limit_usage (tenant_id, name, user_native_id, resource, period, ends, used, at, capacity, refill)": (
            "'{t}', '', '', 0, 1, 1, 0, 1, 0"
        ),
        "retention_policies (tenant_id, data_class, set_at, set_by)": "'queries', now(), '{t}'",
        "legal_holds (tenant_id, data_class, reason, held_at)": "'queries', '{t}', now()",
        "upkeep_runs (tenant_id, job)": "'{t}'",
        "secrets (tenant_id, name, id, version, value, created_at, updated_at)": "'{t}', '{t}', 1, '', now(), now()",
        "reseal_cursors (tenant_id, table_name, column_name, key_id, updated_at)": "'{t}', 'c', '', now()",
        "threads (tenant_id, id, key, first_position, last_position, stored_from, created_at, last_activity_at,"
        " active_hour)": "'{t}', '{t}', 1, 1, 1, now(), now(), 0",
        "thread_messages (tenant_id, thread_id, position, role, content, created_at)": (
            "'{m}', 1, 'user', '{t}', now()"
        ),
        "metrics (tenant_id, id, name, value, measured_at)": "'{m}', '{t}', 1, now()",
        "metric_rollups (tenant_id, id, name, resolution, count, total, lowest, highest, sketch, started_at)": (
            "'{m}', '{t}', 60, 1, 1, 1, 1, '{{}}', now()"
        ),
        "business_goals (tenant_id, key, title, area, status, priority, progress, weekly_actions, success_metrics,"
        " created_at, updated_at)": "'{t}', 't', 'a', 'on_hold', 1, 0, '[]', '{{}}', now(), now()",
        "goal_progress (tenant_id, id, goal_key, progress, status, recorded_at)": "'{m}', '{t}', 1, 'on_hold', now()",
        "app_settings (tenant_id, name, kind, value, created_at, updated_at)": "'{t}', 'str', '{t}', now(), now()",
        "feature_flags (tenant_id, name, enabled, users, except_users, created_at, updated_at)": (
            "'{t}', true, '[]', '[]', now(), now()"
        ),
        "user_preferences (tenant_id, user_native_id, name, kind, value, updated_at)": (
            "'{t}', '{t}', 'str', '{t}', now()"
        ),
        "crm_connections (tenant_id, id, provider, credentials, is_default, connected_at, updated_at)": (
            "'{t}', 'hubspot', 'env:{t}', true, now(), now()"
        ),
        "account_mappings (tenant_id, connection_id, email_domain, account_id, verified, created_at, updated_at)": (
            "'{t}', '{t}', '{t}', true, now(), now()"
        ),
        "meeting_sessions (tenant_id, id, source, native_id, state, version, attempts, created_at, updated_at)": (
            "'{t}', 'zoom', '{t}', 'received', 1, 0, now(), now()"
        ),
        "configurations (tenant_id, key, version, category, description, is_sensitive, value, created_at,"
        " updated_at)": "'{t}', 1, '', '', false, '1', now(), now()",
        "config_audit (tenant_id, key, version, position, change, category, description, is_sensitive, value,"
        " changed_at)": "'{t}', 1, 1, 'set', '', '', false, '1', now()",
        "meeting_changes (tenant_id, meeting_id, version, state, at)": "'{t}', 1, '{t}', now()",
        "change_versions (tenant_id, topic, version)": "'{t}', 1",
    }
    return [
        f"INSERT INTO undercroft.{columns} VALUES ('{tenant}', {row.format(t=tenant, m=message)})"
        for columns, row in values.items()
    ]
