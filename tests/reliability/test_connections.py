"""Connections that break, hang, age or are closed: replaced without a word where that is safe, else a typed error."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from tests import databases, servers
from tests.reliability.own_calls import ours, sleep
from undercroft import AsyncStore, Settings, errors
from undercroft.core.runtime.postgresql_ports import PostgresqlPort, PsycopgPort
from undercroft.core.tx import Tx

pytestmark = pytest.mark.parametrize("engine", servers.names("postgresql")[:1], indirect=True)

_BACKENDS = "FROM pg_stat_activity WHERE datname = current_database() AND usename = 'undercroft_test'"


@pytest.fixture
def superuser(database_url: str) -> Iterator[psycopg.Connection]:
    """A superuser's connection to the same database."""
    address = databases.changed(database_url, username="postgres", password="")
    with psycopg.connect(address, autocommit=True) as connection:
        yield connection


@pytest.fixture
def few(database_url: str, colour: str, open_store: Callable[..., Any], tenant: Any) -> Callable[..., Any]:
    """Opens the tenant on another store, with one connection for our calls and one for callers' SQL."""

    def make(**settings: Any) -> Any:
        few = {"pool_size": 2, "max_overflow": 0, **settings}
        return open_store(colour, settings=Settings.load(database_url, **few)).tenant(tenant.key)

    return make


def kill_all(superuser: psycopg.Connection) -> int:
    """End the connections of the application's login and wait until they are gone."""
    return len(superuser.execute(f"SELECT pg_terminate_backend(pid, 5000) {_BACKENDS}").fetchall())


def in_a_transaction(tenant: Any) -> None:
    with tenant.transaction() as tx:
        tx.users.ensure("U2")


CALLS: dict[str, Callable[[Any], Any]] = {
    "read": lambda tenant: tenant.users.list(),
    "append": lambda tenant: tenant.audit.log("a.b"),
    "write": lambda tenant: tenant.users.ensure("U2"),
    "transaction": in_a_transaction,
    "door": lambda tenant: tenant.db.fetch("SELECT 1"),
}


def use_everything(tenant: Any) -> None:
    for call in CALLS.values():
        call(tenant)


@pytest.mark.parametrize("call", CALLS)
def test_an_idle_connection_that_the_server_ended_is_replaced_without_an_error(tenant, superuser, call):
    use_everything(tenant)
    assert kill_all(superuser) >= 2
    CALLS[call](tenant)


@pytest.mark.parametrize("colour", ["sync"], indirect=True)
def test_control_without_listening_the_fate_of_an_append_is_unknown(tenant, superuser, monkeypatch):
    monkeypatch.setattr(PsycopgPort, "usable", PostgresqlPort.usable)
    use_everything(tenant)
    kill_all(superuser)
    with pytest.raises(errors.CommitUnknown):
        tenant.audit.log("a.b")


@pytest.mark.parametrize("access", ["read", "write"])
def test_a_call_whose_connection_breaks_in_the_middle_is_run_again_as_a_whole(tenant, superuser, access):
    runs = []

    def slow(tx: Tx) -> int:
        runs.append(1)
        if access == "write":
            tx.sql("UPDATE undercroft.users SET name = name || 'x' RETURNING 1")
        sleep(tx, 0.5 if len(runs) == 1 else 0)
        return len(runs)

    tenant.users.ensure("U1", name="U")
    killer = threading.Timer(0.2, kill_all, [superuser])
    killer.start()
    assert ours(tenant, slow, access=access)() == 2
    killer.join()
    assert tenant.users.get("U1").name == ("Ux" if access == "write" else "U")


def test_a_caller_waits_for_a_connection_no_longer_than_he_may(few):
    tenant, begun = few(pool_timeout=0.3), threading.Event()
    tenant.users.list()

    def slow(tx: Tx) -> None:
        begun.set()
        sleep(tx, 1.5)

    with ThreadPoolExecutor() as threads:
        sleeping = threads.submit(ours(tenant, slow))
        begun.wait()
        start = time.monotonic()
        with pytest.raises(errors.PoolTimeout):
            tenant.users.list()
        assert 0.3 <= time.monotonic() - start < 1.4
        sleeping.result()
    assert tenant.users.list() == []


def test_a_caller_waits_for_his_own_transaction_no_longer_than_he_may(few):
    tenant = few(pool_timeout=0.3)
    with tenant.transaction(), pytest.raises(errors.PoolTimeout), tenant.transaction():
        pass
    with tenant.transaction():
        pass


@pytest.mark.parametrize("lane", ["hot", "open"])
def test_an_old_connection_is_replaced(few, lane):
    tenant = few(pool_recycle=0.2)

    def backend(tx: Tx) -> int:
        return tx.value(_BACKEND)

    def ask() -> int:
        return ours(tenant, backend)() if lane == "hot" else tenant.db.fetchval("SELECT pg_backend_pid()")

    first = ask()
    time.sleep(0.3 if lane == "hot" else 1.1)  # SQLAlchemy's pool counts whole seconds
    assert ask() != first


_BACKEND = sa.select(sa.func.pg_backend_pid())


def test_a_store_that_is_closed_in_use_ends_what_runs_and_begins_nothing_more(tenant, store, superuser):
    begun = threading.Event()

    def slow(tx: Tx) -> str:
        begun.set()
        sleep(tx, 0.5)
        return "done"

    with ThreadPoolExecutor() as threads:
        running = threads.submit(ours(tenant, slow))
        begun.wait()
        with tenant.transaction() as tx:
            store.close()
            tx.users.ensure("U1")
            for call in CALLS.values():
                with pytest.raises(errors.StoreClosed):
                    call(tenant)
        assert running.result() == "done"
    store.close()
    end = time.monotonic() + 5
    while superuser.execute(f"SELECT count(*) {_BACKENDS}").fetchone() != (0,) and time.monotonic() < end:
        time.sleep(0.01)
    assert superuser.execute(f"SELECT count(*) {_BACKENDS}").fetchone() == (0,)
    assert superuser.execute("SELECT count(*) FROM undercroft.users WHERE tenant_id = %s", [tenant.id]).fetchone() == (
        1,
    )


@pytest.mark.parametrize("colour", ["async"], indirect=True)
def test_each_event_loop_has_a_store_of_its_own(database_url, tenant):
    async def use(name: str) -> int:
        async with AsyncStore(database_url) as store:
            mine = store.tenant(tenant.key)
            await asyncio.gather(*(mine.users.ensure(f"{name}-{n}") for n in range(20)))
            return len(await mine.users.list(limit=1000))

    with ThreadPoolExecutor(4) as threads:
        assert max(threads.map(lambda name: asyncio.run(use(name)), "abcd")) == 80


@pytest.mark.parametrize("colour", ["async"], indirect=True)
def test_a_store_of_another_event_loop_is_refused(database_url, tenant):
    store = AsyncStore(database_url)

    async def first() -> None:
        await store.tenant(tenant.key).users.list()

    async def second() -> None:
        for call in (store.tenant(tenant.key).users.list, store.tenants.list):
            with pytest.raises(errors.WrongColour, match="event loop"):
                await call()

    async def main() -> None:
        await first()
        await asyncio.to_thread(asyncio.run, second())
        await first()
        await store.close()

    asyncio.run(main())


def test_an_interrupt_between_two_statements_leaves_nothing_open(tenant, few):
    """KeyboardInterrupt is no Exception: what it leaves must neither be kept nor met by the next call."""
    tenant = few()

    def interrupted(tx: Tx) -> None:
        tx.sql("UPDATE undercroft.users SET name = 'half' RETURNING 1")
        raise KeyboardInterrupt

    tenant.users.ensure("U1", name="whole")
    with pytest.raises(KeyboardInterrupt):
        ours(tenant, interrupted)()
    with pytest.raises(KeyboardInterrupt), tenant.transaction() as tx:
        tx.users.ensure("U1", name="half")
        raise KeyboardInterrupt
    tenant.audit.log("a.b")
    assert tenant.users.get("U1").name == "whole"
    assert len(tenant.audit.recent()) == 1
    with tenant.transaction() as tx:
        assert tx.users.get("U1").name == "whole"


def test_control_an_open_transaction_in_the_lane_swallows_what_comes_next(few, monkeypatch):
    monkeypatch.setattr(PostgresqlPort, "rollback", lambda self: None)
    for port in PostgresqlPort.__subclasses__():
        monkeypatch.setattr(port, "usable", property(lambda self: True))
    tenant = few()

    def interrupted(tx: Tx) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ours(tenant, interrupted)()
    tenant.audit.log("a.b")
    assert tenant.db.fetch("SELECT 1 FROM undercroft.audit_events") == []  # acknowledged, and not there
