"""The jobs of pg_cron, done by pg_cron: where the machine has it, which `UNDERCROFT_TEST_PG_CRON=1` demands."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests import databases, servers
from undercroft import Settings, Store

LIBRARIES = sorted(Path("/usr/lib/postgresql").glob("*/lib/pg_cron.so"))
PATIENCE = 300.0
"""Seconds: the soonest that it begins a job is with the next minute."""

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(
        not (LIBRARIES or os.environ.get("UNDERCROFT_TEST_PG_CRON")), reason="the machine has no pg_cron of Debian's"
    ),
]


@pytest.fixture
def place() -> Iterator[tuple[Store, psycopg.Connection]]:
    """A store on a server that has pg_cron, and a superuser's connection to it."""
    programs = LIBRARIES[-1].parents[1] / "bin"
    settings = {"shared_preload_libraries": "pg_cron", "cron.database_name": "postgres", "fsync": "off"}
    with servers.own_postgresql(programs, **settings) as server:
        url = databases.migrated(server.url, server.url)
        ours = Settings.load(url, env_file=None, migrate_url=server.url)
        with psycopg.connect(server.url, autocommit=True) as admin, Store(settings=ours) as store:
            admin.execute("CREATE EXTENSION pg_cron")
            yield store, admin


def test_it_does_the_jobs(place):
    store, admin = place
    jobs = store.upkeep.pg_cron(install=True)
    found = admin.execute("SELECT jobname, schedule, command FROM cron.job").fetchall()
    assert sorted(found) == sorted((job.name, job.schedule, job.command) for job in jobs)
    tenants = [store.tenant(key) for key in ("slack:T1", "slack:T2")]
    for tenant in tenants:
        store.tenants.ensure(tenant.key)
        tenant.sessions.start("U1")
        tenant.results.put("SELECT 1", 1, database="A", rights="r")
        tenant.idempotent("k").users.ensure("U1")
    tenants[1].upkeep.retention.hold("cache", reason="case 17")
    admin.execute("UPDATE undercroft.user_sessions SET last_activity_at = now() - interval '25 hours'")
    for table in ("query_cache", "idempotency_keys"):
        admin.execute(f"UPDATE undercroft.{table} SET expires_at = now() - interval '1 hour'")
    admin.execute("UPDATE cron.job SET schedule = '* * * * *'")
    ended = "SELECT DISTINCT jobid, status, return_message FROM cron.job_run_details WHERE end_time IS NOT NULL"
    deadline = time.monotonic() + PATIENCE
    while len(done := admin.execute(ended).fetchall()) < len(jobs):
        assert time.monotonic() < deadline, done
        time.sleep(0.5)
    assert {status for _, status, _ in done} == {"succeeded"}, done
    assert [tenant.sessions.active("U1") for tenant in tenants] == [None, None]
    assert [tenant.results.stats().entries for tenant in tenants] == [0, 1]
    assert admin.execute("SELECT count(*) FROM undercroft.idempotency_keys").fetchone() == (0,)
