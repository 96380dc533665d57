"""What upkeep does on PostgreSQL alone: whole years that go, and the jobs of pg_cron."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from tests import databases, servers
from undercroft import Settings, Store, errors, models
from undercroft.archive import MessageRecord
from undercroft.core import ids

OLD = datetime(2019, 5, 1, tzinfo=UTC)
FAMILY = ("messages", "message_versions", "attachments", "reactions", "reaction_users", "mentions")
# What pg_cron gives, as far as its jobs need it.
STAND_IN = """
CREATE SCHEMA cron;
CREATE TABLE cron.job (jobname text PRIMARY KEY, schedule text, command text);
CREATE FUNCTION cron.schedule(job_name text, schedule text, command text) RETURNS bigint LANGUAGE sql AS $$
  INSERT INTO cron.job VALUES (job_name, schedule, command)
  ON CONFLICT (jobname) DO UPDATE SET schedule = excluded.schedule, command = excluded.command;
  SELECT 1::bigint
$$
"""


@pytest.fixture(params=servers.names("postgresql"))
def place(request: pytest.FixtureRequest) -> Iterator[tuple[Store, psycopg.Connection]]:
    """A store on a database of its own with partitions of 2019 and 2020, and a superuser's connection to it."""
    server = servers.url(request.param)
    with databases.created(server) as admin_url:
        url = databases.migrated(server, admin_url)
        settings = Settings.load(url, env_file=None, migrate_url=admin_url)
        with psycopg.connect(admin_url, autocommit=True) as admin, Store(settings=settings) as store:
            admin.execute("SELECT undercroft.ensure_partitions('2019-01-01', '2020-12-31')")
            for key in ("slack:T1", "slack:T2"):
                store.tenants.ensure(key)
                tenant = store.tenant(key)
                tenant.archive.save_messages(
                    [
                        MessageRecord(
                            channel="C1",
                            native_id=f"{int(moment.timestamp())}.000100",
                            text="hello",
                            sent_at=moment,
                        )
                        for moment in (OLD, OLD + timedelta(days=1), OLD + timedelta(days=366))
                    ]
                )
                with tenant.session() as rows:
                    rows.add_all(
                        models.QueryRun(
                            tenant_id=tenant.id, id=ids.new(OLD), question="?", status="success", started_at=OLD
                        )
                        for _ in range(3)
                    )
            yield store, admin


def years(admin: psycopg.Connection, table: str) -> set[str]:
    """The years that a table has partitions of."""
    found = admin.execute(
        "SELECT right(relname, 4) FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid"
        " WHERE inhparent = to_regclass(%s) AND relname ~ '_[0-9]{4}$'",
        [f"undercroft.{table}"],
    )
    return {year for (year,) in found} & {"2019", "2020"}


def told(run: object) -> dict[tuple[str, str], int]:
    return {(one.tenant, one.data_class): one.rows for one in run.removals}  # type: ignore[attr-defined]


FIRST = pytest.mark.parametrize("place", servers.names("postgresql")[:1], indirect=True)
EACH = {("slack:T1", "messages"): 2, ("slack:T2", "messages"): 2}


def test_a_year_that_no_tenant_keeps_goes_as_a_whole(place):
    store, admin = place
    store.upkeep.retention.set("messages", keep=datetime.now(UTC) - datetime(2020, 1, 15, tzinfo=UTC))
    dry = store.upkeep.run(dry_run=True)
    assert {key: rows for key, rows in told(dry).items() if key[1] == "messages"} == EACH
    run = store.upkeep.run()
    assert told(run) == told(dry)
    for table in FAMILY:
        assert years(admin, table) == {"2020"}
    assert years(admin, "query_history") == set()  # the default lets go of both years
    for key in ("slack:T1", "slack:T2"):
        tenant = store.tenant(key)
        assert len(list(tenant.archive.messages("C1"))) == 1
        [event] = tenant.audit.search(event_type="retention.run")
        assert event.data["rows"] == {"messages": 2, "queries": 3}
        assert tenant.stats().last_run.removed == 5
    assert store.upkeep.run().removals == []
    for door in (store.db, store.tenant("slack:T1").db):  # the fleet alone may drop a year
        with pytest.raises(errors.AccessDenied):
            door.fetch("SELECT * FROM undercroft.drop_expired_partitions('messages', 1)")


def test_a_year_that_one_tenant_keeps_goes_in_batches(place):
    store, admin = place
    one, other = (store.tenant(key) for key in ("slack:T1", "slack:T2"))
    store.upkeep.retention.set("messages", keep=datetime.now(UTC) - datetime(2020, 1, 15, tzinfo=UTC))
    other.upkeep.retention.hold("messages", reason="case 17")
    run = store.upkeep.run()
    gone = {(one.tenant, one.rows) for one in run.removals if one.data_class == "messages" and not one.held}
    assert gone == {("slack:T1", 2)}
    other.upkeep.retention.release("messages")
    other.upkeep.retention.set("messages", keep=None)
    assert store.upkeep.run().removals == []
    assert years(admin, "messages") == {"2019", "2020"}
    assert [len(list(tenant.archive.messages("C1"))) for tenant in (one, other)] == [1, 3]


@FIRST
def test_a_year_of_approved_queries_or_of_a_deleted_tenant_stays(place):
    store, admin = place
    one, other = store.tenant("slack:T1"), store.tenant("slack:T2")
    one.queries.approve(one.queries.history()[0].id, by="U1")
    store.upkeep.retention.set("messages", keep=timedelta(days=30))
    store.tenants.soft_delete(other.key)
    assert store.upkeep.run().rows == 3 + 2
    assert (years(admin, "messages"), years(admin, "query_history")) == ({"2019", "2020"}, {"2019"})  # 2020 is empty
    store.tenants.restore(other.key)
    assert len(list(other.archive.messages("C1"))) == 3
    assert [query.approved_by for query in one.queries.history()] == ["U1"]


@FIRST
def test_where_the_lock_does_not_come_the_rows_go_in_batches(place):
    store, admin = place
    store.upkeep.retention.set("messages", keep=timedelta(days=30))
    with admin.transaction():
        admin.execute("LOCK TABLE undercroft.query_history_2019 IN ROW SHARE MODE")
        assert store.upkeep.run().rows == 2 * (3 + 3)
    assert (years(admin, "messages"), years(admin, "query_history")) == (set(), {"2019", "2020"})


def test_the_jobs_of_pg_cron_do_what_they_say(place):
    store, admin = place
    jobs = store.upkeep.pg_cron()
    with pytest.raises(errors.InvalidInput, match="no pg_cron"):
        store.upkeep.pg_cron(install=True)
    admin.execute(STAND_IN)
    for _ in range(2):
        store.upkeep.pg_cron(install=True)
    made = admin.execute("SELECT jobname, schedule, command FROM cron.job").fetchall()
    assert sorted(made) == sorted((job.name, job.schedule, job.command) for job in jobs)
    tenants = [store.tenant(key) for key in ("slack:T1", "slack:T2")]
    for tenant in tenants:
        tenant.sessions.start("U1")
        tenant.results.put("SELECT 1", 1, database="A", rights="r")
        tenant.idempotent("k").users.ensure("U1")
    tenants[1].upkeep.retention.hold("cache", reason="case 17")
    tenants[1].upkeep.retention.set("idempotency_keys", keep=timedelta(days=9))
    admin.execute("UPDATE undercroft.user_sessions SET last_activity_at = now() - interval '25 hours'")
    for table in ("query_cache", "idempotency_keys"):
        admin.execute(f"UPDATE undercroft.{table} SET expires_at = now() - interval '1 hour'")
    for _, _, command in made:
        admin.execute(command)
        admin.execute("RESET ROLE")
    assert [tenant.sessions.active("U1") for tenant in tenants] == [None, None]
    assert [tenant.results.stats().entries for tenant in tenants] == [0, 1]
    left = "SELECT tenant_id FROM undercroft.idempotency_keys"
    assert [tenant for (tenant,) in admin.execute(left)] == [tenants[1].id]


def test_a_file_has_no_pg_cron(tmp_path):
    with Store(f"sqlite:///{tmp_path / 'x.db'}") as store, pytest.raises(errors.InvalidInput):
        store.upkeep.pg_cron()


def test_a_file_gives_space_back_where_it_was_made_for_that(tmp_path):
    """Pages that nobody uses are cut off; a file made otherwise keeps them for what comes."""
    path = tmp_path / "x.db"
    with sqlite3.connect(path) as made:
        made.execute("PRAGMA auto_vacuum = INCREMENTAL")
        made.execute("VACUUM")
    with Store(f"sqlite:///{path}") as store:
        tenant = store.default
        with tenant.session() as rows:
            rows.add_all(
                models.QueryRun(
                    tenant_id=tenant.id, id=ids.new(OLD), question="?" * 900, status="success", started_at=OLD
                )
                for _ in range(900)
            )
        before = store.info().bytes
        store.upkeep.run()
        assert store.info().bytes < before / 2
