"""The catalogue's lint, each rule with a fault planted for it."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests import servers
from tests.migrations.conftest import connected, created
from undercroft.migrations import history
from undercroft.migrations.catalogue import Fault, faults


@pytest.fixture(scope="module", params=servers.names("postgresql"))
def migrated(request: pytest.FixtureRequest) -> Iterator[sa.Connection]:
    with created(request.param) as url, connected(url) as connection:
        history.upgrade(connection)
        yield connection


def test_what_the_history_makes_has_no_fault(migrated: sa.Connection) -> None:
    assert faults(migrated) == []


WALLED = "CREATE TABLE undercroft.t (tenant_id uuid, id int, PRIMARY KEY (tenant_id, id))"
PLANTED = [
    (["ALTER TABLE undercroft.users NO FORCE ROW LEVEL SECURITY"], "not enabled and forced", "users"),
    (["ALTER TABLE undercroft.users DISABLE ROW LEVEL SECURITY"], "not enabled and forced", "users"),
    ([WALLED], "not enabled and forced", "t"),
    (["ALTER TABLE undercroft.messages_default NO FORCE ROW LEVEL SECURITY"], "not enabled", "messages_default"),
    (["DROP POLICY wall ON undercroft.users"], "no restrictive policy", "users"),
    (
        ["DROP POLICY wall ON undercroft.users", "CREATE POLICY wall ON undercroft.users AS RESTRICTIVE USING (true)"],
        "no restrictive policy",
        "users",
    ),
    (["CREATE POLICY careless ON undercroft.users USING (true)"], "opens every row", "users.careless"),
    (["CREATE POLICY c ON undercroft.users FOR INSERT TO undercroft_app WITH CHECK (true)"], "opens every", "users.c"),
    (["CREATE TABLE undercroft.t (id int PRIMARY KEY)"], "no tenant_id", "t"),
    (["CREATE VIEW undercroft.v AS SELECT * FROM undercroft.users"], "without security_invoker", "v"),
    (["CREATE MATERIALIZED VIEW undercroft.v AS SELECT * FROM undercroft.users"], "a materialized view", "v"),
    (["CREATE UNIQUE INDEX ux ON undercroft.users (email)"], "a unique index across tenants", "undercroft.ux"),
    (["CREATE UNIQUE INDEX ux ON undercroft.users (lower(email))"], "a unique index across", "undercroft.ux"),
    (
        [
            "ALTER TABLE undercroft.users ADD CONSTRAINT ux UNIQUE (id)",
            "ALTER TABLE undercroft.channels ADD CONSTRAINT fk FOREIGN KEY (id) REFERENCES undercroft.users (id)",
        ],
        "foreign key does not begin with tenant_id",
        "channels.fk",
    ),
    (["GRANT SELECT ON undercroft.messages_default TO undercroft_app"], "reached past its table", "messages_default"),
    (["GRANT TRUNCATE ON undercroft.users TO undercroft_app"], "TRUNCATE is granted", "users"),
    (["GRANT SELECT ON undercroft.users TO PUBLIC"], "everybody has rights", "users"),
    (["GRANT SELECT ON undercroft.change_key TO undercroft_app"], "whose changes are told", "change_key"),
    (
        ["GRANT UPDATE ON undercroft.audit_events TO undercroft_app"],
        "granted on an append-only",
        "audit_events",
    ),
    (["GRANT DELETE ON undercroft.config_audit TO undercroft_app"], "granted on an append-only", "config_audit"),
    (
        [
            "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "CREATE TRIGGER g BEFORE INSERT ON undercroft.users EXECUTE FUNCTION public.f()",
        ],
        "it has a trigger",
        "users.g",
    ),
    (["ALTER TABLE undercroft.users OWNER TO CURRENT_USER"], "does not belong to undercroft_owner", "users"),
    (["ALTER FUNCTION undercroft.enter OWNER TO CURRENT_USER"], "does not belong to undercroft_owner", "enter()"),
    (["ALTER FUNCTION undercroft.enter RESET ALL"], "without a search_path", "enter()"),
    (["GRANT EXECUTE ON FUNCTION undercroft.purge TO PUBLIC"], "everybody may execute", "purge()"),
    (["ALTER ROLE undercroft_app BYPASSRLS"], "passes row-level security", "undercroft_app"),
    (["GRANT undercroft_owner TO undercroft_app"], "member of the owner", "undercroft_app"),
]


@pytest.mark.parametrize(("planted", "rule", "name"), PLANTED, ids=range(len(PLANTED)))
def test_a_planted_fault_is_found(migrated: sa.Connection, planted: list[str], rule: str, name: str) -> None:
    transaction = migrated.begin()
    try:
        for statement in planted:
            migrated.exec_driver_sql(statement)
        assert any(rule in fault.rule and fault.object == name for fault in faults(migrated)), faults(migrated)
    finally:
        transaction.rollback()


def test_any_login_may_ask(migrated: sa.Connection) -> None:
    with migrated.begin():
        migrated.exec_driver_sql("SET LOCAL ROLE undercroft_app")
        assert faults(migrated) == []


def test_a_fault_names_its_rule_and_object() -> None:
    assert Fault("rule", "users") == Fault(rule="rule", object="users")
