"""No call's number of statements depends on how much there is: N+1 would show here.

Every declared call stands in CALLS, or the last test fails. A call is counted in a tenant that holds little and in one
that holds much, asked for as much as there is.
"""

import logging
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.live import listening
from tests.nouns import nouns
from undercroft import Settings, Store, TenantScope
from undercroft.archive import (
    AttachmentRecord,
    ChannelRecord,
    MentionRecord,
    MessageRecord,
    ReactionRecord,
    UserRecord,
)
from undercroft.audit import generate_audit_key
from undercroft.config import Config
from undercroft.core.clock import from_slack_ts, utc_now
from undercroft.core.live import feed, remembered
from undercroft.core.operation import Slice, gathered, operation, procedure, resource, stream
from undercroft.core.runtime.base import Blocking
from undercroft.importers.quarantine import Quarantined
from undercroft.metrics import NewMeasurement
from undercroft.threads import NewMessage

LITTLE, MUCH = 3, 60

Call = Callable[[Store, TenantScope[Blocking], int], Any]

CALLS: dict[str, tuple[int, Call]] = {
    # the most statements it may take, those that make what it is about included, and the call
    "store.health": (6, lambda store, tenant, n: store.health()),
    "store.health with a row": (9, lambda store, tenant, n: store.health(deep=True)),
    "store.info": (4, lambda store, tenant, n: store.info()),
    "store.stats": (6, lambda store, tenant, n: store.stats()),
    "tenant.stats": (4, lambda store, tenant, n: tenant.stats()),
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
    "users.set_role": (8, lambda store, tenant, n: tenant.users.set_role("U1", "admin", by="U0")),
    "users.require": (2, lambda store, tenant, n: tenant.users.require("U0", "viewer")),
    "audit.log": (3, lambda store, tenant, n: tenant.audit.log("a.b")),
    "audit.recent": (1, lambda store, tenant, n: len(tenant.audit.recent(limit=n)) == n or pytest.fail("too few")),
    "audit.search": (1, lambda store, tenant, n: tenant.audit.search(category="seed", limit=n)),
    "audit.failures": (1, lambda store, tenant, n: tenant.audit.failures(limit=n)),
    "audit.verify": (8, lambda store, tenant, n: tenant.audit.verify().verified >= n or pytest.fail("too few")),
    "audit.seal": (1, lambda store, tenant, n: tenant.audit.seal()),
    "audit.checkpoint": (3, lambda store, tenant, n: tenant.audit.checkpoint()),
    "audit.export": (7, lambda store, tenant, n: tenant.audit.export(_new_file()).events >= n or pytest.fail("few")),
    "audit.archive": (12, lambda store, tenant, n: tenant.audit.archive("/nowhere")),
    "archive.save_users": (4, lambda store, tenant, n: tenant.archive.save_users(_users(n))),
    "archive.save_channels": (8, lambda store, tenant, n: tenant.archive.save_channels(_channels(n))),
    "archive.save_messages": (
        26,
        lambda store, tenant, n: tenant.archive.save_messages(_messages(n, uuid4().hex, channel="C1")),
    ),
    "archive.prepare": (3, lambda store, tenant, n: tenant.archive.prepare(YEAR_AGO, YEAR_AGO)),
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
    "users.unmap_database": (12, lambda store, tenant, n: _map(tenant) and tenant.users.unmap_database("U0")),
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
    "limits.define": (2, lambda store, tenant, n: tenant.limits.define("seed", 10**9, per="day", each="user")),
    "limits.list": (1, lambda store, tenant, n: len(tenant.limits.list()) >= n or pytest.fail("few")),
    "limits.remove": (5, lambda store, tenant, n: tenant.limits.define("gone", 1, per="day") and _removed(tenant)),
    "limits.consume": (1, lambda store, tenant, n: tenant.limits.consume("seed", by="U0")),
    "limits.try_consume": (1, lambda store, tenant, n: tenant.limits.try_consume("seed", by="U0")),
    "limits.consume_all": (2, lambda store, tenant, n: tenant.limits.consume_all({"seed": 1, "limit 1": 1}, by="U0")),
    "limits.check": (1, lambda store, tenant, n: tenant.limits.check("seed", by="U0")),
    "limits.refund": (2, lambda store, tenant, n: tenant.limits.refund("seed", by="U0")),
    "limits.usage": (1, lambda store, tenant, n: len(tenant.limits.usage(limit=n)) == n or pytest.fail("few")),
    "limits.reset": (1, lambda store, tenant, n: tenant.limits.reset("seed", by="nobody")),
    "limits.cleanup": (1, lambda store, tenant, n: tenant.limits.cleanup()),
    "threads.append": (3, lambda store, tenant, n: tenant.threads.append("C0:0", role="user", content="hi")),
    "threads.turn": (3, lambda store, tenant, n: tenant.threads.turn("C0:0", role="user", content="hi")),
    "threads.messages": (
        1,
        lambda store, tenant, n: len(tenant.threads.messages("C0:0", last=n)) == n or pytest.fail("few"),
    ),
    "threads.get": (1, lambda store, tenant, n: tenant.threads.get("C0:0")),
    "threads.list": (1, lambda store, tenant, n: len(tenant.threads.list(limit=n)) == n or pytest.fail("few")),
    "threads.describe": (1, lambda store, tenant, n: tenant.threads.describe("C0:1", title=uuid4().hex)),
    "threads.save": (4, lambda store, tenant, n: tenant.threads.save("C0:2", [NewMessage("user", "hi")] * n)),
    "threads.fork": (3, lambda store, tenant, n: tenant.threads.fork("C0:0", uuid4().hex)),
    "threads.delete": (6, lambda store, tenant, n: tenant.threads.delete(tenant.threads.fork("C0:0", uuid4().hex).key)),
    "threads.cleanup": (4, lambda store, tenant, n: tenant.threads.cleanup()),
    "metrics.log": (1, lambda store, tenant, n: tenant.metrics.log("speed", n)),
    "metrics.log_many": (1, lambda store, tenant, n: tenant.metrics.log_many([NewMeasurement("speed", 1)] * n)),
    "metrics.query": (1, lambda store, tenant, n: len(tenant.metrics.query(limit=n)) == n or pytest.fail("few")),
    "metrics.summary": (1, lambda store, tenant, n: tenant.metrics.summary("speed").total or pytest.fail("none")),
    "metrics.list": (1, lambda store, tenant, n: tenant.metrics.list() or pytest.fail("none")),
    "metrics.roll_up": (6, lambda store, tenant, n: tenant.metrics.log("speed", n) and tenant.metrics.roll_up()),
    "metrics.cleanup": (3, lambda store, tenant, n: tenant.metrics.cleanup()),
    "goals.save": (3, lambda store, tenant, n: tenant.goals.save("g0", title=uuid4().hex)),
    "goals.get": (1, lambda store, tenant, n: tenant.goals.get("g0")),
    "goals.list": (1, lambda store, tenant, n: len(tenant.goals.list(limit=n)) == n or pytest.fail("few")),
    "goals.progress": (1, lambda store, tenant, n: tenant.goals.progress("g0")),
    "goals.delete": (5, lambda store, tenant, n: tenant.goals.save("g", title="t") and tenant.goals.delete("g")),
    "queries.record": (2, lambda store, tenant, n: _record(tenant)),
    "queries.log": (1, lambda store, tenant, n: tenant.queries.log("Sales?")),
    "queries.get": (2, lambda store, tenant, n: tenant.queries.get(tenant.queries.log("Sales?").id)),
    "queries.update": (3, lambda store, tenant, n: tenant.queries.update(tenant.queries.log("Sales?").id, row_count=n)),
    "queries.history": (1, lambda store, tenant, n: len(tenant.queries.history(limit=n)) == n or pytest.fail("few")),
    "queries.approve": (7, lambda store, tenant, n: tenant.queries.approve(tenant.queries.log("Sales?").id, by="U0")),
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
    "crm.connect": (8, lambda store, tenant, n: _connect(tenant)),
    "crm.default": (1, lambda store, tenant, n: tenant.crm.default()),
    "crm.list": (1, lambda store, tenant, n: len(tenant.crm.list()) == n or pytest.fail("few")),
    "crm.set_default": (9, lambda store, tenant, n: tenant.crm.set_default(tenant.crm.list()[0].id)),
    "crm.disconnect": (15, lambda store, tenant, n: tenant.crm.disconnect(_connect(tenant, "again"))),
    "crm.credentials": (1, lambda store, tenant, n: tenant.crm.credentials(resolve=str.upper)),
    "crm.map_account": (8, lambda store, tenant, n: tenant.crm.map_account("new.example", "A", by="U0")),
    "crm.unmap_account": (14, lambda store, tenant, n: _mapped(tenant) and tenant.crm.unmap_account("one.example")),
    "crm.find_account": (1, lambda store, tenant, n: tenant.crm.find_account("u@a.b.c.d0.example")),
    "crm.accounts": (1, lambda store, tenant, n: len(tenant.crm.accounts(limit=n)) == n or pytest.fail("few")),
    "meetings.start": (7, lambda store, tenant, n: tenant.meetings.start(uuid4().hex)),
    "meetings.advance": (14, lambda store, tenant, n: tenant.meetings.advance(_met(tenant), "summarised")),
    "meetings.claim": (1, lambda store, tenant, n: tenant.meetings.claim("transcribed")),
    "meetings.pushing": (22, lambda store, tenant, n: _push(tenant)),
    "meetings.fail": (14, lambda store, tenant, n: tenant.meetings.fail(_met(tenant), "no")),
    "meetings.retry": (21, lambda store, tenant, n: tenant.meetings.retry(tenant.meetings.fail(_met(tenant), "").id)),
    "meetings.get": (2, lambda store, tenant, n: tenant.meetings.get(tenant.meetings.list(limit=1)[0].id)),
    "meetings.history": (2, lambda store, tenant, n: tenant.meetings.history(tenant.meetings.list(limit=1)[0].id)),
    "meetings.for_user": (
        1,
        lambda store, tenant, n: len(tenant.meetings.for_user("U0", limit=n)) == n or pytest.fail("few"),
    ),
    "meetings.list": (1, lambda store, tenant, n: len(tenant.meetings.list(limit=n)) == n or pytest.fail("few")),
    "meetings.stats": (1, lambda store, tenant, n: tenant.meetings.stats()),
    "results.efficiency": (1, lambda store, tenant, n: tenant.results.efficiency()),
    "config.get": (1, lambda store, tenant, n: tenant.stale().config.get("seed.0")),
    "config.entry": (1, lambda store, tenant, n: tenant.config.entry("seed.0")),
    "config.set": (9, lambda store, tenant, n: tenant.config.set("seed.0", uuid4().hex)),
    "config.set_many": (
        11,
        lambda store, tenant, n: tenant.config.set_many({f"many.{i}.{uuid4().hex}": i for i in range(n)}),
    ),
    "config.list": (1, lambda store, tenant, n: len(tenant.config.list(limit=n)) == n or pytest.fail("few")),
    "config.by_category": (
        1,
        lambda store, tenant, n: len(tenant.stale().config.by_category("seed")) == n or pytest.fail("few"),
    ),
    "config.history": (
        1,
        lambda store, tenant, n: len(tenant.config.history("versions", limit=n)) == n or pytest.fail("few"),
    ),
    "config.watch": (1, lambda store, tenant, n: tenant._runner.run(tenant._scope, Config.watch, (1, ""))),
    "config.diff": (2, lambda store, tenant, n: tenant.config.diff("versions", 1)),
    "config.rollback": (10, lambda store, tenant, n: tenant.config.rollback("versions", 1)),
    "config.delete": (20, lambda store, tenant, n: _configured(tenant) and tenant.config.delete("gone")),
    "settings.get": (1, lambda store, tenant, n: tenant.stale().settings.get("s0")),
    "settings.set": (9, lambda store, tenant, n: tenant.settings.set("new", uuid4().hex)),
    "settings.list": (1, lambda store, tenant, n: len(tenant.settings.list(limit=n)) == n or pytest.fail("few")),
    "settings.delete": (18, lambda store, tenant, n: tenant.settings.set("x", n) and tenant.settings.delete("x")),
    "settings.flag": (1, lambda store, tenant, n: tenant.stale().settings.flag("f0", user="U0")),
    "settings.set_flag": (8, lambda store, tenant, n: _switched(tenant, uuid4().hex)),
    "settings.flags": (1, lambda store, tenant, n: len(tenant.settings.flags(limit=n)) == n or pytest.fail("few")),
    "settings.delete_flag": (16, lambda store, tenant, n: _switched(tenant, "x") and tenant.settings.delete_flag("x")),
    "preferences.get": (
        1,
        lambda store, tenant, n: tenant.preferences.get(uuid4().hex, "s0") == 0 or pytest.fail("few"),
    ),
    "preferences.set": (2, lambda store, tenant, n: tenant.preferences.set("U1", "new", uuid4().hex)),
    "preferences.list": (
        1,
        lambda store, tenant, n: len(tenant.preferences.list("U0", limit=n)) == n or pytest.fail("few"),
    ),
    "preferences.effective": (
        1,
        lambda store, tenant, n: len(tenant.stale().preferences.effective("U0")) >= n or pytest.fail("few"),
    ),
    "preferences.delete": (4, lambda store, tenant, n: _preferred(tenant) and tenant.preferences.delete("U2", "a")),
    "preferences.clear": (4, lambda store, tenant, n: _preferred(tenant) and tenant.preferences.clear("U2")),
    "secrets.set": (7, lambda store, tenant, n: tenant.secrets.set("token", uuid4().hex)),
    "secrets.get": (8, lambda store, tenant, n: _secret(tenant) and tenant.secrets.get("token")),
    "secrets.list": (1, lambda store, tenant, n: len(tenant.secrets.list(limit=n)) == n or pytest.fail("few")),
    "secrets.delete": (13, lambda store, tenant, n: _secret(tenant) and tenant.secrets.delete("token")),
}
WAREHOUSE: Any = {"database": "A", "rights": "r"}
# Their statements are the caller's, or as many as there are tables, indexes, sealed values.
UNCOUNTED = {"db", "keys", "upkeep"}
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
            key = tmp_path_factory.mktemp("keys") / "audit.pem"
            generate_audit_key(key)
            store = Store(settings=Settings.load(url, echo_sql=True, audit_key_file=str(key)))
            made[engine] = store, [(_filled(store, n), n) for n in (LITTLE, MUCH)]
            listening(store.tenant(_made(store)).config)  # what is remembered takes a statement more when it first is
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
        for noun, value in nouns(scope).items():
            if noun not in UNCOUNTED:
                declared |= {f"{noun}.{name}" for name in _declared(value)}
    assert declared - EXAMINES_EVERY_TABLE == {call.partition(" ")[0] for call in CALLS}


def _declared(thing: Slice[Any]) -> set[str]:
    kinds = (operation, procedure, resource, stream, gathered, remembered, feed)
    return {name for kind in type(thing).__mro__ for name, value in vars(kind).items() if isinstance(value, kinds)}


def _statements(store: Store, caplog: Any, call: Call, tenant: TenantScope[Blocking], n: int) -> list[str]:
    call(store, tenant, n)  # what is prepared once is not counted
    with caplog.at_level(logging.INFO, "undercroft.sql"):
        caplog.clear()
        call(store, tenant, n)
        # Calls alone: what the thread that listens for changes asks comes when it comes.
        records = [record for record in caplog.records if record.threadName != "undercroft-listener"]
        texts = [record.statement for record in records if record.name == "undercroft.sql"]
    return [text for text in texts if text.split(";")[0].split()[0] not in OWN and "main.tenants WHERE" not in text]


def _filled(store: Store, n: int) -> TenantScope[Blocking]:
    tenant = store.tenant(_made(store))
    with tenant.transaction() as tx:
        tx.limits.define("seed", 10**9, per="day", each="user")
        for number in range(n):
            tx.limits.consume("seed", by=f"U{number}")
            tx.users.ensure(f"U{number}", role="owner" if number == 0 else "member")
            tx.audit.log("seed.step", status="failure")
        tx.archive.save_channels(_channels(n))
        tx.archive.save_messages(_messages(n + 2, "hello"))  # one to be deleted, one to be edited
        tx.archive.quarantine(_refused(n), source="seed")
        for number in range(n):
            tx.sessions.start(f"U{number}")
            tx.limits.define(f"limit {number}", 10**9, per="day")
            tx.secrets.set(f"seed {number}", "xoxb")
            tx.config.set(f"seed.{number}", number, category="seed")
            tx.config.set("versions", number)
            tx.settings.set(f"s{number}", number)
            tx.settings.set_flag(f"f{number}", enabled=True, users=[f"U{one}" for one in range(n)])
            tx.preferences.set("U0", f"s{number}", "own")
            tx.metrics.log("speed", number)
            tx.goals.save(f"g{number}", title="Grow")
            tx.threads.append(f"C0:{number}", role="user", content="hi")
            tx.threads.append("C0:0", role="user", content="hi")
            tx.queries.log("Sales?", user=f"U{number}", sql="SELECT 1", database="A", execution_time_ms=number)
            tx.results.put(f"SELECT {number} FROM kept", number, **WAREHOUSE)
            tx.crm.connect("hubspot", credentials="env:KEY", name=f"portal {number}")
            tx.crm.map_account(f"d{number}.example", f"A{number}")
            tx.meetings.start(f"meeting {number}", user="U0")
    return tenant


def _map(tenant: TenantScope[Blocking]) -> bool:
    tenant.users.map_database("U0", database_user="ada", allowed_databases=["A"])
    return True


def _removed(tenant: TenantScope[Blocking]) -> bool:
    return tenant.limits.remove("gone")


def _configured(tenant: TenantScope[Blocking]) -> bool:
    return bool(tenant.config.set("gone", 1))


def _secret(tenant: TenantScope[Blocking]) -> bool:
    return bool(tenant.secrets.set("token", "xoxb"))


def _switched(tenant: TenantScope[Blocking], name: str) -> bool:
    return bool(tenant.settings.set_flag(name, enabled=True))


def _preferred(tenant: TenantScope[Blocking]) -> bool:
    return bool(tenant.preferences.set("U2", "a", 1))


def _connect(tenant: TenantScope[Blocking], name: str = "portal 0") -> UUID:
    return tenant.crm.connect("hubspot", credentials="env:KEY", name=name).id


def _mapped(tenant: TenantScope[Blocking]) -> bool:
    tenant.crm.map_account("one.example", "A")
    return True


def _met(tenant: TenantScope[Blocking]) -> UUID:
    return tenant.meetings.start(uuid4().hex).id


def _push(tenant: TenantScope[Blocking]) -> None:
    with tenant.meetings.pushing(tenant.meetings.advance(_met(tenant), "summarised").id):
        pass


def _record(tenant: TenantScope[Blocking]) -> None:
    with tenant.queries.record("Sales?"):
        pass


TS = "1700000000.000100"
YEAR_AGO = datetime.now(UTC) - timedelta(days=365)


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


def _new_file() -> str:
    return f"{tempfile.mkdtemp()}/audit.jsonl"


def _made(store: Store) -> str:
    key = f"slack:T{uuid4().hex}"
    store.tenants.ensure(key)
    return key


def _deleted(store: Store) -> str:
    key = _made(store)
    store.tenants.soft_delete(key)
    return key
