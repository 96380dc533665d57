"""No documented query reads a large table from end to end, and none reads more than its answer needs.

PostgreSQL tells by itself what it ran (auto_explain): every statement of a call with its plan, those inside our own
functions as well, under the application's login inside a tenant. Each call is planned for its own values and as a
prepared statement's plan that fits any. SQLite is asked by EXPLAIN QUERY PLAN for each statement that a call logs.
"""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg
import pytest

from tests import databases, servers
from tests.migrations import crowd
from tests.nouns import nouns
from undercroft import Settings, Store, TenantScope
from undercroft.config import Config
from undercroft.core.dialects.sqlite import connect
from undercroft.core.live import feed, remembered
from undercroft.core.operation import Slice, operation, stream
from undercroft.core.runtime.base import Blocking

MESSAGES, MANY, IN_FILE = 50_000, 1_000_000, 20_000
PAGES = 20
"""A table or partition of fewer is read at once, and should be."""

MIDDLE = crowd.BEGAN + crowd.LASTED / 2
WEEK = {"since": MIDDLE, "until": MIDDLE + timedelta(days=7)}
YEARS = 24 * 365 * 20
WHOLE = None  # what is asked for is the whole tenant, or the whole directory of tenants

Call = Callable[[Store, TenantScope[Blocking]], Any]

# A page of 50 is read from each year's partition where the planner sorts what an index found in it.
CALLS: dict[str, tuple[float | None, Call]] = {
    # What was called, and with what; how many rows it may read at most, below 1 as a share of the tenant's messages (a
    # channel has a tenth of them, a week a hundredth); the call.
    "archive.get": (60, lambda store, ours: ours.archive.get("C1", crowd.ROOT)),
    "archive.messages": (4_000, lambda store, ours: next(ours.archive.messages("C1"))),
    "archive.messages of a period": (4_000, lambda store, ours: next(ours.archive.messages("C1", **WEEK), None)),
    "archive.messages of the timeline": (0.5, lambda store, ours: next(ours.archive.messages("C1", replies=False))),
    "archive.messages of a thread": (
        2_000,
        lambda store, ours: next(ours.archive.messages("C1", thread=crowd.ROOT)),
    ),
    "archive.thread": (2_000, lambda store, ours: ours.archive.thread("C1", crowd.ROOT)),
    "archive.history": (5, lambda store, ours: ours.archive.history("C1", crowd.ROOT)),
    "archive.channels": (1_000, lambda store, ours: ours.archive.channels()),
    "archive.last_messages": (100, lambda store, ours: ours.archive.last_messages()),
    "archive.search of a rare word": (150, lambda store, ours: ours.archive.search("rare")),
    "archive.search of a rare word, ranked": (150, lambda store, ours: ours.archive.search("rare", order="rank")),
    "archive.search of every message": (250, lambda store, ours: ours.archive.search("every")),
    "archive.search of every message, ranked": (WHOLE, lambda store, ours: ours.archive.search("every", order="rank")),
    **{
        f"archive.search with {name}, {order}": (
            WHOLE,
            lambda store, ours, order=order, filters=filters: ours.archive.search("word7", order=order, **filters),
        )
        for order in ("newest", "rank")
        for name, filters in {
            "author": {"author": "U1"},
            "channel": {"channel": "C1"},
            "period": WEEK,
            "file": {"has": ["file"]},
            "link": {"has": ["link"]},
            "reaction": {"has": ["reaction"]},
            "everything": {"author": "U1", "channel": "C1", "has": ["file", "link", "reaction"], **WEEK},
        }.items()
    },
    "archive.search after a page": (
        250,
        lambda store, ours: ours.archive.search("every", before=ours.archive.search("every", limit=1)[0].id),
    ),
    "archive.daily": (WHOLE, lambda store, ours: ours.archive.daily()),
    "archive.daily of a week": (0.012, lambda store, ours: ours.archive.daily(**WEEK)),
    "archive.daily of a channel": (0.12, lambda store, ours: ours.archive.daily(channel="C1")),
    "archive.hourly": (WHOLE, lambda store, ours: ours.archive.hourly()),
    "archive.hourly of a week": (0.024, lambda store, ours: ours.archive.hourly(**WEEK)),
    "archive.activity": (WHOLE, lambda store, ours: ours.archive.activity()),
    "archive.activity of a week": (0.024, lambda store, ours: ours.archive.activity(**WEEK)),
    "archive.quarantined": (100, lambda store, ours: ours.archive.quarantined()),
    "users.get": (2, lambda store, ours: ours.users.get("U1")),
    "users.list": (100, lambda store, ours: ours.users.list()),
    "users.list by role": (100, lambda store, ours: ours.users.list(role="owner")),
    "users.list by email": (2, lambda store, ours: ours.users.list(email="u3@example.org")),
    "users.list of bots": (100, lambda store, ours: ours.users.list(is_bot=True)),
    "users.database_mapping": (2, lambda store, ours: ours.users.database_mapping("U1")),
    "sessions.active": (2, lambda store, ours: ours.sessions.active("U1", channel="C1")),
    "sessions.get": (4, lambda store, ours: ours.sessions.get(ours.sessions.list(limit=1)[0].id)),
    "sessions.list": (110, lambda store, ours: ours.sessions.list()),
    "sessions.list of a user": (110, lambda store, ours: ours.sessions.list(user="U1")),
    "sessions.list of those that are active": (110, lambda store, ours: ours.sessions.list(active=True)),
    "limits.list": (20, lambda store, ours: ours.limits.list()),
    "limits.check": (4, lambda store, ours: ours.limits.check("limit 1", by="U1")),
    "limits.usage": (110, lambda store, ours: ours.limits.usage()),
    "limits.usage of a limit": (110, lambda store, ours: ours.limits.usage("limit 1")),
    "limits.usage of a user": (10, lambda store, ours: ours.limits.usage(by="U10")),
    "config.get": (2, lambda store, ours: ours.stale().config.get("greeting")),
    "config.get of what is not set": (2, lambda store, ours: ours.stale().config.get("nothing")),
    "config.entry": (2, lambda store, ours: ours.config.entry("greeting")),
    "config.list": (110, lambda store, ours: ours.config.list()),
    "config.list after a page": (110, lambda store, ours: ours.config.list(after="config5")),
    "config.list of a category": (110, lambda store, ours: ours.config.list(category="category7")),
    "config.list by prefix": (WHOLE, lambda store, ours: ours.config.list(prefix="greet")),
    "config.by_category": (110, lambda store, ours: ours.stale().config.by_category("texts")),
    "config.history": (10, lambda store, ours: ours.config.history("greeting")),
    "config.diff": (10, lambda store, ours: ours.config.diff("greeting", 1)),
    "config.watch from now on": (2, lambda store, ours: ours._runner.run(ours._scope, Config.watch, None)),
    "config.watch after a change": (
        110,
        lambda store, ours: ours._runner.run(ours._scope, Config.watch, (1, "config5")),
    ),
    "secrets.get": (2, lambda store, ours: ours.secrets.get("token")),
    "secrets.list": (110, lambda store, ours: ours.secrets.list()),
    "secrets.list after a page": (110, lambda store, ours: ours.secrets.list(after="secret5")),
    "settings.get": (2, lambda store, ours: ours.settings.get("setting7")),
    "settings.list": (110, lambda store, ours: ours.settings.list()),
    "settings.list after a page": (110, lambda store, ours: ours.settings.list(after="setting5")),
    "settings.flag": (2, lambda store, ours: ours.settings.flag("flag7", user="U1")),
    "settings.flags": (110, lambda store, ours: ours.settings.flags()),
    "preferences.get": (3, lambda store, ours: ours.preferences.get("U1", "setting7")),
    "preferences.list": (110, lambda store, ours: ours.preferences.list("U1")),
    "preferences.effective": (WHOLE, lambda store, ours: ours.preferences.effective("U1")),
    "threads.get": (2, lambda store, ours: ours.threads.get("T1")),
    "threads.messages": (60, lambda store, ours: ours.threads.messages("T1")),
    "threads.messages before a position": (60, lambda store, ours: ours.threads.messages("T1", before=100)),
    "threads.messages of a budget": (120, lambda store, ours: ours.threads.messages("T1", max_tokens=200)),
    "threads.list": (110, lambda store, ours: ours.threads.list()),
    "threads.list of an owner": (110, lambda store, ours: ours.threads.list(owner="U1")),
    "threads.list after a page": (220, lambda store, ours: ours.threads.list(before=ours.threads.list()[-1])),
    "metrics.query": (210, lambda store, ours: ours.metrics.query("M1")),
    "metrics.query of a week": (210, lambda store, ours: ours.metrics.query(**WEEK)),
    "metrics.summary": (2_000, lambda store, ours: ours.metrics.summary("M1", **WEEK)),
    "metrics.list": (WHOLE, lambda store, ours: ours.metrics.list(hours=7 * 24)),
    "goals.get": (2, lambda store, ours: ours.goals.get("G1")),
    "goals.list": (110, lambda store, ours: ours.goals.list()),
    "goals.list of an area": (110, lambda store, ours: ours.goals.list(area="A1")),
    "goals.progress": (210, lambda store, ours: ours.goals.progress("G1")),
    "queries.get": (4, lambda store, ours: ours.queries.get(ours.queries.history(limit=1)[0].id)),
    "queries.history": (60, lambda store, ours: ours.queries.history()),
    "queries.history of a user": (210, lambda store, ours: ours.queries.history(user="U1")),
    "queries.history of failures": (60, lambda store, ours: ours.queries.history(status="failed")),
    "queries.history of a database": (210, lambda store, ours: ours.queries.history(database="DB1")),
    "queries.history of one text": (60, lambda store, ours: ours.queries.history(sql="SELECT 1")),
    "queries.history of what is approved": (60, lambda store, ours: ours.queries.history(approved=True)),
    "queries.history of a week": (60, lambda store, ours: ours.queries.history(**WEEK)),
    "queries.performance": (0.012, lambda store, ours: ours.queries.performance(hours=7 * 24)),
    "queries.activity": (WHOLE, lambda store, ours: ours.queries.activity()),
    "crm.default": (3, lambda store, ours: ours.crm.default()),
    "crm.list": (10, lambda store, ours: ours.crm.list()),
    "crm.find_account": (12, lambda store, ours: ours.crm.find_account("ada@eu.d7.example")),
    "crm.accounts": (120, lambda store, ours: ours.crm.accounts()),
    "crm.accounts that are verified": (2100, lambda store, ours: ours.crm.accounts(verified=True)),
    "meetings.get": (4, lambda store, ours: ours.meetings.get(ours.meetings.list(limit=1)[0].id)),
    "meetings.history": (12, lambda store, ours: ours.meetings.history(ours.meetings.list(limit=1)[0].id)),
    "meetings.for_user": (110, lambda store, ours: ours.meetings.for_user("U1")),
    "meetings.for_user in a week": (60, lambda store, ours: ours.meetings.for_user("U1", **WEEK)),
    "meetings.list": (60, lambda store, ours: ours.meetings.list()),
    "meetings.list of what failed": (60, lambda store, ours: ours.meetings.list(state="failed")),
    "meetings.stats": (WHOLE, lambda store, ours: ours.meetings.stats()),
    "audit.recent": (50, lambda store, ours: ours.audit.recent()),
    "audit.failures": (150, lambda store, ours: ours.audit.failures(hours=YEARS)),
    "audit.search": (100, lambda store, ours: ours.audit.search()),
    "audit.search by actor": (100, lambda store, ours: ours.audit.search(by="U1")),
    "audit.search by resource": (
        100,
        lambda store, ours: ours.audit.search(resource_type="config", resource_id="key3"),
    ),
    "audit.search by type": (100, lambda store, ours: ours.audit.search(event_type="seed.step")),
    "audit.search of denials": (WHOLE, lambda store, ours: ours.audit.search(status="denied")),
    "audit.search of a week": (100, lambda store, ours: ours.audit.search(**WEEK)),
    "upkeep.retention.list": (5, lambda store, ours: ours.upkeep.retention.list()),
    "upkeep.run that only counts": (WHOLE, lambda store, ours: ours.upkeep.run(dry_run=True)),
    "audit.search by address": (WHOLE, lambda store, ours: ours.audit.search(ip="192.0.2.7")),
    "tenant.stats": (WHOLE, lambda store, ours: ours.stats()),
    "tenants.get": (1, lambda store, ours: store.tenants.get(crowd.OURS)),
    "tenants.list": (100, lambda store, ours: store.tenants.list()),
    "tenants.list by plan": (WHOLE, lambda store, ours: store.tenants.list(plan_tier="pro")),
    "store.health": (WHOLE, lambda store, ours: store.health()),
    "store.health with a row": (WHOLE, lambda store, ours: store.health(deep=True)),
    "store.info": (WHOLE, lambda store, ours: store.info()),
    "store.stats": (WHOLE, lambda store, ours: store.stats()),
}
DIRECTORY = {"store.stats", "tenants.list by plan"}
"""These ask for the tenants of the fleet, which is one small table."""
COUNTED = {"store.health", "store.health with a row", "store.info", "store.stats"}
"""These count every table's rows on SQLite, which keeps no estimate."""


def test_every_reading_call_is_watched(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path / 'bot.db'}") as store:
        tenant = store.default
        declared = {f"tenant.{name}" for name in _reading(tenant)} | {f"store.{name}" for name in _reading(store)}
        for scope in (store, tenant):
            for noun, value in nouns(scope).items():
                declared |= {f"{noun}.{name}" for name in _reading(value)}
    assert declared <= {name.partition(" ")[0] for name in CALLS}


def _reading(thing: Slice[Any]) -> set[str]:
    return {
        name
        for kind in type(thing).__mro__
        for name, value in vars(kind).items()
        if (isinstance(value, operation) and value.access in {"read", "point"})
        or isinstance(value, stream | remembered | feed)
    }


# -- PostgreSQL -------------------------------------------------------------------------------------------------------


@dataclass
class Watch:
    """A store whose server tells the plan of whatever it runs."""

    store: Store
    ours: TenantScope[Blocking]
    pages: dict[str, int]
    messages: int
    told: list[str] = field(default_factory=list)

    def plans(self, call: Call) -> list[dict[str, Any]]:
        """Make a call and return the plans of its statements, parts and all."""
        self.told.clear()
        call(self.store, self.ours)
        plans = [json.loads(text.partition("plan:\n")[2])["Plan"] for text in self.told if "plan:\n" in text]
        return [part for plan in plans for part in _parts(plan)]

    def scanned(self, parts: list[dict[str, Any]]) -> set[str]:
        """The large tables that were read from end to end."""
        return {part["Relation Name"] for part in parts if part["Node Type"] == "Seq Scan" and self.is_large(part)}

    def rows_read(self, parts: list[dict[str, Any]]) -> int:
        """How many rows of large tables were looked at."""
        return sum(
            round((part["Actual Rows"] + part.get("Rows Removed by Filter", 0)) * part["Actual Loops"])
            for part in parts
            if part["Node Type"].endswith("Scan") and self.is_large(part)
        )

    def is_large(self, part: dict[str, Any]) -> bool:
        """Whether a step is about a table that is not read at once."""
        return self.pages.get(part.get("Relation Name", ""), 0) >= PAGES


def _parts(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _parts(part)


def _outline(parts: list[dict[str, Any]]) -> str:
    names = (
        "Node Type",
        "Relation Name",
        "Index Name",
        "Actual Rows",
        "Actual Loops",
        "Plan Rows",
        "Rows Removed by Filter",
    )
    return "\n".join(" ".join(str(part[name]) for name in names if name in part) for part in parts)


FIRST, *_ = servers.names("postgresql")
CROWDS = [
    pytest.param((FIRST, MESSAGES), id=FIRST),
    *(pytest.param((name, MANY), id=f"{name}-{MANY}", marks=pytest.mark.soak) for name in servers.names("postgresql")),
]


@pytest.fixture(scope="module", params=CROWDS)
def crowded(request: pytest.FixtureRequest, soak_share: float) -> Iterator[tuple[str, str, int]]:
    """A database with many tenants and messages: the administrator's address, the application's, how many messages."""
    server, messages = request.param
    if messages > MESSAGES:
        messages = int(messages * soak_share)
    with databases.created(servers.url(server)) as admin_url:
        app_url = databases.migrated(servers.url(server), admin_url)
        with psycopg.connect(admin_url, autocommit=True) as connection:
            crowd.fill(app_url, connection.execute, messages=messages)
        yield admin_url, app_url, messages


@pytest.fixture(scope="module", params=["auto", "force_generic_plan"])
def watch(request: pytest.FixtureRequest, crowded: tuple[str, str, int]) -> Iterator[Watch]:
    admin_url, app_url, messages = crowded
    settings = {
        "session_preload_libraries": "auto_explain",
        "auto_explain.log_min_duration": "0",
        "auto_explain.log_analyze": "on",
        "auto_explain.log_timing": "off",
        "auto_explain.log_nested_statements": "on",
        "auto_explain.log_format": "json",
        "auto_explain.log_level": "notice",
        "plan_cache_mode": request.param,
    }
    with databases.administrator(admin_url) as run:
        [(name,)] = run("SELECT current_database()").fetchall()
        for setting, value in settings.items():
            run(f"ALTER DATABASE {name} SET {setting} = '{value}'")
        pages = "SELECT relname, relpages FROM pg_class WHERE relnamespace = 'undercroft'::regnamespace"
        known = dict(run(pages).fetchall())
    told: list[str] = []
    connects = psycopg.connect

    def listening(*args: Any, **kwargs: Any) -> psycopg.Connection:
        connection = connects(*args, **kwargs)
        connection.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
        return connection

    with patch("psycopg.connect", listening), Store(settings=Settings.load(app_url, env_file=None)) as store:
        store.info()  # what a store asks once is nobody's call
        yield Watch(store, store.tenant(crowd.OURS), known, messages, told)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", CALLS)
def test_no_large_table_is_read_from_end_to_end(watch: Watch, name: str) -> None:
    most, call = CALLS[name]
    parts = watch.plans(call)
    assert parts
    assert watch.scanned(parts) <= ({"tenants"} if name in DIRECTORY else set())
    if most is not WHOLE:
        allowed = most if most > 1 else most * watch.messages / crowd.LARGE
        read = watch.rows_read(parts)
        assert read <= allowed + len(parts), _outline(parts)  # entering looks up the tenant, once a statement


def test_the_watch_sees_what_it_is_for(watch: Watch) -> None:
    """The controls: a question that reads all of the tenant's messages, and one that reads everybody's."""
    ask = "SELECT 1 FROM undercroft.messages WHERE text = 'nothing'"
    parts = watch.plans(lambda _, ours: ours.db.fetch(ask))
    assert not watch.scanned(parts)
    assert watch.rows_read(parts) >= watch.messages / crowd.LARGE

    def without_indexes(_: Store, ours: TenantScope[Blocking]) -> None:
        with ours.transaction() as tx:
            for kind in ("indexscan", "indexonlyscan", "bitmapscan"):
                tx.db.execute(f"SET LOCAL enable_{kind} = off")
            tx.db.fetch(ask)

    parts = watch.plans(without_indexes)
    assert {name.rpartition("_")[0] for name in watch.scanned(parts)} == {"messages"}
    assert watch.rows_read(parts) >= watch.messages


# -- SQLite -----------------------------------------------------------------------------------------------------------


@dataclass
class Explained:
    """A store on a file whose statements can be explained."""

    store: Store
    ours: TenantScope[Blocking]
    path: Path

    def scans(self, caplog: pytest.LogCaptureFixture, call: Call) -> set[str]:
        """Make a call and return those steps of its statements that read something from end to end."""
        with caplog.at_level(logging.INFO, "undercroft.sql"):
            caplog.clear()
            call(self.store, self.ours)
            ran = [(record.statement, record.args[-1]) for record in caplog.records if record.name == "undercroft.sql"]
        found = set()
        with closing(connect(self.path, read_only=True)) as connection:
            for statement, arguments in ran:
                if statement.startswith(("SELECT", "WITH")):
                    plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", arguments).fetchall()
                    found |= {detail for *_, detail in plan if detail.startswith("SCAN ")}
        return {step for step in found if not step.startswith(HARMLESS)}


HARMLESS = (
    "SCAN json_each",
    "SCAN CONSTANT ROW",
    "SCAN (subquery",
    "SCAN anon_",
    "SCAN f VIRTUAL TABLE INDEX",  # FTS5's own index
    "SCAN main.undercroft_alembic_version",
    "SCAN undercroft_alembic_version",
    "SCAN pragma_page",
)


@pytest.fixture(scope="module", params=["fresh", "analyzed"])
def explained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explained]:
    path = tmp_path_factory.mktemp("crowd") / "bot.db"
    crowd.fill_file(path, messages=IN_FILE)
    settings = Settings.load(f"sqlite:///{path}", env_file=None, echo_sql=True, log_parameters=True)
    with Store(settings=settings) as store:
        if request.param == "analyzed":
            store.upkeep.maintain_indexes()
        yield Explained(store, store.tenant(crowd.OURS), path)


@pytest.mark.parametrize("name", [name for name in CALLS if name not in COUNTED])
def test_no_table_of_a_file_is_read_from_end_to_end(
    explained: Explained, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    scans = explained.scans(caplog, CALLS[name][1])
    if name.startswith("tenants.list"):
        scans = {step for step in scans if not step.startswith("SCAN main.tenants")}
    assert scans == set()


def test_the_explanation_shows_what_it_is_for(explained: Explained, caplog: pytest.LogCaptureFixture) -> None:
    """The control: counting reads every row."""
    assert any(step.startswith("SCAN") for step in explained.scans(caplog, lambda store, _: store.stats()))
