"""What a caller's own SQL leaves in a session meets nobody: the next borrower of the connection finds it clean."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tests import servers
from undercroft import Settings, errors
from undercroft.core.runtime.postgresql_ports import PostgresqlPort, PsycopgPort

pytestmark = pytest.mark.parametrize("engine", servers.names("postgresql")[:1], indirect=True)

LEFT = {
    "a cursor": ("DECLARE c CURSOR WITH HOLD FOR SELECT name FROM undercroft.users", "FETCH ALL FROM c"),
    "a table": ("CREATE TEMP TABLE mine AS SELECT name FROM undercroft.users", "SELECT * FROM mine"),
    "a setting": ("SET search_path = undercroft", "SELECT name FROM users"),
    "a lock": (
        "SELECT pg_advisory_lock(1)",
        "SELECT 'secret' FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
    ),
    "a channel": ("LISTEN c", "SELECT 'secret' FROM pg_listening_channels()"),
    "a role": ("SET ROLE undercroft_app", "SELECT 'secret' WHERE current_user = 'undercroft_app'"),
    "a limit": ("SET statement_timeout = 1", "SELECT 'secret' WHERE current_setting('statement_timeout') = '1ms'"),
}


@pytest.fixture
def store(colour: str, database_url: str, open_store: Callable[..., Any]) -> Any:
    """A store with one connection for callers' own SQL."""
    return open_store(colour, settings=Settings.load(database_url, pool_size=2, max_overflow=0))


@pytest.fixture
def victim(new_tenant: Callable[[], Any]) -> Any:
    made = new_tenant()
    made.users.ensure("U1", name="secret")
    return made


def _left_behind(victim: Any, attacker: Any) -> list[str]:
    found = []
    for name, (leave, take) in LEFT.items():
        victim.db.execute(leave)
        with suppress(errors.DatabaseError):
            found += [name] if "secret" in repr(attacker.db.fetch(take)) else []
        with suppress(errors.DatabaseError):
            attacker.db.execute("DISCARD TEMP")
    return found


def test_nothing_is_left_behind(victim, new_tenant):
    assert _left_behind(victim, new_tenant()) == []


def test_control_without_the_reset_it_is_found(victim, new_tenant, monkeypatch):
    for port in (PostgresqlPort, PsycopgPort):
        monkeypatch.setattr(port, "reset", lambda self: None)
    assert {"a cursor", "a table", "a lock", "a channel"} <= set(_left_behind(victim, new_tenant()))


@pytest.mark.parametrize("word", ["victim", "fleet"])
def test_a_tenant_set_for_the_session_is_not_the_next_ones(store, victim, new_tenant, word):
    other = new_tenant()
    value = victim.id if word == "victim" else "fleet"
    with suppress(errors.DatabaseError):
        victim.db.execute(f"SELECT set_config('undercroft.tenant', '{value}', false)")
    assert other.db.fetch("SELECT name FROM undercroft.users") == []
    assert other.users.list() == []
    with pytest.raises(errors.DatabaseError):
        store.db.fetch("SELECT name FROM undercroft.users")


def test_an_orm_session_leaves_nothing_either(victim, new_tenant):
    import sqlalchemy as sa

    with victim.session() as session:
        session.execute(sa.text("CREATE TEMP TABLE mine AS SELECT name FROM undercroft.users"))
    with pytest.raises(errors.SyntaxRefused):
        new_tenant().db.fetch("SELECT * FROM mine")


def test_our_own_calls_never_run_where_a_callers_sql_ran(victim):
    mine = "SELECT 'secret' WHERE pg_backend_pid() = $1::integer"
    ours = {victim.db.fetchval("SELECT pg_backend_pid()") for _ in range(3)}
    assert len(ours) == 1
    for _ in range(3):
        victim.users.list()
    assert victim.db.fetchval(mine, ours.pop()) == "secret"


def test_a_failure_that_was_caught_does_not_pass_for_a_commit(victim):
    """After an error PostgreSQL answers COMMIT with ROLLBACK, and neither driver says so."""
    with pytest.raises(errors.DatabaseError, match="rolled back instead"), victim.transaction() as tx:
        tx.users.ensure("U2")
        with suppress(errors.DatabaseError):
            tx.db.execute("SELECT nonsense")
    assert [user.native_id for user in victim.users.list()] == ["U1"]
    with victim.transaction() as tx:
        tx.users.ensure("U2")
        with suppress(errors.DatabaseError), tx.transaction() as inner:
            inner.db.execute("SELECT nonsense")
    assert len(victim.users.list()) == 2


def test_control_without_the_question_the_loss_is_silent(victim, monkeypatch):
    monkeypatch.setattr(PostgresqlPort, "refuse_undone", lambda self: None)
    with victim.transaction() as tx:
        tx.users.ensure("U2")
        with suppress(errors.DatabaseError):
            tx.db.execute("SELECT nonsense")
    assert [user.native_id for user in victim.users.list()] == ["U1"]
