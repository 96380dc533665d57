"""A deleted tenant is out of reach of every call, comes back whole, and after the purge stands nowhere."""

import itertools
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest

from tests import databases, servers
from tests.colours import Driven, LoopThread
from tests.reliability import declarations
from tests.reliability.arguments import Arguments
from tests.upkeep.shelves import contents
from undercroft import AsyncStore, Store, errors, generate_audit_key, models
from undercroft.archive import AttachmentRecord, ChannelRecord, MentionRecord, MessageRecord, ReactionRecord
from undercroft.core import ids
from undercroft.core.dialects import sqlite, sqlite_search
from undercroft.core.live import feed
from undercroft.core.operation import resource, stream
from undercroft.importers.quarantine import Quarantined

MARK = f"canary{Random(20261125).getrandbits(64):016x}"
"""Stands in everything that the tenant holds."""

DOOMED, NEIGHBOUR = "slack:TDOOMED", "slack:TNEIGHBOUR"
MESSAGES = 150
WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]


def fill(store: Any, key: str, mark: str) -> None:
    """Store something in every slice, with the mark in it; much of it grows, changes and goes again."""
    store.tenants.ensure(key, name=mark, settings={"note": mark})
    tenant = store.tenant(key)
    tenant.users.ensure("U1", name=mark, email=f"{mark}@example.com", role="owner")
    tenant.users.map_database("U1", database_user=mark, allowed_databases=[mark], permissions=["read"])
    tenant.archive.save_channels([ChannelRecord(native_id="C1", name=mark, kind="public", members=("U1",))])
    for first in range(0, MESSAGES, 30):
        tenant.archive.save_messages([_message(number, mark) for number in range(first, first + 30)])
    with tenant.transaction() as tx:
        for number in range(0, MESSAGES, 5):
            text = f"{mark} edited " * (1 + number)
            tx.archive.edit("C1", _stamp(number), text=text, edited_at=datetime.now(UTC))
    with tenant.transaction() as tx:
        for number in range(40):
            tx.audit.log("a.b", by=mark, data={"what": mark * (1 + number % 5)})
            tx.queries.log(mark, user="U1", sql=f"SELECT '{mark}'", database=mark, execution_time_ms=number)
            tx.results.put(f"SELECT {number} FROM {mark}", [{"a": mark * number}], database=mark, rights=mark)
            tx.secrets.set(f"{mark} {number}", mark, by=mark)
            tx.threads.append(f"t{number % 3}", role="user", content=mark * (1 + number))
            tx.metrics.log(mark, number, data={"of": mark})
            said, todo = mark * 50 * (number % 7), [{"do": mark}]
            meeting = tx.meetings.start(f"{mark} {number}", source="f", title=mark, transcript=said)
            tx.meetings.advance(meeting.id, "summarised", summary=mark * (1 + number), action_items=todo)
    for meeting in tenant.meetings.list(limit=5):
        with tenant.meetings.pushing(meeting.id) as push:
            push.external_id, push.result = mark, {"told": mark}
    tenant.upkeep.run()
    tenant.sessions.start("U1", channel=mark)
    tenant.limits.define(mark, 100, per="day", each="user")
    tenant.limits.consume(mark, by=mark)
    tenant.goals.save(mark, title=mark, description=mark, by=mark)
    tenant.goals.save(mark, title=mark * 2, progress=50, by=mark)
    connection = tenant.crm.connect("hubspot", credentials=f"env:{mark}", name=mark, settings={"of": mark})
    tenant.crm.map_account("acme.example", mark, account_name=mark, connection=connection.id)
    tenant.upkeep.retention.set("queries", keep=None, by=mark)
    tenant.idempotent(mark).users.ensure("U2", name=mark)
    with tenant.session() as rows:
        rows.add(
            models.Quarantine(
                tenant_id=tenant.id,
                id=ids.new(),
                source=mark,
                path=mark,
                position=1,
                reason=mark,
                record=f'"{mark}"',
                created_at=datetime.now(UTC),
            )
        )


def _stamp(number: int) -> str:
    return f"{1_700_000_000 + number}.000100"


def _message(number: int, mark: str) -> MessageRecord:
    return MessageRecord(
        channel="C1",
        native_id=_stamp(number),
        author="U1",
        text=f"{mark} {WORDS[number % 8]} " * (1 + number % 40),
        sent_at=datetime.fromtimestamp(1_700_000_000.0001 + number, UTC),
        reactions=(ReactionRecord(emoji=mark, count=1, users=("U1",)),),
        attachments=(AttachmentRecord(native_id=f"F{number}", kind="file", name=mark),),
        mentions=(MentionRecord(kind="user", native_id=mark),),
    )


def marked(url: str) -> set[str]:
    """The tables of ours in which the mark stands."""
    return {name for name, rows in contents(url).items() if any(MARK in str(row) for row in rows)}


@pytest.fixture
def owned(engine: str, empty_database_url: str) -> str:
    """The owner's address of a migrated database of one's own."""
    with Store(empty_database_url) as store:
        store.migrate()
    return empty_database_url


def without_pools(test: Any) -> Any:
    return pytest.mark.parametrize("engine", ["sqlite", *servers.names("postgresql")], indirect=True)(test)


# -- deleted -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(
    owned: str, colour: str, loop_thread: LoopThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    generate_audit_key(tmp_path / "audit.pem")
    monkeypatch.setenv("UNDERCROFT_AUDIT_KEY_FILE", str(tmp_path / "audit.pem"))
    opened: Any = Store(owned) if colour == "sync" else Driven(AsyncStore, loop_thread)(owned)
    yield opened
    opened.close()


GIVEN: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "archive.quarantine": ([[Quarantined("f", 1, "why", "{}")]], {}),
    "db.copy_records_to_table": (["business_goals"], {"columns": ["id"], "records": []}),
}
"""What no annotation tells how to make."""
OF_NOBODY = {"db.validate_connections"}  # it asks connections whether they live, and reads no row


def refused(tenant: Any, path: str, declaration: Any, arguments: Arguments) -> str:
    """What became of a call: "deleted", the name of another error, or what it answered."""
    for _ in range(30):
        args, kwargs = GIVEN[path] if path in GIVEN else arguments.of(declaration)
        try:
            call = declarations.reached(tenant, path)
            if isinstance(declaration, stream | feed):
                return f"answered {list(itertools.islice(call(*args, **kwargs), 3))}"
            if isinstance(declaration, resource):
                with call(*args, **kwargs) as held:
                    return f"answered {held}"
            return f"answered {call(*args, **kwargs)!r}"
        except errors.TenantDeleted:
            return "deleted"
        except errors.UndercroftError as error:  # before anything was asked: other arguments may do
            said = f"{type(error).__name__} {error}"
    return said


@without_pools
def test_every_call_refuses_a_deleted_tenant(store):
    fill(store, DOOMED, MARK)
    tenant = store.tenant(DOOMED)
    words = ["U1", "C1", _stamp(1), "t1"]
    named: dict[str, Callable[[], Any]] = {
        "sql": lambda: "SELECT 1",
        "script": lambda: "SELECT 1",
        "statements": lambda: [("SELECT 1", [])],
        "args": list,
        "path": lambda: "/nowhere/a.jsonl",
        "directory": lambda: "/nowhere",
        "timeout": lambda: None,
        "credentials": lambda: "env:PATH",
        "email": lambda: "ada@acme.example",
        "domain": lambda: "acme.example",
        "data_class": lambda: "queries",
        "sent_at": lambda: datetime.fromtimestamp(1_700_000_000.0001, UTC),
        "counter": lambda: None,
        "column": lambda: 0,
    }
    arguments = Arguments(Random(7), words, [ids.new()], ["said"], named)
    before = tenant.stats()
    store.tenants.soft_delete(DOOMED)
    said = {
        path: refused(tenant, path, one, arguments)
        for path, one in declarations.every().items()
        if path not in OF_NOBODY
    }
    assert len(said) > 100
    assert {path: one for path, one in said.items() if one != "deleted"} == {}
    for opened in (tenant.transaction, tenant.session, tenant.stale().transaction):
        with pytest.raises(errors.TenantDeleted), opened():
            raise AssertionError
    for sql in ("SELECT count(*) FROM users", "DELETE FROM users"):
        with pytest.raises(errors.TenantDeleted):
            tenant.db.fetch(sql)
    store.tenants.restore(DOOMED)
    assert tenant.stats() == before
    assert tenant.meetings.stats()["pushed"] == 5
    assert tenant.crm.find_account("ada@acme.example").account_id == MARK
    assert len(tenant.archive.search(MARK, limit=200)) == MESSAGES


# -- purged ------------------------------------------------------------------------------------------------------------


def purged(url: str) -> None:
    with Store(url) as store:
        store.tenants.soft_delete(DOOMED)
        store.tenants.purge(DOOMED)


def filled(url: str) -> None:
    with Store(url) as store:
        fill(store, DOOMED, MARK)
        fill(store, NEIGHBOUR, "innocent")


def in_files(folder: Path) -> set[str]:
    """The files in which the mark stands."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and MARK.encode() in path.read_bytes()
    }


def test_after_the_purge_the_file_holds_nothing_of_the_tenant(tmp_path):
    url = f"sqlite:///{tmp_path}/bot.db"
    filled(url)
    assert in_files(tmp_path) == {"bot.db"}
    held = marked(url)
    assert len(held) == 30
    assert {"account_mappings", "crm_connections", "meeting_sessions", "messages", "secrets", "users"} <= held
    purged(url)
    assert marked(url) == set()
    assert in_files(tmp_path) == set()
    check_neighbour(url)


def check_neighbour(url: str) -> None:
    """The other tenant has lost nothing."""
    with Store(url) as store:
        neighbour = store.tenant(NEIGHBOUR)
        assert len(neighbour.archive.search("innocent", limit=200)) == MESSAGES
        assert neighbour.audit.verify().intact
        assert neighbour.meetings.stats()["pushed"] == 5
        assert neighbour.crm.find_account("ada@acme.example").account_id == "innocent"


@pytest.mark.parametrize("guard", ["deleted alone", "words are left to be merged", "nothing is overwritten"])
def test_control_without_a_guard_the_file_still_holds_something(tmp_path, monkeypatch, guard):
    url = f"sqlite:///{tmp_path}/bot.db"
    if guard == "nothing is overwritten":
        monkeypatch.setattr(sqlite, "_SECURE", "PRAGMA secure_delete=OFF")
    filled(url)
    if guard == "deleted alone":
        with Store(url) as store:
            store.tenants.soft_delete(DOOMED)
    else:
        if guard == "words are left to be merged":
            monkeypatch.setattr(sqlite_search, "_MERGE", "SELECT 1")
        purged(url)
        assert marked(url) == set()
    assert in_files(tmp_path) == {"bot.db"}


def test_after_the_purge_the_servers_files_and_dumps_hold_nothing_of_the_tenant():
    """Once its tables are rewritten, statistics with them; the write-ahead log holds what was, until it is recycled."""
    with servers.own_postgresql() as server:
        url = databases.migrated(server.url, server.url)
        filled(url)

        def places() -> set[str]:
            with psycopg.connect(server.url, autocommit=True) as owner:
                owner.execute("VACUUM (FULL, ANALYZE)")
                owner.execute("VACUUM FULL pg_catalog.pg_statistic")  # where it writes samples of what was
                owner.execute("CHECKPOINT")
            dump = subprocess.run([server._programs / "pg_dump", server.url], check=True, capture_output=True).stdout
            found = {name.split("/")[0] for name in in_files(server._server / "data")} - {"pg_wal"}
            return found | ({"dump"} if MARK.encode() in dump else set())

        assert places() == {"base", "dump"}
        held = marked(server.url)
        assert {"account_mappings", "crm_connections", "meeting_sessions", "messages", "secrets", "users"} <= held
        with Store(url) as store:
            store.tenants.soft_delete(DOOMED)
        assert places() == {"base", "dump"}
        purged(url)
        assert marked(server.url) == set()
        assert places() == set()
        check_neighbour(url)
