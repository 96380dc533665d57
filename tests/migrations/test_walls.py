"""The walls of PostgreSQL, against raw SQL: what a plain login with the application's role can do, and what not."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import psycopg
import pytest
import sqlalchemy as sa

from tests import servers
from tests.migrations.conftest import LOGIN, House, connected, created, fill, login, run
from undercroft import models
from undercroft.migrations import history
from undercroft.migrations.tables import OURS, is_on

TABLES = sorted(table.name for table in OURS if is_on(table, "postgresql"))
TENANT_TABLES = sorted(set(TABLES) - {"tenants"})
UNCHANGEABLE = {"audit_archives", "audit_events", "audit_links", "audit_pending", "config_audit", "meeting_changes"}
SHARED = {"retention_policies", "upkeep_runs"}  # with rows of the fleet's, which every tenant reads
CHANGEABLE = sorted(set(TENANT_TABLES) - UNCHANGEABLE)


@contextmanager
def refused(sqlstate: str) -> Iterator[None]:
    with pytest.raises(sa.exc.DBAPIError) as caught:
        yield
    assert caught.value.orig.sqlstate == sqlstate, caught.value.orig


def count(connection: sa.Connection, table: str) -> int:
    return connection.exec_driver_sql(f"SELECT count(*) FROM undercroft.{table}").scalar_one()


def enter(connection: sa.Connection, tenant: object) -> None:
    connection.exec_driver_sql(f"SELECT undercroft.enter('{tenant}')")


@pytest.mark.parametrize("table", TABLES)
def test_without_a_tenant_nothing_is_readable(house: House, table: str) -> None:
    with house.app() as connection, refused("42501"):
        count(connection, table)


@pytest.mark.parametrize("table", TENANT_TABLES)
def test_without_a_tenant_nothing_is_writable(house: House, table: str) -> None:
    row = next(statement for statement in fill(house.acme) if f"undercroft.{table} " in statement)
    with house.app() as connection:
        with refused("42501"):
            connection.exec_driver_sql(row)
        connection.rollback()
        with refused("42501"):
            connection.exec_driver_sql(f"DELETE FROM undercroft.{table}")


@pytest.mark.parametrize("table", TABLES)
def test_a_tenant_sees_its_own_rows_and_no_others(house: House, table: str) -> None:
    with house.app() as connection:
        enter(connection, house.acme)
        text = connection.exec_driver_sql(f"SELECT t::text FROM undercroft.{table} t").scalars().all()
    assert len(text) == 1
    assert str(house.acme) in text[0]


@pytest.mark.parametrize("table", TENANT_TABLES)
def test_a_foreign_row_cannot_be_written(house: House, table: str) -> None:
    row = next(statement for statement in fill(house.bolt) if f"undercroft.{table} " in statement)
    for statement in (row, f"{row} ON CONFLICT DO NOTHING"):
        with house.app() as connection, refused("42501"):
            enter(connection, house.acme)
            connection.exec_driver_sql(statement)


@pytest.mark.parametrize("table", CHANGEABLE)
def test_foreign_rows_cannot_be_changed_or_taken_over(house: House, table: str) -> None:
    with house.app() as connection:
        enter(connection, house.acme)
        foreign = f"WHERE tenant_id = '{house.bolt}'"
        same = f"UPDATE undercroft.{table} SET tenant_id = tenant_id"
        assert connection.exec_driver_sql(f"{same} {foreign}").rowcount == 0
        assert connection.exec_driver_sql(f"DELETE FROM undercroft.{table} {foreign}").rowcount == 0
        assert connection.exec_driver_sql(same).rowcount == 1
        with refused("42501"):
            connection.exec_driver_sql(f"UPDATE undercroft.{table} SET tenant_id = '{house.bolt}'")


def test_an_upsert_meets_no_foreign_row(house: House) -> None:
    [row] = [statement for statement in fill(house.bolt) if "undercroft.users " in statement]
    with house.app() as connection, refused("42501"):
        enter(connection, house.acme)
        connection.exec_driver_sql(f"{row} ON CONFLICT (tenant_id, id) DO UPDATE SET name = 'taken'")
    with house.admin() as connection:
        assert count_of(connection, "SELECT count(*) FROM undercroft.users WHERE name = 'taken'") == 0


@pytest.mark.parametrize(
    ("statement", "sqlstate"),
    [
        ("TRUNCATE undercroft.messages", "42501"),
        ("TRUNCATE undercroft.users CASCADE", "42501"),
        ("ALTER TABLE undercroft.messages DISABLE ROW LEVEL SECURITY", "42501"),
        ("DROP POLICY wall ON undercroft.messages", "42501"),
        ("SELECT * FROM undercroft.messages_default", "42501"),
        ("INSERT INTO undercroft.messages_default SELECT * FROM undercroft.messages", "42501"),
        ("CREATE TABLE undercroft.mine (id int)", "42501"),
        ("CREATE VIEW undercroft.mine AS SELECT 1", "42501"),
        ("SET ROLE undercroft_owner", "42501"),
        ("SET ROLE undercroft_fleet", "42501"),
        ("UPDATE undercroft.alembic_version SET version_num = 'x'", "42501"),
        ("UPDATE undercroft.tenants SET plan_tier = 'pro'", "42501"),
        ("DELETE FROM undercroft.tenants", "42501"),
        ("SELECT undercroft.purge(undercroft.tenant())", "42501"),
        ("SELECT undercroft.year_floor(2024)", "42501"),
        ("UPDATE undercroft.audit_events SET status = 'failure'", "42501"),
        ("DELETE FROM undercroft.audit_events", "42501"),
        ("UPDATE undercroft.audit_links SET previous = hash", "42501"),
        ("DELETE FROM undercroft.audit_links", "42501"),
        ("TRUNCATE undercroft.audit_links", "42501"),
        ("UPDATE undercroft.audit_pending SET event_hash = sha256('')", "42501"),
        ("DELETE FROM undercroft.audit_archives", "42501"),
        ("INSERT INTO undercroft.audit_archives SELECT * FROM undercroft.audit_archives", "42501"),
        ("SELECT undercroft.archive_audit(undercroft.tenant(), 1, '', 1, '', '', '')", "42501"),
        ("UPDATE undercroft.config_audit SET value = '1'", "42501"),
        ("DELETE FROM undercroft.config_audit", "42501"),
        ("TRUNCATE undercroft.config_audit", "42501"),
        ("UPDATE undercroft.meeting_changes SET state = 'pushed'", "42501"),
        ("DELETE FROM undercroft.meeting_changes", "42501"),
        ("SELECT undercroft.enter_fleet()", "UC004"),
    ],
)
def test_what_the_application_has_no_right_to(house: House, statement: str, sqlstate: str) -> None:
    with house.app() as connection:
        enter(connection, house.acme)
        with refused(sqlstate):
            connection.exec_driver_sql(statement)


@pytest.mark.parametrize("table", sorted(set(TENANT_TABLES) - {"audit_archives"}))  # which nobody may write anyway
def test_copy_in_is_refused(house: House, table: str) -> None:
    with house.app() as connection:
        enter(connection, house.acme)
        cursor = connection.connection.driver_connection.cursor()
        with (
            pytest.raises(psycopg.errors.FeatureNotSupported, match="row-level security"),
            cursor.copy(f"COPY undercroft.{table} FROM STDIN"),
        ):
            pass


def test_copy_out_gives_what_select_gives(house: House) -> None:
    with house.app() as connection:
        enter(connection, house.acme)
        with connection.connection.driver_connection.cursor().copy("COPY undercroft.users TO STDOUT") as rows:
            lines = [bytes(row) for row in rows]
    assert len(lines) == 1
    assert str(house.acme).encode() in lines[0]


@pytest.mark.parametrize("wrapped", ["messages", "users"])
def test_the_applications_own_views_and_functions_open_nothing(house: House, wrapped: str) -> None:
    with house.app() as connection:
        enter(connection, house.acme)
        connection.exec_driver_sql(f"CREATE TEMP VIEW peek AS SELECT * FROM undercroft.{wrapped}")
        assert count_of(connection, "SELECT count(*) FROM peek") == 1
        connection.exec_driver_sql(
            "CREATE FUNCTION pg_temp.peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER"
            f" AS 'SELECT count(*) FROM undercroft.{wrapped}'"
        )
        assert count_of(connection, "SELECT pg_temp.peek()") == 1


def count_of(connection: sa.Connection, query: str) -> int:
    return connection.exec_driver_sql(query).scalar_one()


def test_a_search_path_does_not_redirect_our_functions(house: House) -> None:
    with house.app() as connection:
        for schema in ("pg_temp",):
            connection.exec_driver_sql(
                f"CREATE FUNCTION {schema}.current_setting(text, boolean) RETURNS text LANGUAGE sql"
                f" AS $$ SELECT '{house.bolt}' $$"
            )
            connection.exec_driver_sql(f"SET LOCAL search_path = {schema}, pg_catalog")
        with refused("42501"):
            count(connection, "users")


def test_unknown_and_deleted_tenants_are_not_entered(house: House) -> None:
    for tenant, sqlstate in ((uuid4(), "UC001"), (house.gone, "UC002")):
        with house.app() as connection, refused(sqlstate):
            enter(connection, tenant)
    with house.app() as connection, refused("UC001"):
        connection.exec_driver_sql("SELECT undercroft.enter(NULL)")


def test_a_transaction_has_one_tenant(house: House) -> None:
    with house.app() as connection:
        enter(connection, house.acme)
        enter(connection, house.acme)
        with refused("UC003"):
            enter(connection, house.bolt)
        connection.rollback()
        enter(connection, house.bolt)
        assert connection.exec_driver_sql("SELECT undercroft.tenant()").scalar_one() == house.bolt


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_the_tenant_ends_with_its_transaction(house: House, end: str) -> None:
    with house.app() as connection:
        enter(connection, house.acme)
        getattr(connection, end)()
        with refused("42501"):
            count(connection, "users")


def test_a_savepoint_gives_back_what_was_entered_in_it(house: House) -> None:
    with house.app() as connection:
        savepoint = connection.begin_nested()
        enter(connection, house.acme)
        savepoint.rollback()
        enter(connection, house.bolt)
        assert connection.exec_driver_sql("SELECT undercroft.tenant()").scalar_one() == house.bolt


def test_entering_in_the_statement_itself(house: House) -> None:
    read = (
        "SELECT q.* FROM (SELECT undercroft.enter(%s::uuid) AS tenant OFFSET 0) AS ctx CROSS JOIN LATERAL "
        "(SELECT tenant_id FROM undercroft.users WHERE ctx.tenant IS NOT NULL OFFSET 0) AS q"
    )
    with house.app() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        for tenant in (house.acme, house.bolt, house.acme):
            assert connection.exec_driver_sql(read, (tenant,)).scalars().all() == [tenant]
        with refused("42501"):
            count(connection, "users")


def test_the_fleet_sees_tenants_and_nothing_else(house: House) -> None:
    with house.fleet() as connection:
        connection.exec_driver_sql("SELECT undercroft.enter_fleet()")
        seen = connection.exec_driver_sql("SELECT tenant_id FROM undercroft.tenants").scalars().all()
        assert {house.acme, house.bolt, house.gone} < set(seen)  # and the one that the first revision makes
        for table in SHARED:
            assert count(connection, table) == 0  # of its own rows, which nobody has made
        for table in sorted(set(TENANT_TABLES) - SHARED):
            with refused("42501"), connection.begin_nested():
                count(connection, table)
        with refused("UC003"), connection.begin_nested():
            enter(connection, house.acme)
        with refused("42501"), connection.begin_nested():
            connection.exec_driver_sql("SELECT undercroft.tenant()")


def test_the_fleet_writes_tenants(house: House) -> None:
    with house.fleet() as connection:
        connection.exec_driver_sql("SELECT undercroft.enter_fleet()")
        before = count(connection, "tenants")
        connection.exec_driver_sql(fill(uuid4())[0])
        assert connection.exec_driver_sql("UPDATE undercroft.tenants SET plan_tier = 'pro'").rowcount == before + 1


def test_a_member_of_the_fleet_is_a_plain_tenant_inside_one(house: House) -> None:
    with house.fleet() as connection:
        enter(connection, house.acme)
        assert count(connection, "tenants") == 1
        assert count(connection, "users") == 1
        with refused("UC003"), connection.begin_nested():
            connection.exec_driver_sql("SELECT undercroft.enter_fleet()")
        assert connection.exec_driver_sql("UPDATE undercroft.tenants SET name = ''").rowcount == 0


def test_the_setting_alone_opens_no_fleet(house: House) -> None:
    with house.app() as connection:
        connection.exec_driver_sql("SET LOCAL undercroft.tenant = 'fleet'")
        assert count(connection, "tenants") == 0
        with refused("42501"):
            count(connection, "users")


def test_purge_removes_a_deleted_tenant_and_no_other(house: House) -> None:
    doomed = uuid4()
    run(house.url, *fill(doomed))
    with house.fleet() as connection:
        connection.exec_driver_sql("SELECT undercroft.enter_fleet()")
        with refused("UC004"), connection.begin_nested():
            connection.exec_driver_sql(f"SELECT undercroft.purge('{doomed}')")
        connection.exec_driver_sql(f"UPDATE undercroft.tenants SET deleted_at = now() WHERE tenant_id = '{doomed}'")
        with refused("UC030"), connection.begin_nested():
            connection.exec_driver_sql(f"SELECT undercroft.purge('{doomed}')")
        connection.commit()
    run(house.url, f"DELETE FROM undercroft.legal_holds WHERE tenant_id = '{doomed}'")
    with house.fleet() as connection:
        connection.exec_driver_sql("SELECT undercroft.enter_fleet()")
        removed = connection.exec_driver_sql(f"SELECT undercroft.purge('{doomed}')").scalar_one()
        with refused("UC001"), connection.begin_nested():
            connection.exec_driver_sql(f"SELECT undercroft.purge('{doomed}')")
        connection.commit()
        with refused("UC004"):
            connection.exec_driver_sql(f"SELECT undercroft.purge('{house.gone}')")
    with house.admin() as connection:
        assert removed == len(TABLES) - 2  # without the hold, and query_cache_tables goes with query_cache, uncounted
        for table in TENANT_TABLES:
            assert count(connection, table) == 3
            assert count_of(connection, f"SELECT count(*) FROM undercroft.{table} WHERE tenant_id = '{doomed}'") == 0


def test_a_login_without_our_roles_has_no_way_in(house: House) -> None:
    login(house.url, "uc_mig_stranger")
    with connected(house.url, username="uc_mig_stranger", password="uc_mig_stranger") as connection:
        for statement in ("SELECT * FROM undercroft.users", f"SELECT undercroft.enter('{house.acme}')"):
            with refused("42501"), connection.begin_nested():
                connection.exec_driver_sql(statement)


@pytest.mark.parametrize("server", servers.names("postgresql"))
def test_without_the_wall_it_would_fall(server: str) -> None:
    """The control: with row-level security off, the same reading sees another tenant's rows."""
    with created(server) as url:
        with connected(url) as connection:
            history.upgrade(connection)
        login(url, LOGIN, roles="undercroft_app")
        acme, bolt = uuid4(), uuid4()
        run(url, *fill(acme), *fill(bolt), "ALTER TABLE undercroft.users DISABLE ROW LEVEL SECURITY")
        with connected(url, username=LOGIN, password=LOGIN) as connection:
            enter(connection, acme)
            assert count(connection, "users") == 2
            assert count(connection, "channels") == 1


def test_every_model_is_walled() -> None:
    assert {table.name for table in models.Base.metadata.sorted_tables if table in OURS} >= set(TABLES)
    assert all("tenant_id" in table.c for table in OURS)


@pytest.mark.parametrize("table", sorted(SHARED))
def test_the_fleets_rows_are_read_by_a_tenant_and_written_by_the_fleet_alone(house: House, table: str) -> None:
    nobody = UUID(int=0)
    [row] = [statement for statement in fill(nobody) if f"undercroft.{table} " in statement]
    with house.app() as connection:
        enter(connection, house.acme)
        with refused("42501"):
            connection.exec_driver_sql(row)
    with house.app() as connection, refused("42501"):
        connection.exec_driver_sql("SET LOCAL undercroft.tenant = 'fleet'")
        connection.exec_driver_sql(row)
    with house.fleet() as connection:
        connection.exec_driver_sql("SELECT undercroft.enter_fleet()")
        connection.exec_driver_sql(row)
        connection.commit()
    try:
        with house.app() as connection:
            enter(connection, house.acme)
            assert count(connection, table) == 2
            for verb in (f"UPDATE undercroft.{table} SET", f"DELETE FROM undercroft.{table} WHERE"):
                tail = " tenant_id = tenant_id" if "UPDATE" in verb else f" tenant_id = '{nobody}'"
                changed = connection.exec_driver_sql(verb + tail).rowcount
                assert changed == ("UPDATE" in verb)  # of its own row, and not of the fleet's
    finally:
        run(house.url, f"DELETE FROM undercroft.{table} WHERE tenant_id = '{nobody}'")
