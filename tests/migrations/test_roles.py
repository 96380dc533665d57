"""Who may migrate: whatever he makes belongs to a role that nobody logs in as."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests import servers
from tests.migrations.conftest import connected, created, login, run
from tests.migrations.dump import schema
from undercroft.errors import PermissionDenied, SchemaConflict
from undercroft.migrations import history, runner
from undercroft.migrations.catalogue import faults

MIGRATOR, NOBODY = "uc_mig_migrator", "uc_mig_nobody"
ROLES = "undercroft_owner, undercroft_app, undercroft_fleet"
_OWNERS = """
SELECT relowner::regrole::text FROM pg_class WHERE relnamespace = 'undercroft'::regnamespace
UNION SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'undercroft'
UNION SELECT proowner::regrole::text FROM pg_proc p WHERE pronamespace = 'undercroft'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""


@pytest.fixture(params=servers.names("postgresql"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with created(request.param) as address:
        yield address


@pytest.fixture
def roles(url: str) -> None:
    """The roles of the server, as an administrator makes them."""
    with connected(url) as connection:
        runner.upgrade(connection)
        runner.downgrade(connection, "base")
        with connection.begin():
            connection.exec_driver_sql("DROP SCHEMA undercroft CASCADE")


def grant(url: str, name: str, *, roles: str = "", creates: bool = True) -> None:
    login(url, name, roles=roles)
    if creates:
        run(url, f"GRANT CREATE ON DATABASE {sa.make_url(url).database} TO {name}")


def as_login(url: str, name: str):
    return connected(url, username=name, password=name)


def owners(connection: sa.Connection) -> set[str]:
    return set(connection.exec_driver_sql(_OWNERS).scalars())


def test_what_a_superuser_makes_belongs_to_the_owner(url: str) -> None:
    with connected(url) as connection:
        history.upgrade(connection)
        assert owners(connection) == {"undercroft_owner"}
        assert connection.exec_driver_sql("SELECT current_user = session_user").scalar_one()


@pytest.mark.usefixtures("roles")
def test_what_a_plain_login_makes_belongs_to_the_owner(url: str) -> None:
    grant(url, MIGRATOR, roles=ROLES)
    with as_login(url, MIGRATOR) as connection:
        history.upgrade(connection)
        history.check(connection)
        assert owners(connection) == {"undercroft_owner"}
        assert faults(connection) == []
        before = schema(connection)
        runner.downgrade(connection, "base")
        runner.upgrade(connection)
        assert schema(connection) == before


@pytest.mark.usefixtures("roles")
def test_a_superuser_and_a_plain_login_make_the_same(url: str) -> None:
    grant(url, MIGRATOR, roles=ROLES)
    with as_login(url, MIGRATOR) as connection:
        history.upgrade(connection)
        made = schema(connection)
        runner.downgrade(connection, "base")
    with connected(url) as connection:
        history.upgrade(connection)
        assert schema(connection) == made


@pytest.mark.usefixtures("roles")
def test_a_login_without_the_right_is_told_what_to_ask_for(url: str) -> None:
    grant(url, NOBODY)
    with connected(url) as connection:
        before = schema(connection)
    with as_login(url, NOBODY) as connection:
        with pytest.raises(PermissionDenied) as refused:
            history.upgrade(connection)
        assert f"GRANT {ROLES} TO" in str(refused.value)
        assert not connection.in_transaction()
    with connected(url) as connection:
        assert schema(connection) == before


def test_a_schema_of_somebody_else_is_left_alone(url: str) -> None:
    run(url, "CREATE SCHEMA undercroft", "CREATE TABLE undercroft.messages (id int)")
    with connected(url) as connection:
        before = schema(connection)
        with pytest.raises(SchemaConflict):
            history.upgrade(connection)
        assert schema(connection) == before


def test_others_tables_are_neither_needed_nor_touched(url: str) -> None:
    run(
        url,
        "CREATE TABLE public.messages (id int PRIMARY KEY, body text)",
        "CREATE TABLE public.alembic_version (version_num text)",
        "INSERT INTO public.messages VALUES (1, 'mine')",
        "INSERT INTO public.alembic_version VALUES ('theirs')",
    )
    query = (
        "SELECT c.relname, c.relacl::text, c.relowner::regrole::text FROM pg_class c "
        "WHERE relnamespace = 'public'::regnamespace UNION ALL "
        "SELECT proname, proacl::text, '' FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1"
    )
    with connected(url) as connection:
        before = connection.exec_driver_sql(query).all()
        connection.rollback()
        runner.upgrade(connection)
        runner.downgrade(connection, "base")
        runner.upgrade(connection)
        assert connection.exec_driver_sql(query).all() == before
        assert connection.exec_driver_sql("SELECT * FROM public.messages").all() == [(1, "mine")]
        assert connection.exec_driver_sql("SELECT * FROM public.alembic_version").all() == [("theirs",)]
