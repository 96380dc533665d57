"""Sealing changes what the walls call, at one blow, and leaves no trace when it is undone."""

from uuid import uuid4

import pytest
import sqlalchemy as sa

from tests import servers
from tests.migrations.conftest import House, connected, created, fill, login, run
from tests.migrations.dump import schema
from tests.migrations.test_walls import count, refused
from undercroft.core.tenant_seal import TenantSeal
from undercroft.errors import ConfigurationError, InvalidInput
from undercroft.migrations import history, runner, sealing as sealing_module
from undercroft.migrations.catalogue import faults
from undercroft.migrations.sealing import Sealing, seal, sealing, unseal

KEY, NEXT = "the first key of this database, long", "the second key of this database, long"
LOGIN = "uc_mig_app"


@pytest.fixture(scope="module")
def at():
    with created(servers.names("postgresql")[0]) as url:
        with connected(url) as connection:
            history.upgrade(connection)
        login(url, LOGIN, roles="undercroft_app")
        made = House(url, uuid4(), uuid4(), uuid4())
        for tenant in (made.acme, made.bolt):
            run(url, *fill(tenant))
        yield made


def under(connection: sa.Connection, key: str, tenant: object, *, lifetime: float = 60) -> None:
    connection.exec_driver_sql("SELECT undercroft.enter_sealed(%s)", (TenantSeal(key, lifetime).context(tenant),))


def test_sealing_and_back_leaves_the_same_schema(at: House) -> None:
    with at.admin() as connection:
        before = schema(connection)
        assert seal(connection, KEY).mode == "sealed"
        assert faults(connection) == []
        assert schema(connection) != before
        assert unseal(connection).keys == ()
        assert schema(connection) == before


def test_a_process_with_the_key_works_through_every_change(at: House) -> None:
    with at.admin() as admin, at.app() as bare, at.app() as keyed:
        for change in (lambda: None, lambda: seal(admin, KEY, grace=True), lambda: seal(admin, KEY)):
            change()
            under(keyed, KEY, at.acme)
            assert count(keyed, "users") == 1
            keyed.rollback()
            if sealing(admin).mode == "sealed":
                with refused("UC005"):
                    bare.exec_driver_sql(f"SELECT undercroft.enter('{at.acme}')")
            else:
                bare.exec_driver_sql(f"SELECT undercroft.enter('{at.acme}')")
                assert count(bare, "users") == 1
            bare.rollback()
        with pytest.raises(InvalidInput):
            seal(admin, KEY, grace=True)
        unseal(admin)


def test_a_transaction_that_is_under_way_ends_first(at: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing_module, "PATIENCE", 1)
    with at.admin() as admin, at.app() as bare:
        bare.exec_driver_sql(f"SELECT undercroft.enter('{at.acme}')")
        bare.exec_driver_sql("PREPARE p AS SELECT count(*) FROM undercroft.users")
        assert bare.exec_driver_sql("EXECUTE p").scalar_one() == 1
        with refused("55P03"):
            seal(admin, KEY)
        assert sealing(admin) == Sealing("plain", ())
        assert bare.exec_driver_sql("EXECUTE p").scalar_one() == 1
        bare.commit()
        seal(admin, KEY)
        bare.exec_driver_sql(f"SELECT set_config('undercroft.tenant', '{at.acme}', true)")
        with refused("UC005"):
            bare.exec_driver_sql("EXECUTE p")
        unseal(admin)


def test_a_transaction_that_has_touched_nothing_yet_meets_the_seal(at: House) -> None:
    with at.admin() as admin, at.app() as bare:
        bare.exec_driver_sql("PREPARE q AS SELECT count(*) FROM undercroft.users")
        bare.exec_driver_sql(f"SELECT set_config('undercroft.tenant', '{at.acme}', true)")
        assert bare.exec_driver_sql("EXECUTE q").scalar_one() == 1
        bare.commit()
        bare.exec_driver_sql(f"SELECT set_config('undercroft.tenant', '{at.acme}', true)")
        seal(admin, KEY)
        with refused("UC005"):
            bare.exec_driver_sql("EXECUTE q")
        unseal(admin)


def test_two_keys_hold_until_one_is_retired(at: House) -> None:
    with at.admin() as admin, at.app() as app:
        seal(admin, KEY)
        assert len(seal(admin, NEXT).keys) == 2
        for key in (KEY, NEXT):
            under(app, key, at.acme)
            assert count(app, "users") == 1
            app.rollback()
        assert len(seal(admin, NEXT, retire=True).keys) == 1
        with refused("UC006"):
            under(app, KEY, at.acme)
        unseal(admin)


def test_the_keys_are_the_owners_and_a_right_to_them_is_a_fault(at: House) -> None:
    with at.admin() as admin, at.app() as app:
        for statement in ("SELECT * FROM undercroft.seal_keys", "SELECT undercroft.set_seal('plain')"):
            with refused("42501"):
                app.exec_driver_sql(statement)
            app.rollback()
        run(at.url, "GRANT SELECT ON undercroft.seal_keys TO undercroft_app")
        assert [fault.object for fault in faults(admin)] == ["seal_keys"]
        run(at.url, "REVOKE SELECT ON undercroft.seal_keys FROM undercroft_app")


def test_a_seal_that_expires_ends_the_stay(at: House) -> None:
    with at.admin() as admin, at.app() as app:
        seal(admin, KEY)
        under(app, KEY, at.acme, lifetime=2)
        assert count(app, "users") == 1
        app.exec_driver_sql("SELECT pg_sleep(2.2)")
        with refused("UC007"):
            count(app, "users")
        app.rollback()
        with refused("UC007"):
            under(app, KEY, at.acme, lifetime=-1)
        unseal(admin)


def test_citus_is_refused(at: House) -> None:
    run(at.url, "CREATE EXTENSION IF NOT EXISTS plpgsql")
    with at.admin() as admin:
        with admin.begin():
            admin.exec_driver_sql("UPDATE pg_extension SET extname = 'citus' WHERE extname = 'plpgsql'")
        with pytest.raises(ConfigurationError, match="Citus"):
            seal(admin, KEY)
        with admin.begin():
            admin.exec_driver_sql("UPDATE pg_extension SET extname = 'plpgsql' WHERE extname = 'citus'")
        assert sealing(admin).mode == "plain"


def test_a_file_is_refused(tmp_path) -> None:
    with connected(f"sqlite:///{tmp_path / 'one.db'}") as connection, pytest.raises(ConfigurationError):
        seal(connection, KEY)


def test_a_sealed_database_can_be_taken_back() -> None:
    with created(servers.names("postgresql")[0]) as url, connected(url) as connection:
        runner.upgrade(connection)
        seal(connection, KEY)
        runner.downgrade(connection, "0002")
        assert not any("seal" in line for line in schema(connection))
