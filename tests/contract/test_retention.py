"""Retention: what is older than its policy goes, and nothing else does."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from undercroft import errors, models
from undercroft.archive import AttachmentRecord, MentionRecord, MessageRecord, ReactionRecord
from undercroft.core import ids, tx as tx_module
from undercroft.core.operation import operation
from undercroft.upkeep.retention import classes, running

NOW = datetime.now(UTC)
ARCHIVED = datetime(2023, 11, 14, 22, 13, 20, 100, tzinfo=UTC)
OWN = {"audit_links", "upkeep_runs", "audit_events", "retention_policies", "legal_holds"}


@pytest.fixture
def database_url(own_database_url: str) -> str:
    return own_database_url


def ago(**period: float) -> datetime:
    return NOW - timedelta(**period)


def fill(tenant: Any, *, messages: int = 3) -> dict[str, int]:
    """Store something old and something new of every data class; returns how much is older than the defaults allow."""
    of: dict[str, Any] = {"tenant_id": tenant.id}

    def session(user: str, active: datetime, ended: datetime | None) -> Any:
        return models.UserSession(
            **of, id=ids.new(), user_native_id=user, started_at=active, last_activity_at=active, ended_at=ended
        )

    def query(at: datetime, approved: datetime | None = None) -> Any:
        return models.QueryRun(
            **of, id=ids.new(at), question="?", status="success", started_at=at, approved_at=approved
        )

    def result(number: int, expires_at: datetime) -> list[Any]:
        key = number.to_bytes(32)
        times = {"created_at": ago(days=9), "last_used_at": ago(days=9), "expires_at": expires_at}
        return [
            models.CachedResult(**of, key=key, database="A", sql="SELECT 1", value=b"1", size=1, **times),
            models.CachedResultTable(**of, key=key, name="t"),
            models.ResultLease(**of, key=key, holder=ids.new(), database="A", expires_at=expires_at),
        ]

    def key(name: str, expires_at: datetime) -> Any:
        return models.IdempotencyKey(
            **of, operation="o", key=name, request_hash=b"", created_at=ago(days=3), expires_at=expires_at
        )

    with tenant.session() as rows:
        rows.add_all(
            [
                session("U1", ago(days=99), ago(days=98)),
                session("U2", ago(days=99), None),
                session("U3", ago(days=99), ago(days=80)),
                session("U4", ago(days=89), None),
                query(ago(days=366)),
                query(ago(days=364)),
                query(ago(days=366), ago(days=366)),
                *result(1, ago(seconds=5)),
                *result(2, NOW + timedelta(hours=1)),
                models.CacheDay(**of, day=ago(days=401)),
                models.CacheDay(**of, day=ago(days=399)),
                key("old", ago(seconds=5)),
                key("new", NOW + timedelta(hours=1)),
                models.Quarantine(
                    **of,
                    id=ids.new(),
                    source="",
                    path="p",
                    position=1,
                    reason="r",
                    record="{}",
                    created_at=ago(days=4000),
                ),
            ]
        )
    tenant.archive.save_messages([message(number) for number in range(messages)])
    for number in range(messages):
        tenant.archive.edit("C1", native(number), text=f"edited {number}", edited_at=ago(days=1))
    return {"sessions": 2, "queries": 1, "cache": 2, "cache_days": 1, "idempotency_keys": 1}


def native(number: int) -> str:
    return f"{1_700_000_000 + number}.000100"


def message(number: int, *, channel: str = "C1") -> MessageRecord:
    return MessageRecord(
        channel=channel,
        native_id=native(number),
        author="U1",
        text=f"hello {number}",
        sent_at=ARCHIVED + timedelta(seconds=number),
        reactions=(ReactionRecord(emoji="tada", count=1, users=("U1",)),),
        attachments=(AttachmentRecord(native_id=f"F{number}", kind="file", name="a.txt"),),
        mentions=(MentionRecord(kind="user", native_id="U1"),),
    )


Everything = Callable[[Any], dict[str, set[str]]]


@pytest.fixture
def everything(engine: str) -> Everything:
    """Reads every row of a tenant in every table."""
    names = [table.name for table in models.Base.metadata.sorted_tables if table.schema == "undercroft"]
    place = "" if engine == "sqlite" else "undercroft."

    def read(tenant: Any) -> dict[str, set[str]]:
        return {
            name: {repr(tuple(row)) for row in tenant.db.fetch(f"SELECT * FROM {place}{name}")}
            for name in names
            if name not in OWN | {"message_search"}
        }

    return read


def lost(before: dict[str, set[str]], after: dict[str, set[str]]) -> dict[str, int]:
    """How many rows of each table are there no more; none may be new or changed."""
    assert [name for name in before if after[name] - before[name]] == []
    return {name: len(before[name] - after[name]) for name in before if before[name] - after[name]}


def told(run: Any) -> dict[str, int]:
    return {removal.data_class: removal.rows for removal in run.removals if not removal.held}


def at(monkeypatch: pytest.MonkeyPatch, moved: timedelta) -> None:
    """Let the database's clock be so much later."""
    real = running._MOMENT.fn
    monkeypatch.setattr(running, "_MOMENT", operation(lambda tx: real(tx) + moved, access="read"))


def test_a_dry_run_tells_what_a_run_removes_and_a_second_run_removes_nothing(tenant, new_tenant, everything):
    neighbour = new_tenant()
    due = fill(tenant)
    fill(neighbour)
    before, beside = everything(tenant), everything(neighbour)
    dry = tenant.upkeep.run(dry_run=True)
    assert told(dry) == due
    assert everything(tenant) == before
    run = tenant.upkeep.run()
    assert (told(run), run.rows, run.dry_run) == (due, sum(due.values()), False)
    assert lost(before, everything(tenant)) == {
        "user_sessions": 2,
        "query_history": 1,
        "query_cache": 1,
        "query_cache_tables": 1,
        "query_cache_leases": 1,
        "query_cache_days": 1,
        "idempotency_keys": 1,
    }
    assert everything(neighbour) == beside
    assert told(tenant.upkeep.run()) == {} == told(tenant.upkeep.run(dry_run=True))


def test_the_fleets_run_enters_each_tenant(store, new_tenant, everything):
    one, other, gone = new_tenant(), new_tenant(), new_tenant()
    due = fill(one)
    fill(other)
    fill(gone)
    other.upkeep.retention.set("queries", keep=timedelta(days=1))
    before = everything(one), everything(other)
    store.tenants.soft_delete(gone.key)
    run = store.upkeep.run()
    assert {removal.tenant for removal in run.removals} >= {one.key, other.key}
    assert gone.key not in {removal.tenant for removal in run.removals}
    assert lost(before[0], everything(one))["query_history"] == 1
    assert lost(before[1], everything(other))["query_history"] == 2
    mine = {one.key, other.key}  # what other tests left in this database goes on to expire
    for dry_run in (True, False):
        assert not mine & {removal.tenant for removal in store.upkeep.run(dry_run=dry_run).removals}
    store.tenants.restore(gone.key)
    assert told(gone.upkeep.run(dry_run=True)) == due


def test_each_policy_is_the_tenants_before_the_fleets_before_the_default(store, new_tenant):
    one, other = new_tenant(), new_tenant()
    of = lambda scope: {policy.data_class: (policy.keep, policy.source) for policy in scope.upkeep.retention.list()}  # noqa: E731
    try:
        assert of(store)["queries"] == of(one)["queries"] == (timedelta(days=365), "default")
        store.upkeep.retention.set("queries", keep=timedelta(days=30), by="ops")
        one.upkeep.retention.set("queries", keep=None, by="U1")
        assert of(one)["queries"] == (None, "tenant")
        assert of(other)["queries"] == of(store)["queries"] == (timedelta(days=30), "fleet")
        for tenant in (one, other):
            fill(tenant)
        store.upkeep.run()
        assert [len(tenant.queries.history()) for tenant in (one, other)] == [3, 1]
        assert one.upkeep.retention.reset("queries").source == "fleet"
        assert told(one.upkeep.run()) == {"queries": 2}
    finally:
        assert store.upkeep.retention.reset("queries", by="ops").source == "default"


def test_the_clock_is_the_databases(tenant, monkeypatch):
    due = fill(tenant)
    monkeypatch.setattr(tx_module, "utc_now", lambda: NOW + timedelta(days=9999))
    assert told(tenant.upkeep.run(dry_run=True)) == due
    at(monkeypatch, timedelta(days=2))
    assert told(tenant.upkeep.run(dry_run=True)) == due | {
        "queries": 2,
        "cache": 4,
        "cache_days": 2,
        "idempotency_keys": 2,
        "sessions": 3,
    }


@pytest.mark.parametrize("batch", [2, 7])
def test_messages_go_with_all_that_belongs_to_them(tenant, batch, monkeypatch, everything):
    monkeypatch.setattr(running, "BATCH", batch)
    fill(tenant, messages=7)
    young = MessageRecord(channel="C1", native_id=f"{int(NOW.timestamp())}.000100", text="hello too", sent_at=NOW)
    tenant.archive.save_messages([young])
    tenant.upkeep.run()
    before = everything(tenant)
    assert len(tenant.archive.search("edited")) == 7
    tenant.upkeep.retention.set("messages", keep=timedelta(days=30))
    assert told(tenant.upkeep.run(dry_run=True)) == {"messages": 7}
    assert told(tenant.upkeep.run()) == {"messages": 7}
    names = ("messages", "message_versions", "attachments", "reactions", "reaction_users", "mentions")
    assert lost(before, everything(tenant)) == dict.fromkeys(names, 7)
    assert (tenant.archive.search("edited"), len(tenant.archive.search("hello"))) == ([], 1)


def test_batches_are_bounded(tenant, monkeypatch):
    fill(tenant)
    with tenant.session() as rows:
        rows.add_all(
            models.IdempotencyKey(
                tenant_id=tenant.id,
                operation="o",
                key=f"k{number}",
                request_hash=b"",
                created_at=ago(days=3),
                expires_at=ago(days=2),
            )
            for number in range(50)
        )
        rows.add_all(
            models.QueryRun(
                tenant_id=tenant.id, id=ids.new(ago(days=500)), question="?", status="success", started_at=NOW
            )
            for _ in range(50)
        )
    sizes = []
    real = running._REMOVE.fn

    def watched(tx: Any, data_class: str, **given: Any) -> Any:
        removed = real(tx, data_class, **given)
        sizes.append((data_class, removed[0]))
        return removed

    monkeypatch.setattr(running, "_REMOVE", operation(watched))
    monkeypatch.setattr(running, "BATCH", 20)
    run = told(tenant.upkeep.run())
    assert (run["idempotency_keys"], run["queries"]) == (51, 51)
    for name in ("idempotency_keys", "queries"):
        assert [size for one, size in sizes if one == name] == [20, 20, 11]


def test_a_hold_stops_every_removal_until_it_is_released(store, tenant):
    due = fill(tenant)
    policy = tenant.upkeep.retention.hold("queries", reason="case 17", by="U1")
    assert (policy.hold.reason, policy.hold.held_by) == ("case 17", "U1")
    run = tenant.upkeep.run()
    assert told(run) == {name: rows for name, rows in due.items() if name != "queries"}
    assert [(one.data_class, one.rows) for one in run.removals if one.held] == [("queries", 1)]
    store.tenants.soft_delete(tenant.key)
    with pytest.raises(errors.UnderLegalHold):
        store.tenants.purge(tenant.key)
    store.tenants.restore(tenant.key)
    assert len(tenant.queries.history()) == 3
    assert tenant.upkeep.retention.release("queries", by="U1") is True
    assert tenant.upkeep.retention.release("queries") is False
    assert told(tenant.upkeep.run()) == {"queries": 1}
    store.tenants.soft_delete(tenant.key)
    assert store.tenants.purge(tenant.key) > 0


def test_a_hold_that_comes_during_a_run_is_kept_from_then_on(tenant, monkeypatch):
    monkeypatch.setattr(running, "BATCH", 2)
    fill(tenant, messages=9)
    tenant.upkeep.retention.set("messages", keep=timedelta(days=30))
    real, calls = running._REMOVE.fn, []

    def held_after_the_first(tx: Any, data_class: str, **given: Any) -> Any:
        if data_class == "messages":
            calls.append(1)
            if len(calls) == 2:
                from undercroft.upkeep.retention import ops

                ops.hold(tx, "messages", reason="now")
        return real(tx, data_class, **given)

    monkeypatch.setattr(running, "_REMOVE", operation(held_after_the_first))
    assert told(tenant.upkeep.run())["messages"] == 2
    assert len(list(tenant.archive.messages("C1"))) == 7


def test_the_cache_under_hold_is_not_cleaned_by_name_either(tenant):
    fill(tenant)
    tenant.upkeep.retention.hold("cache", reason="case 17")
    assert tenant.upkeep.cleanup_expired_cache() == 0
    tenant.upkeep.retention.release("cache")
    assert tenant.upkeep.cleanup_expired_cache() == 1
    assert tenant.upkeep.cleanup_expired_cache() == 0


def test_the_seeds_names_for_all_tenants(store, new_tenant):
    store.upkeep.cleanup_expired_sessions(hours=24)
    store.upkeep.cleanup_expired_cache()
    for tenant in (new_tenant(), new_tenant()):
        fill(tenant)
    assert [store.upkeep.cleanup_expired_sessions(hours=24 * 89.5) for _ in range(2)] == [2, 0]
    assert [store.upkeep.cleanup_expired_cache() for _ in range(2)] == [2, 0]
    assert [tenant.upkeep.cleanup_expired_sessions(hours=24), tenant.upkeep.cleanup_expired_sessions(hours=24)] == [
        1,
        0,
    ]


def test_changes_and_runs_are_in_the_audit_trail(store, tenant):
    tenant.upkeep.retention.set("queries", keep=timedelta(days=10), by="U1")
    tenant.upkeep.retention.reset("queries", by="U1")
    tenant.upkeep.retention.hold("queries", reason="case 17", by="U1")
    tenant.upkeep.retention.release("queries", by="U1")
    due = fill(tenant)
    tenant.upkeep.run(dry_run=True)
    tenant.upkeep.run()
    tenant.upkeep.run()
    trail = [(event.event_type, event.actor) for event in tenant.audit.search(category="retention")]
    assert trail == [
        ("retention.run", None),
        ("retention.release", "U1"),
        ("retention.hold", "U1"),
        ("retention.reset", "U1"),
        ("retention.set", "U1"),
    ]
    assert tenant.audit.search(event_type="retention.run")[0].data["rows"] == due
    store.upkeep.retention.set("cache_days", keep=timedelta(days=500), by="ops")
    store.upkeep.retention.reset("cache_days", by="ops")
    last = store.default.audit.search(category="retention", limit=2)
    assert [(one.event_type, one.actor, one.data["of"]) for one in last] == [
        ("retention.reset", "ops", "fleet"),
        ("retention.set", "ops", "fleet"),
    ]


def test_policies_and_runs_are_in_the_statistics(store, tenant):
    assert (tenant.stats().last_run, len(tenant.stats().retention)) == (None, len(classes.CLASSES))
    due = fill(tenant)
    store.upkeep.run()
    mine, fleet = tenant.stats(), store.stats()
    assert mine.last_run.removed == sum(due.values())
    assert mine.last_run.started_at == fleet.last_run.started_at <= mine.last_run.finished_at
    assert fleet.last_run.finished_at >= mine.last_run.finished_at
    assert fleet.last_run.removed >= mine.last_run.removed


def test_nothing_of_a_tenant_can_be_set_for_all(store, tenant, engine):
    """The fleet's policies are everybody's to read and nobody's to write."""
    store.upkeep.retention.set("cache_days", keep=timedelta(days=500))
    changing = "UPDATE undercroft.retention_policies SET keep_seconds = 3600"
    tenant.db.execute(changing if engine != "sqlite" else changing.replace("undercroft.", ""))
    assert {one.data_class: one.keep for one in store.upkeep.retention.list()}["cache_days"] == timedelta(days=500)
    store.upkeep.retention.reset("cache_days")


WRONG: list[Callable[[Any, Any], Any]] = [
    lambda store, tenant: tenant.upkeep.retention.set("nothing", keep=None),
    lambda store, tenant: tenant.upkeep.retention.set("queries", keep=timedelta(minutes=1)),
    lambda store, tenant: tenant.upkeep.retention.set("queries", keep=timedelta(days=40_000)),
    lambda store, tenant: tenant.upkeep.retention.set("cache", keep=timedelta(seconds=-1)),
    lambda store, tenant: tenant.upkeep.retention.set("audit", keep=timedelta(days=800)),
    lambda store, tenant: tenant.upkeep.retention.reset("nothing"),
    lambda store, tenant: tenant.upkeep.retention.hold("nothing", reason="r"),
    lambda store, tenant: tenant.upkeep.retention.hold("queries", reason=" "),
    lambda store, tenant: tenant.upkeep.retention.release("nothing"),
    lambda store, tenant: store.upkeep.retention.set("nothing", keep=None),
    lambda store, tenant: store.upkeep.retention.set("audit", keep=timedelta(days=800)),
    lambda store, tenant: store.upkeep.cleanup_expired_sessions(hours=0),
    lambda store, tenant: store.upkeep.scheduler(every=timedelta(0)).__enter__(),
]


def test_wrong_calls_are_refused_and_change_nothing(store, tenant):
    before = tenant.upkeep.retention.list(), store.upkeep.retention.list()
    for wrong in WRONG:
        with pytest.raises(errors.InvalidInput):
            wrong(store, tenant)
    assert (tenant.upkeep.retention.list(), store.upkeep.retention.list()) == before


def test_every_table_that_grows_has_a_data_class_or_a_reason():
    """A new table must be kept by a policy, or be named here with why it does not grow."""
    parts = {"message_versions", "attachments", "reactions", "reaction_users", "mentions", "query_cache_tables"}
    # As many as there are people, or as somebody has defined.
    bounded = {
        "tenants",
        "users",
        "channels",
        "channel_members",
        "user_mappings",
        "api_rate_limits",
        "secrets",
        "reseal_cursors",
    }
    bounded |= {"business_goals", "goal_progress", "crm_connections", "account_mappings"}
    bounded |= {"configurations", "config_audit"}  # as their class: no policy removes what cannot be rewritten
    bounded |= {"change_versions"}  # one for each topic and tenant
    bounded |= {"meeting_sessions", "meeting_changes"}  # a class without rows: no policy removes them
    bounded |= {"app_settings", "feature_flags", "user_preferences"}
    expiring = {"threads", "thread_messages"}  # each says itself when it expires
    own = {"retention_policies", "legal_holds", "upkeep_runs"}  # one for each data class and tenant
    kept = {rows._model.__tablename__ for one in classes.CLASSES.values() for rows in one.rows}
    tables = {
        mapper.local_table.name
        for mapper in models.Base.registry.mappers
        if mapper.class_.__module__.startswith("undercroft.")
    }
    trail = {"audit_events", "audit_links", "audit_pending", "audit_archives"}  # archived by its own slice
    assert tables - kept - parts - bounded - expiring - own == trail


# -- several processes ------------------------------------------------------------------------------------------------

ONE_OF_EACH = pytest.mark.parametrize(
    ("engine", "colour"), [("sqlite", "sync"), ("postgresql", "sync")], ids=["sqlite", "postgresql"], indirect=True
)
RUN = """
import sys
from undercroft import Settings, Store
from undercroft.upkeep.retention import running
running.BATCH = 10
with Store(settings=Settings.load(sys.argv[1], env_file=None)) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    print(store.tenant(sys.argv[2]).upkeep.run().rows, flush=True)
"""


@pytest.fixture
def process(database_url: str, tenant: Any) -> Callable[[], subprocess.Popen[str]]:
    """Starts a process that runs upkeep over the tenant in batches of ten, once it is told to."""

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", RUN, database_url, tenant.key]
        made = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert made.stdout
        assert made.stdout.readline() == "ready\n"
        return made

    return start


def _many(tenant: Any, number: int) -> None:
    with tenant.session() as rows:
        rows.add_all(
            models.QueryRun(
                tenant_id=tenant.id, id=ids.new(ago(days=500)), question="?", status="success", started_at=NOW
            )
            for _ in range(number)
        )
    fill(tenant)


@ONE_OF_EACH
def test_two_processes_at_once_remove_each_row_once(tenant, process, everything):
    _many(tenant, 60)
    before, due = everything(tenant), tenant.upkeep.run(dry_run=True).rows
    running = [process() for _ in range(2)]
    for one in running:
        one.stdin.write("go\n")
        one.stdin.flush()
    removed = [int(one.communicate(timeout=60)[0]) for one in running]
    assert sum(removed) == due == 67
    assert sum(lost(before, everything(tenant)).values()) == due + 1  # the table that a cached result reads
    assert tenant.upkeep.run().rows == 0


@ONE_OF_EACH
def test_a_run_that_is_killed_is_gone_on_with(tenant, process, everything):
    _many(tenant, 150)
    before, due = everything(tenant), tenant.upkeep.run(dry_run=True).rows
    killed = process()
    killed.stdin.write("go\n")
    killed.stdin.flush()
    deadline = time.monotonic() + 30
    while tenant.upkeep.run(dry_run=True).rows == due and time.monotonic() < deadline:
        time.sleep(0.005)
    killed.kill()
    killed.communicate()
    left = tenant.upkeep.run(dry_run=True).rows
    assert 0 < left < due
    assert tenant.stats().last_run.finished_at is None
    assert tenant.audit.search(event_type="retention.run")[0].data["rows"]["queries"] == 151
    assert tenant.upkeep.run().rows == left
    assert sum(lost(before, everything(tenant)).values()) == due + 1
    assert tenant.stats().last_run.finished_at is not None


CONTENT = {"transcript": "we said", "summary": "in short", "action_items": [{"do": "call"}], "crm_result": {"id": "n1"}}


def meetings(tenant: Any) -> dict[str, Any]:
    """A meeting in each state, long ago, and a pushed one of today; all with content."""
    states = ("received", "transcribed", "summarised", "failed", "pushed", "cancelled")
    made = {}
    with tenant.session() as rows:
        for name, state, moved in [*((one, one, ago(days=400)) for one in states), ("today", "pushed", ago(days=1))]:
            made[name] = ids.new(moved)
            rows.add(
                models.MeetingSession(
                    tenant_id=tenant.id,
                    id=made[name],
                    source="fathom",
                    native_id=name,
                    title=name,
                    state=state,
                    version=1,
                    attempts=1,
                    failed_from="summarised" if state == "failed" else None,
                    crm_external_id="n1" if state == "pushed" else None,
                    created_at=moved,
                    updated_at=moved,
                    **CONTENT,
                )
            )
    return made


def test_an_ended_meeting_loses_what_was_said_and_stays_pushed_once(tenant):
    made = meetings(tenant)
    before = {name: tenant.meetings.get(one) for name, one in made.items()}
    assert told(tenant.upkeep.run(dry_run=True)) == {"meeting_content": 2}
    assert {name: tenant.meetings.get(one) for name, one in made.items()} == before
    assert told(tenant.upkeep.run()) == {"meeting_content": 2}
    for name, one in made.items():
        found = tenant.meetings.get(one)
        if name in {"pushed", "cancelled"}:
            assert found == replace(before[name], **dict.fromkeys(CONTENT))
        else:
            assert found == before[name]
    assert told(tenant.upkeep.run()) == {}
    again = tenant.meetings.start("pushed", source="fathom", transcript="we said")
    assert (again.id, again.state, again.crm_external_id) == (made["pushed"], "pushed", "n1")
    with pytest.raises(errors.IllegalTransition), tenant.meetings.pushing(again.id):
        raise AssertionError
    with pytest.raises(errors.InvalidInput):
        tenant.upkeep.retention.set("meetings", keep=timedelta(days=30))


def test_a_hold_keeps_what_was_said(tenant):
    made = meetings(tenant)
    tenant.upkeep.retention.hold("meeting_content", reason="case 17")
    assert told(tenant.upkeep.run()) == {}
    assert tenant.meetings.get(made["pushed"]).transcript == "we said"


def test_control_by_age_alone_a_meeting_that_is_under_way_would_lose_it(tenant, monkeypatch):
    from undercroft.upkeep.retention import removal
    from undercroft.upkeep.retention.aging import Emptied

    row = models.MeetingSession
    columns = [getattr(row, name) for name in CONTENT]
    careless = Emptied(row, lambda moment: row.updated_at <= moment, order=row.updated_at, columns=columns)
    monkeypatch.setitem(
        removal.CLASSES, "meeting_content", replace(classes.CLASSES["meeting_content"], rows=(careless,))
    )
    made = meetings(tenant)
    tenant.upkeep.run()
    assert tenant.meetings.get(made["received"]).transcript is None
