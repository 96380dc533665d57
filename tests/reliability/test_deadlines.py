"""A statement that takes too long is given up on the client's side, and its connection is never met half-way."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from tests import databases, servers
from tests.colours import LoopThread
from tests.reliability.own_calls import ours, sleep
from tests.reliability.proxy import Proxy, proxy
from undercroft import Settings, errors
from undercroft.core.runtime import deadlines, postgresql_ports
from undercroft.core.tx import Tx

POSTGRESQL = pytest.mark.parametrize("engine", servers.names("postgresql")[:1], indirect=True)
POOLED = pytest.mark.parametrize("engine", servers.names("pgbouncer"), indirect=True)
SQLITE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
LIMIT = 0.3

ENDLESS = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c"
_ENDLESS = sa.text(ENDLESS).columns(sa.column("n", sa.Integer))


@pytest.fixture
def hurried(database_url: str, colour: str, open_store: Callable[..., Any], tenant: Any) -> Any:
    """The tenant on a store whose statements may take a moment."""
    return open_store(colour, settings=Settings.load(database_url, query_timeout=LIMIT)).tenant(tenant.key)


@pytest.fixture
def superuser(database_url: str) -> Iterator[psycopg.Connection]:
    address = databases.changed(database_url, username="postgres", password="")
    with psycopg.connect(address, autocommit=True) as connection:
        yield connection


def hot_read(tenant: Any) -> None:
    ours(tenant, lambda tx: sleep(tx, 30), access="read")()


def hot_write(tenant: Any) -> None:
    def slow(tx: Tx) -> None:
        tx.sql("UPDATE undercroft.users SET name = 'half' RETURNING 1")
        sleep(tx, 30)

    ours(tenant, slow)()


def door(tenant: Any) -> None:
    tenant.db.execute("SELECT pg_sleep(30)")


def transaction(tenant: Any) -> None:
    with tenant.transaction() as tx:
        tx.users.ensure("U1", name="half")
        tx.db.execute("SELECT pg_sleep(30)")


def session(tenant: Any) -> None:
    with tenant.session() as session:
        session.execute(sa.text("UPDATE undercroft.users SET name = 'half'"))
        session.execute(sa.text("SELECT pg_sleep(30)"))


def given_up(call: Callable[[Any], None], tenant: Any) -> None:
    tenant.users.ensure("U1", name="whole")
    start = time.monotonic()
    with pytest.raises(errors.QueryTimeout):
        call(tenant)
    assert LIMIT * 0.9 <= time.monotonic() - start < 10
    assert tenant.users.get("U1").name == "whole"
    tenant.users.ensure("U1", name="still works")
    with tenant.transaction() as tx:
        assert tx.users.get("U1").name == "still works"


@POSTGRESQL
@pytest.mark.parametrize("call", [hot_read, hot_write, door, transaction], ids=lambda call: call.__name__)
def test_a_slow_statement_is_given_up(hurried, superuser, call):
    given_up(call, hurried)
    running = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%%pg_sleep%%'"
    active = f"{running} AND state = 'active' AND pid <> pg_backend_pid()"
    assert superuser.execute(active).fetchone() == (0,)  # the server has given it up as well


@POOLED
@pytest.mark.parametrize("call", [hot_read, hot_write, door], ids=lambda call: call.__name__)
def test_a_slow_statement_behind_a_pooler_is_given_up(hurried, call):
    given_up(call, hurried)


@POSTGRESQL
def test_a_slow_statement_of_an_orm_session_is_given_up(hurried):
    hurried.users.ensure("U1", name="whole")
    start = time.monotonic()
    with pytest.raises((sa.exc.SQLAlchemyError, TimeoutError, errors.QueryTimeout)):  # SQLAlchemy's own, or asyncpg's
        session(hurried)
    assert time.monotonic() - start < 10
    assert hurried.users.get("U1").name == "whole"


@SQLITE
@pytest.mark.parametrize("call", ["read", "write", "door"])
def test_a_slow_statement_on_a_file_is_given_up(hurried, call):
    def slow(tx: Tx) -> Any:
        return tx.rows(_ENDLESS)

    hurried.users.ensure("U1", name="whole")
    start = time.monotonic()
    with pytest.raises(errors.QueryTimeout):
        hurried.db.fetch(ENDLESS) if call == "door" else ours(hurried, slow, access=call)()
    assert LIMIT * 0.9 <= time.monotonic() - start < 10
    assert hurried.users.ensure("U1").name == "whole"
    time.sleep(LIMIT)  # the limit is each statement's own
    assert len(hurried.users.list()) == 1


@SQLITE
def test_a_slow_write_on_a_file_is_nobody_elses(hurried):
    """Calls that share a commit are run again without the one that was given up."""

    def slow(tx: Tx) -> Any:
        return tx.rows(_ENDLESS)

    with ThreadPoolExecutor(9) as threads:
        waiting = [threads.submit(ours(hurried, slow))]
        waiting += [threads.submit(hurried.users.ensure, f"U{n}") for n in range(8)]
        outcomes = [one.exception() for one in waiting]
    assert isinstance(outcomes[0], errors.QueryTimeout)
    assert outcomes[1:] == [None] * 8
    assert len(hurried.users.list()) == 8


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not react gets less time to do so than in earnest."""
    for module in (deadlines, postgresql_ports):
        monkeypatch.setattr(module, "SETTLING", 0.3)


@pytest.fixture
def wire(database_url: str, loop_thread: LoopThread) -> Iterator[tuple[Proxy, str]]:
    with proxy(database_url, loop_thread) as made:
        yield made


@pytest.fixture
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines.Deadlines, "watch", lambda self, timed: None)


@pytest.fixture
def mine(wire: tuple[Proxy, str], impatient: None, open_store: Callable[..., Any], colour: str, tenant: Any) -> Any:
    """The tenant on a hurried store behind the wire."""
    settings = Settings.load(wire[1], query_timeout=LIMIT, pre_ping=False)
    return open_store(colour, settings=settings).tenant(tenant.key)


@POSTGRESQL
@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda tenant: tenant.users.list(), errors.QueryTimeout),
        (lambda tenant: tenant.users.ensure("U2"), errors.QueryTimeout),
        (lambda tenant: tenant.audit.log("a.b"), errors.CommitUnknown),
        (lambda tenant: tenant.db.execute("SELECT 1"), errors.QueryTimeout),
    ],
    ids=["read", "write", "append", "door"],
)
def test_a_network_that_is_silent_is_given_up(wire, mine, tenant, call, error):
    for warm in (mine.users.list, lambda: mine.audit.log("a.b"), lambda: mine.db.execute("SELECT 1")):
        warm()
    wire[0].hang()
    start = time.monotonic()
    with pytest.raises(error):
        call(mine)
    assert time.monotonic() - start < 10
    wire[0].cut()
    wire[0].heal()
    assert mine.users.list() == tenant.users.list()
    mine.users.ensure("U3")


@POSTGRESQL
@pytest.mark.parametrize("colour", ["sync"], indirect=True)
def test_control_without_a_watch_a_silent_network_is_waited_for(wire, unwatched, mine):
    mine.users.list()
    wire[0].hang()
    waiting = threading.Thread(target=mine.users.list)
    waiting.start()
    waiting.join(LIMIT * 5)
    assert waiting.is_alive()
    wire[0].cut()
    wire[0].heal()
    waiting.join()


class Slow:
    """A statement under way, and what is asked to be given up."""

    def __init__(self, limit: float) -> None:
        self.limit, self.overdue, self.asked = limit, None, []
        self.started: float | None = None

    def give_up(self, started: float) -> None:
        self.asked.append(started)


def test_only_what_is_overdue_is_given_up_and_only_once():
    watch = deadlines.Deadlines(0.1)
    quick, slow, idle = Slow(0.1), Slow(0.1), Slow(0.1)
    for one in (quick, slow, idle):
        watch.watch(one)
    slow.started = time.perf_counter()
    for _ in range(40):
        quick.started = time.perf_counter()
        time.sleep(0.01)
    assert (quick.asked, idle.asked, slow.asked) == ([], [], [slow.started])
    assert slow.overdue == slow.started


def test_the_watch_ends_with_what_it_watches():
    watch = deadlines.Deadlines(0.1)
    watch.watch(Slow(0.1))
    thread = watch._thread
    assert thread is not None
    thread.join(5)
    assert not thread.is_alive()
    kept = Slow(0.1)
    watch.watch(kept)  # and begins again
    assert watch._thread is not None
    assert watch._thread.is_alive()
