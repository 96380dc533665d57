"""No call's number of statements depends on how much there is: N+1 would show here.

Every declared call stands in CALLS, or the last test fails. A call is counted in a tenant that holds little and in one
that holds much, asked for as much as there is.
"""

import logging
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from undercroft import Settings, Store, TenantScope
from undercroft.archive import (
    AttachmentRecord,
    ChannelRecord,
    MentionRecord,
    MessageRecord,
    ReactionRecord,
    UserRecord,
)
from undercroft.core.clock import from_slack_ts, utc_now
from undercroft.core.operation import Slice, gathered, operation, procedure, resource, stream
from undercroft.core.runtime.base import Blocking
from undercroft.importers.quarantine import Quarantined

LITTLE, MUCH = 3, 60

Call = Callable[[Store, TenantScope[Blocking], int], Any]

CALLS: dict[str, tuple[int, Call]] = {
    # the most statements it may take, those that make what it is about included, and the call
    "store.health": (6, lambda store, tenant, n: store.health()),
    "store.info": (4, lambda store, tenant, n: store.info()),
    "store.stats": (4, lambda store, tenant, n: store.stats()),
    "tenant.stats": (1, lambda store, tenant, n: tenant.stats()),
    "tenants.ensure": (3, lambda store, tenant, n: store.tenants.ensure(tenant.key, name=uuid4().hex)),
    "tenants.get": (1, lambda store, tenant, n: store.tenants.get(tenant.key)),
    "tenants.list": (1, lambda store, tenant, n: store.tenants.list(limit=n)),
    "tenants.update": (2, lambda store, tenant, n: store.tenants.update(tenant.key, name=uuid4().hex)),
    "tenants.soft_delete": (5, lambda store, tenant, n: store.tenants.soft_delete(_made(store))),
    "tenants.restore": (7, lambda store, tenant, n: store.tenants.restore(_deleted(store))),
    "tenants.purge": (60, lambda store, tenant, n: store.tenants.purge(_deleted(store))),
    "users.ensure": (3, lambda store, tenant, n: tenant.users.ensure("U0", name=uuid4().hex)),
    "users.get": (1, lambda store, tenant, n: tenant.users.get("U0")),
    "users.list": (1, lambda store, tenant, n: len(tenant.users.list(limit=n)) == n or pytest.fail("too few")),
    "users.set_role": (5, lambda store, tenant, n: tenant.users.set_role("U1", "admin", by="U0")),
    "users.require": (2, lambda store, tenant, n: tenant.users.require("U0", "viewer")),
    "audit.log": (1, lambda store, tenant, n: tenant.audit.log("a.b")),
    "audit.recent": (1, lambda store, tenant, n: len(tenant.audit.recent(limit=n)) == n or pytest.fail("too few")),
    "audit.search": (1, lambda store, tenant, n: tenant.audit.search(category="seed", limit=n)),
    "audit.failures": (1, lambda store, tenant, n: tenant.audit.failures(limit=n)),
    "archive.save_users": (4, lambda store, tenant, n: tenant.archive.save_users(_users(n))),
    "archive.save_channels": (8, lambda store, tenant, n: tenant.archive.save_channels(_channels(n))),
    "archive.save_messages": (
        26,
        lambda store, tenant, n: tenant.archive.save_messages(_messages(n, uuid4().hex, channel="C1")),
    ),
    "archive.edit": (20, lambda store, tenant, n: tenant.archive.edit("C0", TS, text=uuid4().hex)),
    "archive.delete": (20, lambda store, tenant, n: tenant.archive.delete("C0", f"{1700000000 + n}.000100")),
    "archive.react": (12, lambda store, tenant, n: tenant.archive.react("C0", TS, emoji="tada", user=uuid4().hex)),
    "archive.get": (6, lambda store, tenant, n: tenant.archive.get("C0", TS)),
    "archive.messages": (
        6,
        lambda store, tenant, n: len(list(tenant.archive.messages("C0"))) >= n or pytest.fail("few"),
    ),
    "archive.thread": (6, lambda store, tenant, n: len(tenant.archive.thread("C0", TS)) >= n or pytest.fail("few")),
    "archive.history": (1, lambda store, tenant, n: tenant.archive.history("C0", TS)),
    "archive.channels": (2, lambda store, tenant, n: len(tenant.archive.channels()) >= n or pytest.fail("few")),
    "archive.last_messages": (1, lambda store, tenant, n: tenant.archive.last_messages()),
    "archive.search": (
        4,
        lambda store, tenant, n: len(tenant.archive.search("hello", limit=n)) == n or pytest.fail("few"),
    ),
    "archive.daily": (1, lambda store, tenant, n: tenant.archive.daily()),
    "archive.hourly": (2, lambda store, tenant, n: tenant.archive.hourly()),
    "archive.activity": (1, lambda store, tenant, n: tenant.archive.activity()),
    "archive.quarantine": (2, lambda store, tenant, n: tenant.archive.quarantine(_refused(n), source="test")),
    "archive.quarantined": (1, lambda store, tenant, n: tenant.archive.quarantined(limit=n)),
    "users.map_database": (6, lambda store, tenant, n: _map(tenant)),
    "users.unmap_database": (8, lambda store, tenant, n: _map(tenant) and tenant.users.unmap_database("U0")),
    "users.database_mapping": (7, lambda store, tenant, n: _map(tenant) and tenant.users.database_mapping("U0")),
    "users.authorize_query": (
        8,
        lambda store, tenant, n: _map(tenant) and tenant.users.authorize_query("U0", database="A"),
    ),
    "sessions.start": (1, lambda store, tenant, n: tenant.sessions.start("U0")),
    "sessions.active": (1, lambda store, tenant, n: tenant.sessions.active("U0")),
    "sessions.get": (2, lambda store, tenant, n: tenant.sessions.get(tenant.sessions.start("U0").id)),
    "sessions.touch": (2, lambda store, tenant, n: tenant.sessions.touch(tenant.sessions.start("U0").id)),
    "sessions.save": (3, lambda store, tenant, n: tenant.sessions.save(tenant.sessions.start("U0").id)),
    "sessions.end": (2, lambda store, tenant, n: tenant.sessions.end(tenant.sessions.start("U0").id)),
    "sessions.list": (1, lambda store, tenant, n: len(tenant.sessions.list(limit=n)) == n or pytest.fail("few")),
    "sessions.cleanup": (1, lambda store, tenant, n: tenant.sessions.cleanup()),
    "queries.record": (2, lambda store, tenant, n: _record(tenant)),
    "queries.log": (1, lambda store, tenant, n: tenant.queries.log("Sales?")),
    "queries.get": (2, lambda store, tenant, n: tenant.queries.get(tenant.queries.log("Sales?").id)),
    "queries.update": (3, lambda store, tenant, n: tenant.queries.update(tenant.queries.log("Sales?").id, row_count=n)),
    "queries.history": (1, lambda store, tenant, n: len(tenant.queries.history(limit=n)) == n or pytest.fail("few")),
    "queries.approve": (3, lambda store, tenant, n: tenant.queries.approve(tenant.queries.log("Sales?").id, by="U0")),
    "queries.abandon": (1, lambda store, tenant, n: tenant.queries.abandon()),
    "queries.performance": (1, lambda store, tenant, n: tenant.queries.performance()),
    "queries.activity": (1, lambda store, tenant, n: tenant.queries.activity()),
    "results.get": (1, lambda store, tenant, n: tenant.results.get(f"SELECT '{uuid4()}'", **WAREHOUSE)),
    "results.put": (7, lambda store, tenant, n: tenant.results.put(f"SELECT '{uuid4()}' FROM t", 1, **WAREHOUSE)),
    "results.get_or_run": (
        10,
        lambda store, tenant, n: tenant.results.get_or_run(f"SELECT '{uuid4()}' FROM t", lambda: n, **WAREHOUSE),
    ),
    "results.invalidate": (4, lambda store, tenant, n: tenant.results.invalidate(table="seed")),
    "results.cleanup": (3, lambda store, tenant, n: tenant.results.cleanup()),
    "results.stats": (2, lambda store, tenant, n: tenant.results.stats().entries or pytest.fail("few")),
    "results.efficiency": (1, lambda store, tenant, n: tenant.results.efficiency()),
}
WAREHOUSE: Any = {"database": "A", "rights": "r"}
# Their statements are the caller's, or as many as there are tables and indexes.
UNCOUNTED = {"db", "upkeep"}
EXAMINES_EVERY_TABLE = {"store.doctor"}
OWN = {"BEGIN", "COMMIT", "ROLLBACK"}


@pytest.fixture(scope="module")
def workplaces(shared_database: Callable[[str], str], tmp_path_factory: Any):
    """A store for each engine with a tenant that holds little and one that holds much, filled when first asked for."""
    made: dict[str, tuple[Store, list[tuple[TenantScope[Blocking], int]]]] = {}

    def workplace(engine: str) -> tuple[Store, list[tuple[TenantScope[Blocking], int]]]:
        if engine not in made:
            file = tmp_path_factory.mktemp("counts") / "counts.db"
            url = f"sqlite:///{file}" if engine == "sqlite" else shared_database(engine)
            store = Store(settings=Settings.load(url, echo_sql=True))
            made[engine] = store, [(_filled(store, n), n) for n in (LITTLE, MUCH)]
        return made[engine]

    yield workplace
    for store, _ in made.values():
        store.close()


@pytest.mark.parametrize("name", CALLS)
def test_statements_do_not_grow_with_the_data(workplaces, engine, caplog, name):
    most, call = CALLS[name]
    store, filled = workplaces(engine)
    few, many = (_statements(store, caplog, call, tenant, n) for tenant, n in filled)
    assert len(few) == len(many), "\n".join(many)
    assert len(many) <= most, "\n".join(many)


def test_the_count_sees_a_query_in_a_loop(workplaces, engine, caplog):
    """The control: a call that looks up one user after another is caught."""

    def one_by_one(store: Store, tenant: TenantScope[Blocking], n: int) -> None:
        for user in tenant.users.list(limit=n):
            tenant.users.get(user.native_id)

    store, filled = workplaces(engine)
    few, many = (_statements(store, caplog, one_by_one, tenant, n) for tenant, n in filled)
    assert len(many) > len(few)


def test_every_call_is_counted(tmp_path):
    counted = Store(f"sqlite:///{tmp_path / 'any.db'}")
    tenant = counted.default
    declared = {f"store.{name}" for name in _declared(counted)} | {f"tenant.{name}" for name in _declared(tenant)}
    for scope in (counted, tenant):
        for noun, value in vars(scope).items():
            if isinstance(value, Slice) and not noun.startswith("_") and noun not in UNCOUNTED:
                declared |= {f"{noun}.{name}" for name in _declared(value)}
    assert declared - EXAMINES_EVERY_TABLE == set(CALLS)


def _declared(thing: Slice[Any]) -> set[str]:
    kinds = (operation, procedure, resource, stream, gathered)
    return {name for kind in type(thing).__mro__ for name, value in vars(kind).items() if isinstance(value, kinds)}


def _statements(store: Store, caplog: Any, call: Call, tenant: TenantScope[Blocking], n: int) -> list[str]:
    call(store, tenant, n)  # what is prepared once is not counted
    with caplog.at_level(logging.INFO, "undercroft.sql"):
        caplog.clear()
        call(store, tenant, n)
        texts = [record.statement for record in caplog.records if record.name == "undercroft.sql"]
    return [text for text in texts if text.split(";")[0].split()[0] not in OWN and "main.tenants WHERE" not in text]


def _filled(store: Store, n: int) -> TenantScope[Blocking]:
    tenant = store.tenant(_made(store))
    with tenant.transaction() as tx:
        for number in range(n):
            tx.users.ensure(f"U{number}", role="owner" if number == 0 else "member")
            tx.audit.log("seed.step", status="failure")
        tx.archive.save_channels(_channels(n))
        tx.archive.save_messages(_messages(n + 2, "hello"))  # one to be deleted, one to be edited
        tx.archive.quarantine(_refused(n), source="seed")
        for number in range(n):
            tx.sessions.start(f"U{number}")
            tx.queries.log("Sales?", user=f"U{number}", sql="SELECT 1", database="A", execution_time_ms=number)
            tx.results.put(f"SELECT {number} FROM kept", number, **WAREHOUSE)
    return tenant


def _map(tenant: TenantScope[Blocking]) -> bool:
    tenant.users.map_database("U0", database_user="ada", allowed_databases=["A"])
    return True


def _record(tenant: TenantScope[Blocking]) -> None:
    with tenant.queries.record("Sales?"):
        pass


TS = "1700000000.000100"


def _users(n: int) -> list[UserRecord]:
    return [UserRecord(native_id=f"W{number}", name=uuid4().hex) for number in range(n)]


def _channels(n: int) -> list[ChannelRecord]:
    members = tuple(f"U{number}" for number in range(n))
    return [
        ChannelRecord(native_id=f"C{number}", name=uuid4().hex, kind="public", members=members) for number in range(n)
    ]


def _messages(n: int, word: str, channel: str = "C0") -> list[MessageRecord]:
    """One thread of n messages, each edited just now, with reactions, a file and a mention."""
    return [
        MessageRecord(
            channel=channel,
            native_id=f"{1700000000 + number}.000100",
            author=f"U{number}",
            text=f"{word} {number}",
            sent_at=from_slack_ts(f"{1700000000 + number}.000100"),
            edited_at=utc_now(),
            thread=TS,
            reactions=(ReactionRecord(emoji="tada", count=2, users=("U0", "U1")),),
            attachments=(AttachmentRecord(native_id=f"F{number}", kind="file", name="a.txt"),),
            mentions=(MentionRecord(kind="user", native_id="U0"),),
        )
        for number in range(n)
    ]


def _refused(n: int) -> list[Quarantined]:
    return [Quarantined(f"general/{uuid4().hex}.json", number, "no ts", "{}") for number in range(n)]


def _made(store: Store) -> str:
    key = f"slack:T{uuid4().hex}"
    store.tenants.ensure(key)
    return key


def _deleted(store: Store) -> str:
    key = _made(store)
    store.tenants.soft_delete(key)
    return key
