"""Behind a pooler nobody clears a session: a tenant that SQL has set for it is neither open nor in the way."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests import servers
from undercroft.core.dialects.postgresql import PostgresqlDialect
from undercroft.errors import DatabaseError, TenantMismatch

engines = [f"{prefix}{name}" for name in servers.names("pgbouncer") for prefix in ("", "sealed-")]
pytestmark = pytest.mark.parametrize("engine", engines, indirect=True)


@pytest.fixture
def victim(new_tenant: Callable[[], Any]) -> Any:
    made = new_tenant()
    made.users.ensure("U1", name="secret")
    return made


@pytest.fixture
def marked(database_url: str, victim: Any) -> Iterator[None]:
    """Every connection that the pooler has to the server is set to the victim, as a caller's SQL can do it."""
    clients = [psycopg.connect(database_url, prepare_threshold=None) for _ in range(5)]

    def all_of_them(sql: str) -> None:
        for client in clients:
            client.execute(sql)
        for client in clients:
            client.commit()

    all_of_them(f"SELECT set_config('undercroft.tenant', '{victim.id}', false)")
    yield
    all_of_them("RESET undercroft.tenant")
    for client in clients:
        client.close()


def named(tenant: Any) -> list[Any]:
    """The users that every kind of call sees."""
    with tenant.transaction() as tx:
        seen = [tx.db.fetch("SELECT name FROM undercroft.users"), tx.users.list()]
    return [*seen, tenant.db.fetch("SELECT name FROM undercroft.users"), tenant.users.list()]


@pytest.mark.usefixtures("marked")
def test_a_tenant_set_for_the_session_is_neither_open_nor_in_the_way(store, victim, new_tenant) -> None:
    assert named(new_tenant()) == [[]] * 4
    assert [len(seen) for seen in named(victim)] == [1] * 4
    with pytest.raises(DatabaseError):
        store.db.fetch("SELECT name FROM undercroft.users")


@pytest.mark.usefixtures("marked")
def test_control_without_clearing_it_first_it_is_both(store, new_tenant, monkeypatch, engine) -> None:
    monkeypatch.setattr(PostgresqlDialect, "_begin", property(lambda _: "BEGIN", lambda *_: None), raising=False)
    with pytest.raises(TenantMismatch):
        new_tenant()
    if not engine.startswith("sealed-"):
        assert "secret" in repr(store.db.fetch("SELECT name FROM undercroft.users"))
