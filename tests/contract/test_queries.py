"""Questions and the SQL run for them, recorded however they end."""

import asyncio
import subprocess
import sys
from contextlib import suppress
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from math import ceil
from uuid import UUID

import pytest

import undercroft
from undercroft import errors
from undercroft.core import ids, tx as tx_module
from undercroft.queries import recording


def test_a_block_is_recorded_with_its_time_and_rows(tenant):
    session = tenant.sessions.start("U1")
    with tenant.queries.record("Sales?", sql="SELECT 1", database="SALES", user="U1", session=session.id) as run:
        assert tenant.queries.get(run.id).status == "running"
        run.rows = [(1,), (2,)]
        run.warehouse_query_id = "01b2"
        run.result = {"columns": ["n"], "data": [1, 2]}
    found = tenant.queries.get(run.id)
    assert (found.question, found.sql, found.database, found.user) == ("Sales?", "SELECT 1", "SALES", "U1")
    assert (found.session_id, found.status, found.error, found.row_count) == (session.id, "success", None, 2)
    assert (found.warehouse_query_id, found.result) == ("01b2", {"columns": ["n"], "data": [1, 2]})
    assert found.execution_time_ms >= 0
    assert found.started_at <= found.finished_at


def test_what_becomes_known_in_the_block_is_kept(tenant):
    with tenant.queries.record("Sales?") as run:
        run.sql, run.database, run.row_count = "SELECT 2", "HR", 7
    found = tenant.queries.get(run.id)
    assert (found.sql, found.database, found.row_count) == ("SELECT 2", "HR", 7)
    assert [query.id for query in tenant.queries.history(sql="SELECT 2")] == [run.id]


class WarehouseError(Exception):
    pass


@pytest.mark.parametrize("raised", [False, True], ids=["returns", "raises"])
def test_a_block_may_say_itself_how_it_ended(tenant, raised):
    with suppress(WarehouseError), tenant.queries.record("What is love?") as run:
        run.status, run.error = "declined", "no \0 table of it"
        if raised:
            raise WarehouseError
    found = tenant.queries.get(run.id)
    assert (found.status, found.error) == ("declined", "no \N{REPLACEMENT CHARACTER} table of it")
    assert found.finished_at is not None
    with pytest.raises(errors.InvalidInput), tenant.queries.record("Sales?") as run:
        run.status = "running"


@pytest.mark.parametrize(
    ("raised", "status", "told"),
    [
        (WarehouseError("no such table: sales"), "failed", "WarehouseError: no such table: sales"),
        (WarehouseError("bad \0 byte \ud800"), "failed", "WarehouseError: bad \N{REPLACEMENT CHARACTER}"),
        (WarehouseError("x" * 9000), "failed", "WarehouseError: xxx"),
        (KeyboardInterrupt(), "cancelled", "KeyboardInterrupt"),
        (asyncio.CancelledError(), "cancelled", "CancelledError"),
        (SystemExit(3), "failed", "SystemExit: 3"),
    ],
    ids=["failure", "unstorable text", "long text", "interrupt", "cancellation", "exit"],
)
def test_a_block_that_raises_is_recorded_and_the_error_goes_on(tenant, raised, status, told):
    queries = tenant.queries
    with pytest.raises(type(raised)) as error, queries.record("Sales?", sql="SELECT 1") as run:
        run.rows = [1]
        raise raised
    assert error.value is raised
    found = tenant.queries.get(run.id)
    assert found.status == status
    assert found.error.startswith(told)
    assert len(found.error) <= 2000
    assert found.finished_at is not None


async def test_a_cancelled_task_is_recorded_as_such(database_url):
    async with undercroft.AsyncStore(database_url) as store:
        name = f"slack:T{ids.new().hex.upper()}"
        await store.tenants.ensure(name)
        queries = store.tenant(name).queries
        started = asyncio.Event()

        async def ask(question: str) -> None:
            async with queries.record(question, sql="SELECT pg_sleep(60)"):
                started.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(ask("cancelled"))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await ask("timed out")
        found = await queries.history()
        assert [(query.question, query.status) for query in found] == [
            ("timed out", "cancelled"),
            ("cancelled", "cancelled"),
        ]


async def test_a_task_cancelled_again_and_again_is_recorded_all_the_same(database_url):
    """As structured concurrency does it: whatever the task awaits while it leaves is cancelled as well."""
    async with undercroft.AsyncStore(database_url) as store:
        name = f"slack:T{ids.new().hex.upper()}"
        await store.tenants.ensure(name)
        queries = store.tenant(name).queries
        started = asyncio.Event()

        async def ask() -> None:
            async with queries.record("Sales?"):
                started.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(ask())
        await started.wait()
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
        for _ in range(100):
            [found] = await queries.history()
            if found.status != "running":
                break
            await asyncio.sleep(0.02)
        assert found.status == "cancelled"


def test_an_end_that_cannot_be_written_hides_nothing(tenant, monkeypatch, caplog):
    def unreachable(*_):
        raise errors.DatabaseUnavailable

    with pytest.raises(WarehouseError), tenant.queries.record("Sales?") as run:
        monkeypatch.setattr(recording._END, "fn", unreachable)
        raise WarehouseError
    monkeypatch.undo()
    assert tenant.queries.get(run.id).status == "running"
    assert str(run.id) in caplog.text


CRASH = """
import os, sys
from undercroft import Store
with Store(sys.argv[1]) as store:
    with store.tenant(sys.argv[2]).queries.record("Sales?", sql="SELECT 1"):
        os._exit(9)
"""


def test_a_crash_leaves_a_row_that_says_so(tenant, database_url, monkeypatch):
    done = subprocess.run([sys.executable, "-c", CRASH, database_url, tenant.key], check=False, timeout=60)
    assert done.returncode == 9
    [found] = tenant.queries.history()
    assert (found.status, found.finished_at, found.execution_time_ms) == ("running", None, None)
    assert tenant.queries.abandon(hours=24) == 0
    later = datetime.now(UTC) + timedelta(hours=25)
    monkeypatch.setattr(tx_module, "utc_now", lambda: later)
    assert tenant.queries.abandon(hours=24) == 1
    assert tenant.queries.abandon(hours=24) == 0
    assert tenant.queries.get(found.id).status == "abandoned"


def test_a_query_is_logged_after_the_fact(tenant):
    logged = tenant.queries.log(
        "Top products?",
        sql="SELECT name FROM products",
        database="SALES",
        user="U1",
        status="success",
        execution_time_ms=1250,
        row_count=150,
    )
    assert tenant.queries.get(logged.id) == logged
    assert logged.finished_at - logged.started_at == timedelta(milliseconds=1250)
    declined = tenant.queries.log("What is love?", status="declined", error="not about our data")
    assert (declined.status, declined.sql) == ("declined", None)
    assert tenant.queries.history(status="declined") == [declined]


def test_what_becomes_known_later_is_attached(tenant):
    logged = tenant.queries.log("Sales?", sql="SELECT 1")
    changed = tenant.queries.update(logged.id, result={"data": [1]}, row_count=1, warehouse_query_id="01b2")
    assert tenant.queries.get(logged.id) == changed
    assert (changed.result, changed.row_count, changed.warehouse_query_id) == ({"data": [1]}, 1, "01b2")
    assert (changed.status, changed.sql, changed.finished_at) == ("success", "SELECT 1", logged.finished_at)
    failed = tenant.queries.update(logged.id, status="failed", error="wrong numbers")
    assert (failed.status, failed.error, failed.result) == ("failed", "wrong numbers", {"data": [1]})


def test_a_row_left_running_can_be_given_its_end(tenant, database_url):
    subprocess.run([sys.executable, "-c", CRASH, database_url, tenant.key], check=False, timeout=60)
    [left] = tenant.queries.history(status="running")
    ended = tenant.queries.update(left.id, status="cancelled")
    assert ended.finished_at is not None
    assert tenant.queries.get(left.id) == ended


def test_only_what_succeeded_is_approved(tenant):
    good, bad = tenant.queries.log("Sales?", sql="SELECT 1"), tenant.queries.log("Sales?", status="failed")
    approved = tenant.queries.approve(good.id, by="boss")
    assert approved.approved_by == "boss"
    assert tenant.queries.history(approved=True) == [approved]
    for query in (bad.id, ids.new()):
        with pytest.raises(errors.NotFound):
            tenant.queries.approve(query, by="boss")
    [event] = tenant.audit.recent()
    assert (event.event_type, event.actor, event.resource_id) == ("query.approve", "boss", str(good.id))


def test_history_by_filter_and_page(tenant):
    session = ids.new()
    for number in range(6):
        tenant.queries.log(
            f"q{number}",
            sql=f"SELECT {number % 3}",
            user=f"U{number % 2}",
            database="A" if number < 3 else "B",
            status="failed" if number == 5 else "success",
            session=session if number == 4 else None,
        )

    def asked(**filters):
        return [query.question for query in tenant.queries.history(**filters)]

    assert asked() == [f"q{n}" for n in reversed(range(6))]
    assert asked(user="U1") == ["q5", "q3", "q1"]
    assert asked(database="A") == ["q2", "q1", "q0"]
    assert asked(status="failed") == ["q5"]
    assert asked(session=session) == ["q4"]
    assert asked(sql="SELECT 2") == ["q5", "q2"]
    assert asked(user="U0", database="B", status="success") == ["q4"]
    assert asked(approved=True) == []
    hour = timedelta(hours=1)
    assert asked(since=datetime.now(UTC) - hour, until=datetime.now(UTC) + hour) == asked()
    assert asked(since=datetime.now(UTC) + hour) == asked(until=datetime.now(UTC) - hour) == []
    page = tenant.queries.history(limit=4)
    assert asked(before=page[-1].id) == ["q1", "q0"]


def test_a_tenant_has_its_own_history(new_tenant):
    one, other = new_tenant(), new_tenant()
    logged = one.queries.log("Sales?", user="U1")
    assert other.queries.history() == []
    assert other.queries.performance() == []
    assert other.queries.activity() == []
    for call in (other.queries.get, other.queries.update):
        with pytest.raises(errors.NotFound):
            call(logged.id)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda queries: queries.log("q", status="running"),
        lambda queries: queries.log("q", status="fine"),
        lambda queries: queries.log("q", execution_time_ms=-1),
        lambda queries: queries.log("q", row_count=-1),
        lambda queries: queries.log("q\0"),
        lambda queries: queries.history(limit=0),
        lambda queries: queries.history(since=datetime(2024, 1, 1)),  # noqa: DTZ001
        lambda queries: queries.abandon(hours=0),
        lambda queries: queries.performance(hours=0),
        lambda queries: queries.performance(hours=1e6),
        lambda queries: queries.activity(limit=0),
        lambda queries: queries.activity(days=-1),
    ],
    ids=range(12),
)
def test_wrong_input_is_refused_and_changes_nothing(tenant, wrong):
    with pytest.raises(errors.InvalidInput):
        wrong(tenant.queries)
    assert tenant.queries.history() == []


def test_inside_a_transaction_the_record_is_of_it(tenant):
    with tenant.transaction() as tx, tx.queries.record("kept") as run:
        run.row_count = 1
    with pytest.raises(WarehouseError), tenant.transaction() as tx, tx.queries.record("undone"):
        raise WarehouseError
    assert [query.question for query in tenant.queries.history()] == ["kept"]


TIMES = [[5], [1, 2], [10, 20, 30], list(range(1, 21)), list(range(1, 101)), [7] * 9 + [1000], [3, None, 1]]


def test_performance_is_told_by_the_hour_with_nearest_ranks(tenant):
    times = [one for many in TIMES for one in many]
    for number, milliseconds in enumerate(times):
        status = "failed" if number % 10 == 0 else "success"
        tenant.queries.log(f"q{number}", status=status, execution_time_ms=milliseconds)
    tenant.queries.log("What is love?", status="declined")
    with pytest.raises(KeyboardInterrupt), tenant.queries.record("slow"):
        raise KeyboardInterrupt
    hours = tenant.queries.performance(hours=2)
    recorded = tenant.queries.history(limit=1000)
    known = sorted(query.execution_time_ms for query in recorded if query.execution_time_ms is not None)
    assert sum(hour.queries for hour in hours) == len(times) + 2
    assert sum(hour.errors for hour in hours) == len(times[::10])
    assert (sum(hour.declined for hour in hours), sum(hour.cancelled for hour in hours)) == (1, 1)
    if len(hours) == 1:
        assert (hours[0].p50_ms, hours[0].p95_ms) == tuple(known[ceil(p * len(known) / 100) - 1] for p in (50, 95))
    assert hours[0].hour.minute == hours[0].hour.second == hours[0].hour.microsecond == 0


@pytest.mark.parametrize("times", TIMES, ids=range(len(TIMES)))
def test_the_view_and_the_call_tell_the_same(tenant, times):
    for milliseconds in times:
        tenant.queries.log("q", user="U1", execution_time_ms=milliseconds)
    tenant.queries.log("q", user="U1", status="failed")
    tenant.sessions.end(tenant.sessions.start("U1").id)
    tenant.sessions.start("U1")
    columns = "hour, queries, errors, cancelled, declined, p50_ms, p95_ms"
    view = _view(tenant, f"SELECT {columns} FROM {{}} ORDER BY hour DESC LIMIT 24", _PERFORMANCE)
    [one] = tenant.queries.activity(days=1)
    assert (one.user, one.queries, one.errors, one.sessions, one.active_sessions) == ("U1", len(times) + 1, 1, 2, 1)
    columns = "user_native_id, queries, errors, sessions, active_sessions, last_activity"
    [(*row, last)] = _view(tenant, f"SELECT {columns} FROM {{}} ORDER BY last_activity DESC", _ACTIVITY)
    assert row == ["U1", len(times) + 1, 1, 2, 1]
    assert moment(last) == one.last_activity_at
    assert [(moment(row[0]), *row[1:]) for row in view] == [
        astuple(hour) for hour in tenant.queries.performance(hours=2)
    ]


def test_the_view_of_active_sessions_knows_the_users(tenant):
    tenant.users.ensure("U1", name="ada")
    tenant.sessions.start("U1", channel="C1", current_database="SALES")
    tenant.sessions.end(tenant.sessions.start("U2").id)
    rows = _view(tenant, "SELECT user_native_id, user_name, channel, current_database FROM {}", _ACTIVE)
    assert rows == [("U1", "ada", "C1", "SALES")]
    [session] = tenant.sessions.list(active=True)
    [(id_, started, last)] = _view(tenant, "SELECT id, started_at, last_activity_at FROM {}", _ACTIVE)
    assert (UUID(bytes=id_) if isinstance(id_, bytes) else id_) == session.id
    assert (moment(started), moment(last)) == (session.started_at, session.last_activity_at)


@pytest.mark.parametrize(
    "view", ["active_sessions", "query_performance_metrics", "user_activity_summary", "cache_efficiency"]
)
def test_a_view_shows_one_tenant_its_own(new_tenant, view):
    one, other = new_tenant(), new_tenant()
    one.sessions.start("U1")
    one.queries.log("q", user="U1")
    own, foreign = (_view(tenant, "SELECT tenant_id FROM {}", f"undercroft.{view}") for tenant in (one, other))
    assert foreign == []
    if view != "cache_efficiency":
        assert len(own) == 1


_PERFORMANCE = "undercroft.query_performance_metrics"
_ACTIVITY = "undercroft.user_activity_summary"
_ACTIVE = "undercroft.active_sessions"


def moment(value):
    """A moment as the driver gives it: SQLite's views have microseconds since 1970."""
    return value if isinstance(value, datetime) else datetime.fromtimestamp(0, UTC) + timedelta(microseconds=value)


def _view(tenant, query, view):
    return [tuple(row) for row in tenant.db.fetch(query.format(view))]


@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET tenant_id = tenant_id", "DROP VIEW {}"])
def test_a_view_is_only_read(store, tenant, statement):
    tenant.sessions.start("U1")
    for door in (tenant.db, store.db):
        with pytest.raises(errors.DatabaseError):
            door.execute(statement.format(_ACTIVE))
    assert len(_view(tenant, "SELECT * FROM {}", _ACTIVE)) == 1
