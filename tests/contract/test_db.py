"""The driver-level door: a caller's own SQL, the same calls on every engine in both colours."""

import logging
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from sqlalchemy import make_url

from tests import databases, servers
from undercroft import errors

OURS = """
    INSERT INTO undercroft.users (tenant_id, id, platform, native_id, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $5)
"""
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def owner(engine, store, database_url):
    """What makes tables of the user's own: the store itself on SQLite, an administrator on PostgreSQL."""
    if engine == "sqlite":
        yield store.db.execute_script
        return
    same = databases.changed(servers.url(engine), database=make_url(database_url).database)
    with databases.administrator(same) as run:
        yield run


@pytest.fixture
def notes(owner, engine):
    """A table of somebody else's, without tenants."""
    name = f"notes_{uuid4().hex}"
    owner(f"CREATE TABLE {name} (id bigint PRIMARY KEY, body text NOT NULL UNIQUE, amount bigint)")
    if engine != "sqlite":
        owner(f"GRANT ALL ON {name} TO PUBLIC")
    yield name
    owner(f"DROP TABLE {name}")


@pytest.fixture
def slow(engine):
    """A statement that takes longer than anybody waits."""
    if engine == "sqlite":
        return "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    return "SELECT pg_sleep(60)"


def test_rows_have_names_and_places(tenant):
    [row] = tenant.db.fetch("SELECT 1 AS one, 'two' AS two")
    assert (row[0], row["two"], row[-1]) == (1, "two", "two")
    assert row == (1, "two")
    assert dict(row) == {"one": 1, "two": "two"}
    assert tuple(row.keys()) == ("one", "two")
    one, two = row
    assert (one, two) == (1, "two")
    with pytest.raises(KeyError):
        row["three"]


def test_the_four_ways_to_ask(store, notes):
    assert store.db.execute(f"INSERT INTO {notes} VALUES ($1, $2, $3), ($4, $5, NULL)", 1, "a", 10, 2, "b") == 2
    assert store.db.fetch(f"SELECT body FROM {notes} ORDER BY id") == [("a",), ("b",)]
    assert store.db.fetchrow(f"SELECT * FROM {notes} WHERE id = $1", 2) == (2, "b", None)
    assert store.db.fetchrow(f"SELECT * FROM {notes} WHERE id = $1", 3) is None
    assert store.db.fetchval(f"SELECT sum(amount) FROM {notes}") == 10
    assert store.db.fetchval(f"SELECT id, body FROM {notes} ORDER BY id DESC", column=1) == "b"
    assert store.db.fetchval(f"SELECT id FROM {notes} WHERE id = 3") is None
    with pytest.raises(errors.InvalidInput, match="2 columns"):
        store.db.fetchval(f"SELECT id, body FROM {notes}", column=50)
    assert store.db.fetch(f"INSERT INTO {notes} VALUES (3, 'c', 0) RETURNING id, body") == [(3, "c")]
    assert store.db.execute(f"DELETE FROM {notes} WHERE id > $1", 1) == 2


def test_an_argument_may_be_used_twice_and_in_any_order(store):
    assert store.db.fetchrow("SELECT $2 || $1 || $2, '$3 ? :x' -- $4\n", "a", "b") == ("bab", "$3 ? :x")


def test_arguments_of_our_own_types(tenant):
    user = uuid4()
    arguments = (tenant.id, user, "slack", "U1", NOW)
    assert tenant.db.execute(OURS, *arguments) == 1
    assert tenant.db.execute("UPDATE undercroft.users SET profile = $1 WHERE id = $2", {"a": [1, "é"]}, user) == 1
    [found] = tenant.users.list()
    assert (found.id, found.created_at, found.profile) == (user, NOW, {"a": [1, "é"]})


def test_many_at_once_and_all_or_none(store, notes):
    insert = f"INSERT INTO {notes} (id, body) VALUES ($1, $2)"
    store.db.execute_many(insert, [(1, "a"), (2, "b")])
    store.db.execute_many(insert, [])
    with pytest.raises(errors.UniqueViolation):
        store.db.execute_many(insert, [(3, "c"), (4, "a")])
    assert store.db.execute_in_transaction([(insert, (5, "e")), (f"UPDATE {notes} SET amount = $1", (7,))]) == [1, 3]
    with pytest.raises(errors.UniqueViolation):
        store.db.execute_in_transaction([(insert, (6, "f")), (insert, (7, "a"))])
    assert store.db.fetch(f"SELECT id FROM {notes} ORDER BY id") == [(1,), (2,), (5,)]


def test_a_script_runs_whole_or_not_at_all(store, notes, tmp_path):
    script = tmp_path / "optimise.sql"
    script.write_text(
        f"-- a semicolon; in a comment\nINSERT INTO {notes} VALUES (1, 'a;b', 1);\nDELETE FROM {notes};\n"
    )
    store.db.execute_script(script)
    store.db.execute_script(f"INSERT INTO {notes} VALUES (1, 'é', 2); UPDATE {notes} SET amount = 3")
    with pytest.raises(errors.DatabaseError):
        store.db.execute_script(f"INSERT INTO {notes} VALUES (2, 'b', 2); INSERT INTO {notes} VALUES (1, 'c', 2)")
    assert store.db.fetch(f"SELECT * FROM {notes}") == [(1, "é", 3)]


def test_records_are_copied_into_a_table_of_somebody_elses(store, notes):
    records = [(n, f"body {n}", None) for n in range(1000)]
    assert store.db.copy_records_to_table(notes, records=iter(records)) == 1000
    assert store.db.copy_records_to_table(notes, records=[("x", 1000)], columns=["body", "id"]) == 1
    assert store.db.copy_records_to_table(notes, records=[]) == 0
    with pytest.raises(errors.UniqueViolation):
        store.db.copy_records_to_table(notes, records=[(2000, "y", 1), (2001, "x", 1)])
    assert store.db.fetchrow(f"SELECT count(*), max(id) FROM {notes}") == (1001, 1000)


def test_records_are_copied_into_a_table_of_ours(tenant, new_tenant):
    columns = ["id", "platform", "native_id", "created_at", "updated_at"]
    records = [(uuid4(), "slack", f"U{n}", NOW, NOW) for n in range(100)]
    copy = {"columns": columns, "schema": "undercroft"}
    assert tenant.db.copy_records_to_table("users", records=records, **copy) == 100
    assert {user.native_id for user in tenant.users.list()} == {f"U{n}" for n in range(100)}

    foreign = [(new_tenant().id, *records[0])]
    with pytest.raises((errors.TenantMismatch, errors.PermissionDenied)):
        tenant.db.copy_records_to_table("users", records=foreign, columns=["tenant_id", *columns], schema="undercroft")
    with pytest.raises(errors.UndercroftError):
        tenant.db.copy_records_to_table(
            "tenants", records=[(tenant.id, "n")], columns=["tenant_id", "name"], schema="undercroft"
        )
    assert tenant.stats().users == 100


def test_a_prepared_statement(tenant):
    tenant.users.ensure("U1", name="Ada")
    with tenant.transaction() as tx:
        statement = tx.db.prepare_statement("SELECT name FROM undercroft.users WHERE native_id = $1")
        assert statement.fetchval("U1") == "Ada"
        assert statement.fetchrow("U2") is None
        assert statement.fetch("U1") == [("Ada",)]
        rename = tx.db.prepare_statement("UPDATE undercroft.users SET name = $1 WHERE native_id = $2")
        assert [rename.execute(name, "U1") for name in ("Grace", "Alan")] == [1, 1]
    outside = tenant.db.prepare_statement("SELECT name FROM undercroft.users WHERE native_id = $1")
    assert outside.fetchval("U1") == "Alan"
    with pytest.raises(errors.SyntaxRefused):
        tenant.db.prepare_statement("SELEC 1")


def test_inside_a_transaction_it_takes_part(tenant, notes):
    with pytest.raises(ZeroDivisionError), tenant.transaction() as tx:
        tx.users.ensure("U1")
        assert tx.db.fetchval("SELECT count(*) FROM undercroft.users") == 1
        tx.db.execute(f"INSERT INTO {notes} VALUES (1, 'a', 1)")
        assert tx.db.execute("UPDATE undercroft.users SET name = 'Ada'") == 1
        assert tx.users.get("U1").name == "Ada"
        raise ZeroDivisionError
    assert tenant.db.fetchval(f"SELECT count(*) FROM {notes}") == 0
    assert tenant.stats().users == 0


def test_a_tenant_sees_and_changes_itself_alone(new_tenant):
    acme, other = new_tenant(), new_tenant()
    for scope in (acme, other):
        scope.users.ensure("U1", name=scope.key)
    assert acme.db.fetch("SELECT name FROM undercroft.users") == [(acme.key,)]
    assert acme.db.fetchval("SELECT count(*) FROM undercroft.tenants") == 1
    assert acme.db.execute("UPDATE undercroft.users SET name = 'changed'") == 1
    assert acme.db.execute("DELETE FROM undercroft.users WHERE tenant_id = $1", other.id) == 0
    with pytest.raises(errors.PermissionDenied):
        acme.db.execute(OURS, other.id, uuid4(), "slack", "U2", NOW)
    with pytest.raises(errors.PermissionDenied):
        acme.db.execute("UPDATE undercroft.users SET tenant_id = $1", other.id)
    assert [user.name for user in other.users.list()] == [other.key]


@pytest.mark.parametrize(
    "sql", ["UPDATE undercroft.audit_events SET actor = 'me'", "DELETE FROM undercroft.audit_events"]
)
def test_what_is_only_added_to_stays(tenant, sql):
    tenant.audit.log("a.b", by="U1")
    with pytest.raises(errors.PermissionDenied):
        tenant.db.execute(sql)
    assert tenant.audit.recent()[0].actor == "U1"


@pytest.mark.parametrize("sql", ["UPDATE undercroft.tenants SET plan_tier = 'pro'", "DELETE FROM undercroft.tenants"])
def test_a_tenant_does_not_change_its_own_entry(store, tenant, sql):
    with suppress(errors.PermissionDenied):  # or finds no row, where the login is the fleet's too
        assert tenant.db.execute(sql) == 0
    assert store.tenants.get(tenant.key).plan_tier == "free"


def test_without_a_tenant_our_tables_are_closed(store, tenant):
    tenant.users.ensure("U1")
    for sql in (
        "SELECT count(*) FROM undercroft.users",
        "DELETE FROM undercroft.users",
        "SELECT * FROM undercroft.tenants",
    ):
        with pytest.raises(errors.PermissionDenied):
            store.db.execute(sql)
    with pytest.raises(errors.PermissionDenied):
        store.db.execute(OURS, tenant.id, uuid4(), "slack", "U2", NOW)
    with pytest.raises((errors.PermissionDenied, errors.TenantNotSet)):
        store.db.copy_records_to_table("users", records=[(uuid4(),)], columns=["id"], schema="undercroft")
    assert tenant.stats().users == 1


def test_an_unknown_or_deleted_tenant_is_refused(store, tenant):
    with pytest.raises(errors.TenantUnknown):
        store.tenant(f"slack:T{uuid4().hex}").db.fetchval("SELECT 1")
    store.tenants.soft_delete(tenant.key)
    with pytest.raises(errors.TenantDeleted):
        tenant.db.fetchval("SELECT 1")


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("INSERT INTO {t} VALUES (1, 'z', 0)", errors.UniqueViolation),
        ("INSERT INTO {t} (id) VALUES (9)", errors.NotNullViolation),
        ("SELECT nonsense FROM {t}", errors.SyntaxRefused),
        ("SELECT FROM WHERE", errors.SyntaxRefused),
        ("SELECT * FROM no_such_table", errors.SyntaxRefused),
        ("SELECT 1; SELECT 2", errors.InvalidInput),
        ("", errors.InvalidInput),
        ("COMMIT", errors.InvalidInput),
        ("SELECT $1", errors.InvalidInput),
    ],
)
def test_errors_are_told_apart(store, notes, sql, error):
    store.db.execute(f"INSERT INTO {notes} VALUES (1, 'a', 1)")
    with pytest.raises(error):
        store.db.execute(sql.format(t=notes))
    assert store.db.fetchval(f"SELECT count(*) FROM {notes}") == 1


def test_a_value_that_the_driver_cannot_send(store, notes):
    for value in (2**63, object()):
        with pytest.raises(errors.InvalidInput):
            store.db.execute(f"INSERT INTO {notes} VALUES ($1, 'a', 1)", value)


def test_a_statement_that_takes_too_long_is_given_up(store, tenant, slow):
    start = time.monotonic()
    with pytest.raises(errors.QueryTimeout):
        store.db.fetch(slow, timeout=0.2)
    with pytest.raises(errors.QueryTimeout):
        tenant.db.execute_script(slow, timeout=0.2)
    assert time.monotonic() - start < 30
    assert store.db.fetchval("SELECT 1", timeout=30) == 1


def test_a_timeout_fails_nobody_else_and_undoes_its_own_transaction(tenant, slow, engine):
    if engine == "sqlite":  # where an interrupted write takes its whole transaction with it
        slow = f"UPDATE undercroft.users SET name = ({slow})"
    with pytest.raises(errors.UndercroftError), tenant.transaction() as tx:
        tx.users.ensure("U1")
        with pytest.raises(errors.QueryTimeout):
            tx.db.execute(slow, timeout=0.2)
        tx.users.ensure("U2")
    assert tenant.stats().users == 0


def test_a_timeout_fails_no_transaction_that_shares_its_commit(tenant, slow):
    for n in range(20):
        tenant.users.ensure(f"U{n}")
    outcomes = []

    def change(n):
        name = f"({slow})" if n == 10 else "'changed'"
        try:
            tenant.db.execute(f"UPDATE undercroft.users SET name = {name} WHERE native_id = $1", f"U{n}", timeout=0.5)
        except errors.UndercroftError as error:
            outcomes.append((n, type(error)))

    threads = [threading.Thread(target=change, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [(10, errors.QueryTimeout)]
    assert {user.native_id for user in tenant.users.list() if user.name == "changed"} == {
        f"U{n}" for n in range(20) if n != 10
    }


def test_slow_statements_are_logged_without_their_arguments(colour, database_url, open_store, monkeypatch, caplog):
    monkeypatch.setenv("UNDERCROFT_SLOW_QUERY_MS", "0")
    store = open_store(colour, database_url)
    with caplog.at_level(logging.WARNING, "undercroft.sql"):
        store.db.fetch("SELECT $1 || 'x'", "secret")
    [record] = [record for record in caplog.records if "|| 'x'" in record.getMessage()]
    assert "slow query" in record.getMessage()
    assert "SELECT $1 || 'x'" in record.getMessage()
    assert "secret" not in record.getMessage()

    monkeypatch.setenv("UNDERCROFT_LOG_PARAMETERS", "true")
    store = open_store(colour, database_url)
    with caplog.at_level(logging.WARNING, "undercroft.sql"):
        store.db.fetch("SELECT $1 || 'y'", "shown")
    assert any("|| 'y'" in record.getMessage() and "shown" in record.getMessage() for record in caplog.records)


def test_a_connection_answers(store, tenant):
    for door in (store.db, tenant.db):
        health = door.check_connection_health()
        assert health.healthy
        assert health.error is None
        assert health.milliseconds >= 0
    validated = store.db.validate_connections()
    assert validated.tried >= 1
    assert validated.replaced == 0
    with tenant.transaction() as tx:
        assert tx.db.validate_connections().tried == 1


@pytest.mark.parametrize("engine", servers.names("postgresql"), indirect=True)
def test_a_connection_killed_by_the_server_is_replaced(engine, store, tenant, database_url):
    tenant.users.ensure("U1", name="Ada")

    def kill():
        tenant.users.get("U1")  # our operations and a caller's SQL have connections of their own
        store.db.fetchval("SELECT 1")
        with databases.administrator(servers.url(engine)) as run:
            sql = """
                SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = %s AND usename = %s
            """
            return run(sql, [make_url(database_url).database, databases.LOGIN]).fetchone()[0]

    for read in (
        lambda: tenant.users.get("U1").name,
        lambda: tenant.db.fetchval("SELECT name FROM undercroft.users"),
        lambda: store.db.fetchval("SELECT 'Ada'"),
    ):
        assert kill() >= 2
        assert read() == "Ada"
    killed = kill()
    assert store.db.validate_connections().replaced == killed
    assert store.db.validate_connections().replaced == 0


def test_threads_share_the_store(store, notes):
    def add(start: int) -> None:
        for n in range(start, start + 10):
            store.db.execute(f"INSERT INTO {notes} VALUES ($1, $2, 0)", n, f"body {n}")

    threads = [threading.Thread(target=add, args=(n * 10,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.db.fetchval(f"SELECT count(*) FROM {notes}") == 40
