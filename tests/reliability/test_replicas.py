"""A real streaming replica that lags, hangs, dies, comes back and is promoted: reads go there while it is fit for them.

Nothing of it reaches a caller: whatever the replica does not answer, the primary does.
"""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any
from uuid import uuid4

import orjson
import psycopg
import pytest
import sqlalchemy as sa

from tests import databases, servers
from tests.reliability.own_calls import ours, sleep
from undercroft import AsyncStore, Settings, errors
from undercroft.core.operation import Slice, operation
from undercroft.core.runtime import replica as replica_module
from undercroft.core.runtime.asyncpg_port import AsyncpgPort
from undercroft.core.runtime.replica import CutPort, Watch
from undercroft.core.runtime.server import Server
from undercroft.core.tx import Tx
from undercroft.users.models import User

MAX_LAG = 1.0
TIMEOUT = 0.5

_STANDBY = sa.select(sa.func.pg_is_in_recovery())
_NAMES = sa.select(User.native_id, User.name)  # by the walls alone


def on_replica(tx: Tx) -> bool:
    return bool(tx.value(_STANDBY))


def names(tx: Tx) -> set[str]:
    return {name for _, name in tx.rows(_NAMES)}


@dataclass
class Pair:
    """A primary and its replica, and the application's address of the same database on each."""

    primary: servers.Postgresql
    replica: servers.Postgresql
    url: str
    replica_url: str

    def settings(self, **more: Any) -> Settings:
        given = {
            "replica_url": self.replica_url,
            "replica_max_lag_seconds": MAX_LAG,
            "replica_timeout": TIMEOUT,
            "pool_size": 8,
        }
        return Settings.load(**({"database_url": self.url} | given | more))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The replica receives what is written, and shows none of it."""
        with databases.administrator(self.replica.url) as run:
            run("SELECT pg_wal_replay_pause()")
            while run("SELECT pg_get_wal_replay_pause_state()").fetchone() != ("paused",):
                time.sleep(0.01)
            yield
            run("SELECT pg_wal_replay_resume()")


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with servers.own_postgresql(fsync="off") as primary, primary.replica() as replica:
        admin = primary.url
        yield Pair(primary, replica, url := databases.migrated(admin, admin), databases.moved(url, replica.url))


@pytest.fixture
def opened(pair: Pair, colour: str, open_store: Callable[..., Any]) -> Callable[..., Any]:
    """Opens a store that has a replica, and waits until it is read."""

    def make(*, ready: bool = True, **settings: Any) -> Any:
        store = open_store(colour, settings=pair.settings(**settings))
        if ready:
            wait_until_read(store)
        return store

    return make


@pytest.fixture
def store(opened: Callable[..., Any]) -> Any:
    return opened()


def tenant_of(store: Any) -> Any:
    """A tenant that no other test knows."""
    name = f"slack:T{uuid4().hex[:12].upper()}"
    store.tenants.ensure(name)
    return store.tenant(name)


def wait_until_read(store: Any, *, used: bool = True) -> Any:
    end = time.monotonic() + 30
    while (state := store.health().replica).used != used:
        assert time.monotonic() < end, state
        time.sleep(0.05)
    return state


def seen(store: Any, tenant: Any) -> None:
    """Wait until the replica has the tenant."""
    end = time.monotonic() + 20
    while not asked_of_replica(store, tenant.stale().users.list):
        assert time.monotonic() < end, store.health().replica
        time.sleep(0.02)


def asked_of_replica(store: Any, call: Callable[[], Any]) -> bool:
    """Whether a call is answered by the replica."""
    before = store.health().replica
    call()
    after = store.health().replica
    return bool(after.answered > before.answered)


LOGINS: dict[str, Callable[[Pair], dict[str, Any]]] = {
    "plain": lambda pair: {},
    "superuser": lambda pair: {"replica_url": databases.changed(pair.replica_url, username="postgres", password="")},
    "as behind a pooler": lambda pair: {"pooler": "transaction"},
}


@pytest.mark.parametrize("login", LOGINS)
def test_only_a_read_that_may_be_stale_goes_to_the_replica(pair, opened, login):
    store = opened(**LOGINS[login](pair))
    tenant = tenant_of(store)
    tenant.users.ensure("U1", name="Ada")
    seen(store, tenant)
    stale = tenant.stale()
    assert ours(stale, on_replica, access="read")()
    assert ours(stale, on_replica, access="point")()
    assert not ours(tenant, on_replica, access="read")()
    assert not ours(stale, on_replica)()
    with stale.transaction() as tx:
        assert not ours(tx, on_replica, access="read")()
        assert not ours(tx.stale(), on_replica, access="read")()
    assert stale.db.fetchval("SELECT pg_is_in_recovery()") is False
    with stale.session() as session:
        assert session.scalar(_STANDBY) is False
    assert stale.users.get("U1").name == "Ada"


@pytest.mark.parametrize("colour", ["sync"], indirect=True)
def test_the_doctor_and_the_command_line_tell_of_it(pair, store, monkeypatch):
    assert "the replica is one of this database, and answers reads" in store.doctor().proven
    monkeypatch.setenv("UNDERCROFT_DATABASE_URL", pair.url)
    monkeypatch.setenv("UNDERCROFT_REPLICA_URL", pair.replica_url)
    command = [sys.executable, "-m", "undercroft.cli", "health"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "in use, " in shown
    assert "s behind at most" in shown
    told = subprocess.run([*command, "--json"], check=True, capture_output=True, text=True).stdout
    replica = orjson.loads(told)["replica"]
    assert replica["used"] is True
    assert replica["lag_seconds"] < 10
    assert "undercroft_test:undercroft_test" not in told


def test_a_write_is_done_as_ever(store, tenant):
    stale = tenant.stale()
    stale.users.ensure("U1")
    stale.audit.log("a.b")
    assert [user.native_id for user in tenant.users.list()] == ["U1"]
    assert len(tenant.audit.recent()) == 1


def test_what_decides_over_rights_is_never_asked_of_it(store, tenant):
    tenant.users.ensure("U1")
    tenant.users.set_role("U1", "admin")
    tenant.users.map_database("U1", database_user="ada", allowed_databases=["SALES"])
    seen(store, tenant)
    stale = tenant.stale()
    deciding = {
        "authorize_query": lambda: stale.users.authorize_query("U1", database="SALES"),
        "require": lambda: stale.users.require("U1", "admin"),
        "database_mapping": lambda: stale.users.database_mapping("U1"),
        "active": lambda: stale.sessions.active("U1"),
        "results": stale.results.stats,
    }
    for call in deciding.values():
        assert not asked_of_replica(store, call)
    assert asked_of_replica(store, stale.users.list)


def test_the_walls_stand_on_the_replica_too(store, new_tenant):
    one, other = new_tenant(), new_tenant()
    one.users.ensure("U1", name="one's")
    other.users.ensure("U1", name="other's")
    for tenant, name in ((one, "one's"), (other, "other's")):
        seen(store, tenant)
        assert ours(tenant.stale(), names, access="read")() == {name}


def test_control_a_login_that_passes_the_walls_sees_both(pair, opened, monkeypatch):
    learn = Server.learn
    monkeypatch.setattr(Server, "learn", lambda self, *, privileged: learn(self, privileged=False))
    store = opened(replica_url=databases.changed(pair.replica_url, username="postgres", password=""))
    one, other = tenant_of(store), tenant_of(store)
    one.users.ensure("U1", name="one's")
    other.users.ensure("U1", name="other's")
    seen(store, one)
    assert {"one's", "other's"} <= ours(one.stale(), names, access="read")()


def test_a_tenant_that_it_has_not_yet_is_found_on_the_primary(pair, opened):
    store = opened(replica_max_lag_seconds=60)
    with pair.paused():
        tenant = tenant_of(store)
        assert tenant.stale().users.list() == []
        assert store.health().replica.used  # it was asked, and did not know


def test_a_tenant_that_is_deleted_is_gone_within_the_lag(pair, store, tenant):
    seen(store, tenant)
    with pair.paused():
        store.tenants.soft_delete(tenant.key)
        time.sleep(MAX_LAG)
        with pytest.raises(errors.TenantDeleted):
            tenant.stale().users.list()
    wait_until_read(store)
    with pytest.raises(errors.TenantDeleted):
        tenant.stale().users.list()


def misses(tenant: Any, seconds: float) -> int:
    """How many reads miss what was committed longer before than they may."""
    written: list[tuple[float, int]] = [(0.0, 0)]
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            number += 1
            tenant.users.ensure("U1", name=str(number))
            written.append((time.monotonic(), number))
            time.sleep(0.02)

    found = 0
    with ThreadPoolExecutor(1) as thread:
        writing = thread.submit(write)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            must = time.monotonic() - MAX_LAG
            name = int(tenant.stale().users.get("U1").name)
            found += name < max(number for moment, number in written if moment <= must)
            time.sleep(0.005)
        done.set()
        writing.result()
    return found


def test_no_read_misses_more_than_it_may(pair, store, tenant):
    tenant.users.ensure("U1", name="0")
    seen(store, tenant)
    with pair.paused():
        assert misses(tenant, 2 * MAX_LAG) == 0
        assert store.health().replica.reason == "behind"
    wait_until_read(store)
    assert ours(tenant.stale(), on_replica, access="read")()


def test_control_without_the_horizon_they_do(pair, store, tenant, monkeypatch):
    tenant.users.ensure("U1", name="0")
    seen(store, tenant)
    monkeypatch.setattr(Watch, "allows", lambda self, stale: True)
    with pair.paused():
        assert misses(tenant, 2 * MAX_LAG) > 0


def test_a_reader_may_ask_for_less_lag_than_the_settings(pair, opened):
    store = opened(replica_max_lag_seconds=60)
    tenant = tenant_of(store)
    seen(store, tenant)
    with pair.paused():
        tenant.users.ensure("U1")
        time.sleep(1.2)
        assert tenant.stale().users.list() == []
        assert len(tenant.stale(1).users.list()) == 1


def test_a_primary_at_rest_is_no_lag(pair, store, tenant):
    seen(store, tenant)
    time.sleep(2 * MAX_LAG)
    assert store.health().replica.used
    with databases.administrator(pair.replica.url) as run:
        [naive] = run("SELECT extract(epoch FROM now() - pg_last_xact_replay_timestamp())").fetchone()
    assert naive > MAX_LAG


def test_a_replica_that_is_cut_off_is_behind_though_it_has_replayed_all_it_got(pair, store, tenant):
    seen(store, tenant)
    with databases.administrator(pair.replica.url) as run:
        [conninfo] = run("SHOW primary_conninfo").fetchone()
        run("ALTER SYSTEM SET primary_conninfo = ''")
        run("SELECT pg_reload_conf()")
        while run("SELECT 1 FROM pg_stat_wal_receiver").fetchone():
            time.sleep(0.01)
        tenant.users.ensure("U1")
        wait_until_read(store, used=False)
        assert len(tenant.stale().users.list()) == 1
        all_it_got = "SELECT pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn()"
        assert run(all_it_got).fetchone() == (True,)
        run(f"ALTER SYSTEM SET primary_conninfo = {psycopg.sql.quote(conninfo)}")
        run("SELECT pg_reload_conf()")
    wait_until_read(store)


class Readers:
    """Threads that read all the time, and what they were told."""

    def __init__(self, tenant: Any, count: int = 4) -> None:
        self._tenant = tenant.stale()
        self._count = count
        self.longest = 0.0
        self.errors: list[BaseException] = []
        self.answers = 0
        self._done = threading.Event()

    def _read(self) -> None:
        while not self._done.is_set():
            start = time.monotonic()
            try:
                assert len(self._tenant.users.list()) == 1
            except BaseException as error:  # noqa: BLE001 - the test shows it
                self.errors.append(error)
            self.longest = max(self.longest, time.monotonic() - start)
            self.answers += 1
            time.sleep(0.002)

    @contextmanager
    def reading(self) -> Iterator["Readers"]:
        with ThreadPoolExecutor(self._count) as threads:
            running = [threads.submit(self._read) for _ in range(self._count)]
            try:
                time.sleep(0.2)
                yield self
                time.sleep(0.2)
            finally:
                self._done.set()
            for one in running:
                one.result()


@pytest.fixture
def read(store: Any, tenant: Any) -> Any:
    """A tenant with one user, known to the replica."""
    tenant.users.ensure("U1")
    seen(store, tenant)
    return tenant


def test_a_replica_that_dies_is_not_noticed_by_who_reads(pair, store, read):
    with Readers(read).reading() as readers:
        pair.replica.kill()
        wait_until_read(store, used=False)
        time.sleep(0.5)
        pair.replica.start()
        wait_until_read(store)
    assert readers.errors == []
    assert asked_of_replica(store, read.stale().users.list)


@pytest.mark.soak
def test_control_an_error_of_the_replica_is_one(pair, store, read, monkeypatch):
    def passed_on(self: Watch, error: Exception) -> bool:
        raise error

    monkeypatch.setattr(Watch, "failed", passed_on)
    with Readers(read).reading() as readers:
        pair.replica.kill()
        time.sleep(0.5)
        pair.replica.start()
    assert {type(error) for error in readers.errors} <= {errors.DatabaseUnavailable, errors.SerializationFailure}
    assert readers.errors
    monkeypatch.undo()
    wait_until_read(store)


# The limit, a grace, the rhythm in which limits are looked at, and as much again for a busy machine.
BOUND = TIMEOUT + 2.0


def test_a_replica_that_hangs_costs_a_read_no_more_than_its_limit(pair, store, read):
    with Readers(read).reading() as readers, pair.replica.hung():
        time.sleep(BOUND + 0.3)
        assert not store.health().replica.used
        before = readers.answers
        time.sleep(0.3)
        assert readers.answers > before
    assert readers.errors == []
    assert readers.longest < BOUND
    wait_until_read(store)
    assert asked_of_replica(store, read.stale().users.list)


@pytest.mark.soak
def test_control_without_the_cut_it_is_waited_for(pair, store, read, monkeypatch):
    for port in (CutPort, AsyncpgPort):
        monkeypatch.setattr(port, "give_up", lambda self, started: None)
    with Readers(read).reading() as readers, pair.replica.hung():
        time.sleep(BOUND + 0.3)
    assert readers.longest > BOUND
    wait_until_read(store)


def test_a_replica_that_hangs_while_we_connect_costs_no_more_either(pair, opened, monkeypatch):
    store = opened()
    tenant = tenant_of(store)
    tenant.users.ensure("U1")
    monkeypatch.setattr(Watch, "allows", lambda self, stale: True)
    with pair.replica.hung():
        start = time.monotonic()
        assert len(tenant.stale().users.list()) == 1
        assert time.monotonic() - start < BOUND


def test_a_read_that_replay_cancels_is_answered_by_the_primary(pair, opened):
    store = opened(replica_timeout=30)
    tenant = tenant_of(store)
    tenant.users.ensure("U1")
    seen(store, tenant)

    def conflicting(tx: Tx) -> bool:
        on_standby = on_replica(tx)
        tx.rows(_SLOW if on_standby else _NAMES)
        return on_standby

    with databases.administrator(pair.replica.url) as standby, databases.administrator(pair.primary.url) as run:
        standby("ALTER SYSTEM SET max_standby_streaming_delay = '10ms'")
        standby("SELECT pg_reload_conf()")
        before = store.health().replica
        with ThreadPoolExecutor(1) as thread:
            answer = thread.submit(ours(tenant.stale(), conflicting, access="read"))
            while not standby(_SLEEPING).fetchone():
                time.sleep(0.01)
            run("DO $$ BEGIN LOCK TABLE undercroft.users IN ACCESS EXCLUSIVE MODE; END $$")
            assert answer.result() is False
        after = store.health().replica
        assert (after.used, after.passed_on) == (True, before.passed_on + 1)
        standby("ALTER SYSTEM RESET max_standby_streaming_delay")
        standby("SELECT pg_reload_conf()")


_SLOW = sa.select(User.name, sa.func.pg_sleep(sa.literal_column("19.5")))
_SLEEPING = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%19.5%' AND wait_event = 'PgSleep'"


def test_what_is_no_replica_of_this_database_is_not_read(pair, opened, monkeypatch):
    for address, reason in (
        (pair.url, "no replica"),
        (databases.changed(pair.replica_url, port=1), "database.unavailable"),
        (databases.changed(pair.replica_url, database="template1"), "another database"),
    ):
        store = opened(ready=False, replica_url=address)
        state = store.health().replica
        assert (state.used, state.lag_seconds, state.reason) == (False, None, reason)
        assert {("replica.unread", "warning")} <= {(one.code, one.severity) for one in store.doctor().findings}
        assert tenant_of(store).stale().users.list() == []
    monkeypatch.setattr(replica_module, "_WRITTEN", replica_module._WRITTEN.replace("system_identifier", "1"))
    assert opened(ready=False).health().replica.reason == "another database"


def test_a_primary_that_is_away_from_the_first_is_told_with_its_replica(pair, opened):
    found = opened(ready=False, database_url=databases.changed(pair.url, port=1)).health()
    assert (found.status, found.error) == ("unhealthy", "database.unavailable")
    assert (found.replica.used, found.replica.reason) == (False, "the primary does not answer")


@pytest.mark.soak
@pytest.mark.parametrize("colour", ["sync"], indirect=True)
def test_a_replica_that_is_promoted_is_not_read_any_more(pair, opened):
    with pair.primary.replica() as other:
        store = opened(replica_url=databases.moved(pair.url, other.url))
        tenant = tenant_of(store)
        with databases.administrator(other.url) as run:
            run("SELECT pg_promote()")
        assert wait_until_read(store, used=False).reason == "no replica"
        tenant.users.ensure("U1")
        assert len(tenant.stale().users.list()) == 1


def test_production_refuses_a_login_on_the_replica_that_passes_the_walls(pair, opened):
    address = databases.changed(pair.replica_url, username="postgres", password="")
    state = opened(ready=False, preset="production", replica_url=address).health().replica
    assert (state.used, state.reason) == (False, "its login passes the walls")


def test_a_store_that_is_closed_lets_go_of_the_replica(pair, store, read):
    store.close()
    with pytest.raises(errors.StoreClosed):
        read.stale().users.list()
    with databases.administrator(pair.replica.url) as run:
        end = time.monotonic() + 10
        while run("SELECT 1 FROM pg_stat_activity WHERE usename = 'undercroft_test'").fetchone():
            assert time.monotonic() < end
            time.sleep(0.02)


def test_a_cancelled_reader_leaves_nothing_to_the_next(pair):
    """Many tasks on few connections of the replica, some cancelled at any moment."""
    random = Random(20261124)

    class Peek(Slice[Any]):
        @staticmethod
        def _peek(tx: Tx) -> tuple[set[str], bool]:
            sleep(tx, random.random() / 500)
            return names(tx), on_replica(tx)

        peek = operation(_peek, access="read")

    async def main() -> None:
        async with AsyncStore(settings=pair.settings(pool_size=4)) as store:
            tenants = [store.tenant(f"slack:T{uuid4().hex}") for _ in range(8)]
            for tenant in tenants:
                await store.tenants.ensure(tenant.key)
                await tenant.users.ensure("U1", name=tenant.key)
            await asyncio.sleep(1)
            state = (await store.health()).replica
            assert state is not None
            assert state.used
            answered = 0

            async def ask() -> None:
                nonlocal answered
                tenant = random.choice(tenants)
                scope = tenant.stale()
                found, replica = await Peek(scope._runner, scope._scope).peek()
                assert found == {tenant.key}
                answered += replica

            for _ in range(10):
                tasks = [asyncio.create_task(ask()) for _ in range(40)]
                await asyncio.sleep(random.random() / 50)
                for task in random.sample(tasks, 10):
                    task.cancel()
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
                wrong = [one for one in outcomes if one is not None and not isinstance(one, asyncio.CancelledError)]
                assert wrong == []
            assert answered > 100

    asyncio.run(main())
