"""The revision that chains the audit trail, on a database with events from before it."""

import json
from uuid import UUID

import sqlalchemy as sa

from tests.audit import tampering
from undercroft import Store
from undercroft.migrations import runner
from undercroft.tenants.ops import tenant_id

TENANT = "slack:T1"
COLUMNS = "id, event_type, category, action, status, description, actor, occurred_at, canonical, event_hash"


def test_events_from_before_the_chain_are_sealed_after_the_upgrade(
    connection: sa.Connection, empty_database_url: str, engine: str
) -> None:
    runner.upgrade(connection, "0002")
    key, rows = tenant_id(TENANT), [tampering.new_row(tenant_id(TENANT), n) for n in range(600)]
    schema = "" if engine == "sqlite" else "undercroft."

    def value(given: object) -> object:
        if engine != "sqlite":
            return given
        return given.bytes if isinstance(given, UUID) else given

    with connection.begin():
        now = 0 if engine == "sqlite" else "now()"
        connection.execute(
            sa.text(
                f"INSERT INTO {schema}tenants (tenant_id, platform, native_id, name, created_at, updated_at)"
                f" VALUES (:tenant, 'slack', 'T1', 'Acme', {now}, {now})"
            ),
            {"tenant": value(key)},
        )
        for row in rows:
            at = row["occurred_at"]
            given = {
                **{name: row[name] for name in COLUMNS.split(", ")},
                "data": json.dumps(row["data"]),
                "occurred_at": int(at.timestamp()) * 1_000_000 + at.microsecond if engine == "sqlite" else at,
            }
            names = ", ".join(given)
            data = ":data" if engine == "sqlite" else "CAST(:data AS jsonb)"
            marks = ", ".join(data if name == "data" else f":{name}" for name in given)
            connection.execute(
                sa.text(f"INSERT INTO {schema}audit_events (tenant_id, {names}) VALUES (:tenant, {marks})"),
                {"tenant": value(key), **{name: value(part) for name, part in given.items()}},
            )
    runner.upgrade(connection)
    connection.rollback()
    with Store(empty_database_url) as store:
        audit = store.tenant(TENANT).audit
        audit.log("after.upgrade")
        report = audit.verify()
        assert (report.damage, report.verified, report.last) == (None, 601, 601)
