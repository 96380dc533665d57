"""The doctor finds a healthy database healthy, and every fault that is planted in one; it leaves nothing behind."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import make_url

from tests import databases, servers
from undercroft import Settings
from undercroft.errors import DatabaseUnavailable, PermissionDenied, TenantSealRequired
from undercroft.upkeep.doctor import walls

CLAIMS = 10
UNCHECKED = ["foreign rows of audit_archives: no row could be made there"]
"""Only the function that archives makes one."""
ROW = (
    "INSERT INTO undercroft.tenants (tenant_id, platform, native_id, name, created_at, updated_at)"
    " VALUES ('{0}', 'slack', '{0}', 'x', now(), now());"
    " INSERT INTO undercroft.users (tenant_id, id, platform, native_id, created_at, updated_at)"
    " VALUES ('{0}', '{0}', 'slack', 'U1', now(), now())"
)


class House:
    """A migrated database of one's own, and logins of every kind."""

    def __init__(self, admin_url: str, app_url: str) -> None:
        self.admin_url = admin_url
        self.app_url = app_url
        self.database = make_url(admin_url).database
        self.tenant = uuid4()

    def run(self, *statements: str) -> psycopg.Cursor:
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def login(self, name: str, roles: str) -> str:
        """The address as a login with these roles and no others."""
        self.run(
            f"DO $$ BEGIN CREATE ROLE {name} LOGIN PASSWORD '{name}';"
            " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
            *(
                [f"DO $$ BEGIN GRANT {roles} TO {name}; EXCEPTION WHEN unique_violation THEN NULL; END $$"]
                if roles
                else []
            ),
        )
        return databases.changed(self.admin_url, username=name, password=name)

    @contextmanager
    def with_(self, fault: str, mended: str) -> Iterator[None]:
        self.run(fault)
        try:
            yield
        finally:
            self.run(mended)


@contextmanager
def built(server: str) -> Iterator[House]:
    with databases.created(servers.url(server)) as admin_url:
        made = House(admin_url, databases.migrated(servers.url(server), admin_url))
        made.run(ROW.format(made.tenant))
        yield made


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """On the newest server; that every server is found healthy has a test of its own."""
    with built(servers.names("postgresql")[0]) as made:
        yield made


@pytest.fixture
def examine(request: pytest.FixtureRequest, open_store: Callable[..., Any]) -> Callable[..., Any]:
    """Runs the doctor on a database, as the application of `house` unless another address is given."""

    def call(url: str = "", *, colour: str = "sync", harden: bool = False, **settings: Any) -> Any:
        url = url or request.getfixturevalue("house").app_url
        return open_store(colour, settings=Settings.load(url, env_file=None, **settings)).doctor(harden=harden)

    return call


def codes(report: Any, severity: str = "severe") -> set[str]:
    return {finding.code for finding in report.findings if finding.severity == severity}


def found(report: Any, code: str) -> Any:
    [finding] = [finding for finding in report.findings if finding.code == code]
    return finding


@pytest.mark.parametrize("server", servers.names("postgresql"))
def test_a_healthy_database_is_proven_to_be(server: str, examine) -> None:
    with built(server) as house:
        before = house.run("SELECT count(*), (SELECT count(*) FROM undercroft.users) FROM undercroft.tenants")
        [(tables,)] = house.run(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'undercroft'::regnamespace AND relkind IN ('r', 'p')"
            " AND NOT relispartition AND relname NOT IN ('alembic_version', 'tenants', 'seal_keys', 'change_key')"
        )
        for colour in ("sync", "async"):
            report = examine(house.app_url, colour=colour)
            assert (codes(report), report.unchecked) == (set(), UNCHECKED)
            assert len(report.proven) == CLAIMS
            assert not report.severe
            assert f"another tenant's rows cannot be deleted ({tables} tables)" in report.proven
            assert codes(examine(house.admin_url, colour=colour)) == {"login.passes-walls"}
        assert house.run("SELECT count(*), (SELECT count(*) FROM undercroft.users) FROM undercroft.tenants") == before


@pytest.mark.parametrize("server", servers.names("postgresql"))
def test_a_sealed_database_is_proven_to_be(server: str, examine) -> None:
    key = {"tenant_seal_key": databases.SEAL_KEY}
    with built(server) as house:
        databases.seal(house.admin_url)
        for colour in ("sync", "async"):
            report = examine(house.app_url, colour=colour, **key)
            assert (codes(report), report.unchecked) == (set(), UNCHECKED)
            assert len(report.proven) == CLAIMS + 1
            assert "SQL alone goes into no other tenant" in report.proven
        alone = examine(house.login("undercroft_test_app", "undercroft_app"), **key)
        assert codes(alone) == set()
        assert any("sealed" in sentence for sentence in alone.unchecked)
        with pytest.raises(TenantSealRequired):
            examine(house.app_url)
        house.run(
            "CREATE OR REPLACE FUNCTION undercroft.opened() RETURNS text LANGUAGE sql STABLE"
            " RETURN nullif(split_part(current_setting('undercroft.tenant', true), '|', 1), '')"
        )
        assert "isolation.forged" in codes(examine(house.app_url, **key))


# Every rule of the catalogue has its fault in tests/migrations/test_catalogue.py.
LEAK = {f"isolation.{way}" for way in ("given", "read", "changed", "deleted", "written", "upserted", "unset.write")}
FAULTS = {
    "walls off": (
        "ALTER TABLE undercroft.users DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE undercroft.users ENABLE ROW LEVEL SECURITY",
        {"walls", "isolation.unset.read"} | LEAK,
        "users",
    ),
    "a careless policy that the wall holds back": (
        "CREATE POLICY careless ON undercroft.users USING (true) WITH CHECK (true)",
        "DROP POLICY careless ON undercroft.users",
        {"walls"},
        "users.careless",
    ),
    "a careless policy without a wall": (
        (
            "CREATE POLICY careless ON undercroft.users USING (true) WITH CHECK (true);"
            " DROP POLICY wall ON undercroft.users"
        ),
        (
            "DROP POLICY careless ON undercroft.users;"
            " CREATE POLICY wall ON undercroft.users AS RESTRICTIVE TO undercroft_app"
            " USING (tenant_id = (SELECT undercroft.tenant())) WITH CHECK (tenant_id = (SELECT undercroft.tenant()))"
        ),
        {"walls", "isolation.unset.read"} | LEAK,
        "users",
    ),
    "a view with its owner's rights": (
        (
            "CREATE VIEW undercroft.everybody AS SELECT * FROM undercroft.users;"
            " GRANT SELECT ON undercroft.everybody TO undercroft_app"
        ),
        "DROP VIEW undercroft.everybody",
        {"walls", "isolation.read", "isolation.unset.read"},
        "everybody",
    ),
    "a materialized view": (
        (
            "CREATE MATERIALIZED VIEW undercroft.kept AS SELECT * FROM undercroft.users;"
            " GRANT SELECT ON undercroft.kept TO undercroft_app"
        ),
        "DROP MATERIALIZED VIEW undercroft.kept",
        {"walls", "isolation.read", "isolation.unset.read"},
        "kept",
    ),
    "a table without walls of the user's own": (
        (
            "CREATE TABLE undercroft.notes (tenant_id uuid NOT NULL, id uuid PRIMARY KEY);"
            " GRANT ALL ON undercroft.notes TO undercroft_app"
        ),
        "DROP TABLE undercroft.notes",
        {"walls", "isolation.unset.read"} | LEAK,
        "notes",
    ),
    "a unique index across tenants": (
        "CREATE UNIQUE INDEX one_email ON undercroft.users (email)",
        "DROP INDEX undercroft.one_email",
        {"walls"},
        "undercroft.one_email",
    ),
    "search that forgets the tenant": (
        (
            "ALTER FUNCTION undercroft.search_messages RENAME TO kept;"
            " CREATE FUNCTION undercroft.search_messages(text, boolean, integer, uuid, uuid, uuid, uuid, uuid, boolean,"
            " boolean, boolean) RETURNS TABLE (id uuid) LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog"
            " AS 'SELECT id FROM undercroft.messages WHERE search @@ $1::tsquery';"
            " ALTER FUNCTION undercroft.search_messages OWNER TO undercroft_owner;"
            " REVOKE ALL ON FUNCTION undercroft.search_messages FROM PUBLIC;"
            " GRANT EXECUTE ON FUNCTION undercroft.search_messages TO undercroft_app"
        ),
        "DROP FUNCTION undercroft.search_messages; ALTER FUNCTION undercroft.kept RENAME TO search_messages",
        {"isolation.search"},
        "search_messages",
    ),
    "a login that is born inside a tenant": (
        (
            "DO $$ BEGIN EXECUTE format('ALTER ROLE undercroft_test IN DATABASE %I SET undercroft.tenant = %L',"
            " current_database(), (SELECT tenant_id FROM undercroft.users LIMIT 1)); END $$"
        ),
        (
            "DO $$ BEGIN EXECUTE format('ALTER ROLE undercroft_test IN DATABASE %I RESET undercroft.tenant',"
            " current_database()); END $$"
        ),
        {"isolation.reuse"},
        "after COMMIT, after ROLLBACK",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(house: House, examine, fault: str) -> None:
    broken, mended, expected, detail = FAULTS[fault]
    with house.with_(broken, mended):
        report = examine()
    assert codes(report) == expected
    assert detail in {name for finding in report.findings for name in (finding.detail, *finding.detail.split(", "))}
    assert all(finding.fix for finding in report.findings)


NOT_SEVERE = {
    "an index that was broken off": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'undercroft.ix_users_tenant_id_email'::regclass",
        "UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'undercroft.ix_users_tenant_id_email'::regclass",
        "index.invalid",
    ),
    "no btree_gin": (
        (
            "DROP INDEX undercroft.ix_messages_search;"
            " CREATE INDEX ix_messages_search ON undercroft.messages USING gin (search)"
        ),
        (
            "DROP INDEX undercroft.ix_messages_search;"
            " CREATE INDEX ix_messages_search ON undercroft.messages USING gin (tenant_id, search)"
        ),
        "index.search",
    ),
    "no partition for this year": (
        "DO $$ BEGIN EXECUTE 'DROP TABLE undercroft.mentions_' || extract(year FROM now()); END $$",
        "SELECT undercroft.ensure_partitions(now(), now())",
        "partition.missing",
    ),
    "commits that do not wait for the disk": (
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET synchronous_commit', current_database()); END $$",
        "server.async-commit",
    ),
}


@pytest.mark.parametrize("fault", NOT_SEVERE)
def test_a_lesser_fault_is_found(house: House, examine, fault: str) -> None:
    broken, mended, code = NOT_SEVERE[fault]
    with house.with_(broken, mended):
        report = examine()
    assert code in codes(report, "warning")
    assert codes(report) == set()
    assert code not in codes(examine(), "warning")


def test_a_superusers_raw_sql_is_not_contained_but_our_calls_are(house: House, examine, colour: str) -> None:
    report = examine(house.admin_url, colour=colour)
    assert codes(report) == {"login.passes-walls"}
    assert "is a superuser" in found(report, "login.passes-walls").detail
    assert len(report.proven) == CLAIMS
    with house.with_(*FAULTS["walls off"][:2]):
        assert codes(examine(house.admin_url, colour=colour)) == FAULTS["walls off"][2] | {"login.passes-walls"}


def test_a_superuser_is_refused_in_production(house: House, examine) -> None:
    report = examine(house.admin_url, preset="production")
    assert codes(report) == {"configuration.invalid"}
    assert report.unchecked


def test_a_member_of_the_owner_is_told(house: House, examine) -> None:
    url = house.login("undercroft_test_owner", "undercroft_owner, undercroft_app, undercroft_fleet")
    assert "undercroft_owner" in found(examine(url), "login.passes-walls").detail
    assert "undercroft_test_owner" in found(examine(), "login.others-pass").detail


def test_a_login_with_bypassrls_and_nothing_else(house: House, examine) -> None:
    url = house.login("undercroft_test_bypass", "undercroft_app")
    house.run("ALTER ROLE undercroft_test_bypass BYPASSRLS")
    report = examine(url)
    assert codes(report) == {"login.passes-walls"}
    assert "BYPASSRLS" in found(report, "login.passes-walls").detail
    assert len(report.proven) == CLAIMS
    assert len(report.unchecked) == 1


def test_a_login_of_the_application_alone_checks_what_it_can(house: House, examine) -> None:
    report = examine(house.login("undercroft_test_app", "undercroft_app"))
    assert codes(report) == set()
    assert "login.no-fleet" in codes(report, "note")
    assert len(report.proven) == CLAIMS
    [untried] = report.unchecked
    for table in ("channel_members", "channels", "users"):
        assert table in untried


def test_a_login_without_rights_is_told(house: House, examine) -> None:
    report = examine(house.login("undercroft_test_nobody", ""))
    assert codes(report) == {"login.no-role"}
    assert report.proven == []


def test_where_nothing_can_be_written_the_rest_is_checked(house: House, examine) -> None:
    change = "ALTER ROLE undercroft_test IN DATABASE {} {} default_transaction_read_only"
    broken = change.format(house.database, "SET") + " = on"
    with house.with_(broken, change.format(house.database, "RESET")):
        report = examine()
    assert codes(report) == set()
    assert len(report.unchecked) == 1
    assert {claim.partition(" (")[0] for claim in report.proven} == {
        "without a tenant nothing can be read",
        "a connection that is used again carries no tenant over",
    }


def test_hardening_takes_from_everybody_and_keeps_ours(house: House, examine) -> None:
    report = examine()
    assert {"public.database", "public.schema"} <= codes(report, "warning")
    stranger = house.login("undercroft_test_nobody", "")
    with pytest.raises(PermissionDenied) as refused:
        examine(harden=True)  # the application's login owns nothing
    assert "REVOKE ALL ON DATABASE" in refused.value.hint
    assert examine().hardening == report.hardening
    hardened = examine(harden=True, migrate_url=house.admin_url)
    assert not {"public.database", "public.schema"} & codes(hardened, "warning")
    assert hardened.hardening == []
    assert len(hardened.proven) == CLAIMS
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(stranger)
    assert examine(harden=True).hardening == []  # nothing to do needs no right
    house.run(
        f"GRANT CONNECT, TEMPORARY ON DATABASE {house.database} TO PUBLIC", "GRANT USAGE ON SCHEMA public TO PUBLIC"
    )


def test_tables_of_others_keep_their_schema(house: House, examine) -> None:
    with house.with_(
        "CREATE TABLE public.theirs (id int); GRANT CREATE ON SCHEMA public TO PUBLIC",
        "DROP TABLE public.theirs; REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    ):
        assert examine().hardening[-1] == "REVOKE CREATE ON SCHEMA public FROM PUBLIC"


def test_a_database_without_our_tables_is_told(open_store, house: House, colour: str) -> None:
    with databases.created(house.admin_url) as empty:
        store = open_store(colour, empty)
        report = store.doctor()
    assert codes(report) == {"schema.missing"}
    assert "undercroft db upgrade" in report.findings[0].fix


def test_a_server_that_is_not_there_raises(open_store, colour: str) -> None:
    with pytest.raises(DatabaseUnavailable):
        open_store(colour, "postgresql://nobody@127.0.0.1:1/x").doctor()


def test_a_pooler_that_the_settings_do_not_name_is_told(house: House, open_store, colour: str) -> None:
    for pooler in servers.names("pgbouncer"):
        app_url = databases.moved(house.app_url, servers.url(pooler))
        report = open_store(colour, app_url).doctor()
        assert "pooler.unsaid" in {finding.code for finding in report.findings}
        report = open_store(colour, settings=Settings.load(app_url, env_file=None, pooler="transaction")).doctor()
        assert codes(report) == set()
        assert "pooler.unsaid" not in codes(report, "warning")
        assert len(report.proven) == CLAIMS
        assert any("pooler" in sentence for sentence in report.unchecked)


def test_every_rule_of_the_catalogue_has_its_remedy() -> None:
    text = (files("undercroft.migrations") / "sql" / "catalogue.sql").read_text()
    rules = [
        rule.replace("''", "'") for rule in re.findall(r"^SELECT (?:format\()?'((?:[^']|'')+)'", text, re.MULTILINE)
    ]
    assert len(rules) > 15
    for rule in rules:
        assert walls.fix(rule.replace("%s", "TRUNCATE"), "table.name") != walls.fix("unheard of", "table.name"), rule
