"""Many tasks on few connections, some cancelled at any moment: nobody is ever given another tenant's values."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from tests import servers
from undercroft import AsyncStore, Settings, TenantScope, errors
from undercroft.core.operation import Slice, operation
from undercroft.core.runtime import postgresql_async
from undercroft.core.runtime.postgresql_ports import PostgresqlPort
from undercroft.core.tx import Tx
from undercroft.users.models import User

TASKS = 500
TENANTS = 20
USERS = ["U1", "U2", "U3", "U4", "U5"]
CANCELLED = 0.1
SEED = 20261126

_NAMES = sa.select(User.name)  # by the walls alone


def names(tx: Tx) -> list[str]:
    return [name for (name,) in tx.rows(_NAMES)]


class Peek(Slice[Any]):
    names = operation(names, access="read")


async def point(tenant: TenantScope[Any]) -> list[str]:
    return [(await tenant.users.get("U1")).name]


async def read(tenant: TenantScope[Any]) -> list[str]:
    return [user.name for user in await tenant.users.list()]


async def append(tenant: TenantScope[Any]) -> list[str]:
    return [str((await tenant.audit.log("a.b", by=tenant.key)).actor)]


async def recent(tenant: TenantScope[Any]) -> list[str]:
    return [str(event.actor) for event in await tenant.audit.recent(limit=3)]


async def transaction(tenant: TenantScope[Any]) -> list[str]:
    async with tenant.transaction() as tx:
        return [(await tx.users.ensure("U1")).name, *[user.name for user in await tx.users.list()]]


async def session(tenant: TenantScope[Any]) -> list[str]:
    async with tenant.session() as session:
        return list(await session.scalars(sa.select(User.name)))


async def door(tenant: TenantScope[Any]) -> list[str]:
    return [row["name"] for row in await tenant.db.fetch("SELECT name FROM undercroft.users")]


async def peek(tenant: TenantScope[Any]) -> list[str]:
    return await Peek(tenant._runner, tenant._scope).names()


ASKING = (point, read, append, recent, transaction, session, door, peek)


class Crowd:
    """Tasks that ask for tenants' values, and what they were told that was not theirs."""

    def __init__(self, store: AsyncStore, keys: list[str]) -> None:
        self.store = store
        self.keys = keys
        self.random = Random(SEED)
        self.replies = 0
        self.cancelled = 0
        self.wrong: list[str] = []
        self.failures: list[BaseException] = []

    async def ask(self, key: str) -> list[str]:
        """Ask for values that all name their tenant."""
        return await self.random.choice(ASKING)(self.store.tenant(key))

    async def one(self, calls: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(calls):
            key = self.random.choice(self.keys)
            asked = asyncio.create_task(self.ask(key))
            if self.random.random() < CANCELLED:
                loop.call_later(self.random.uniform(0, 0.2), asked.cancel)
            try:
                values = await asked
            except asyncio.CancelledError:
                self.cancelled += 1
            except Exception as error:  # noqa: BLE001 - the test shows it
                self.failures.append(error)
            else:
                self.replies += len(values)
                self.wrong += [f"{value} to {key}" for value in values if value != key]

    async def all(self, replies: int) -> None:
        while self.replies < replies and len(self.failures) < 100:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(TASKS):
                    tasks.create_task(self.one(2))


async def crowded(url: str, replies: int, prepare: Callable[[], None] = lambda: None) -> Crowd:
    settings = Settings.load(url, pool_size=5, max_overflow=0, pool_timeout=60)
    async with AsyncStore(settings=settings) as store:
        keys = [f"slack:T{uuid4().hex[:12].upper()}" for _ in range(TENANTS)]
        for key in keys:
            await store.tenants.ensure(key)
            for user in USERS:
                await store.tenant(key).users.ensure(user, name=key)
        prepare()
        crowd = Crowd(store, keys)
        await crowd.all(replies)
        if not crowd.wrong:
            async with asyncio.timeout(10):  # nothing is stuck, and no connection is lost
                await asyncio.gather(*(store.tenant(key).users.get("U1") for key in keys))
        return crowd


def check(crowd: Crowd) -> None:
    assert crowd.wrong == []
    assert crowd.failures == []
    assert crowd.cancelled > 50


WAYS = ["postgresql", *servers.names("pgbouncer")]


@pytest.mark.parametrize("engine", WAYS, indirect=True)
def test_nobody_sees_anybody_elses_values(database_url):
    check(asyncio.run(crowded(database_url, 5_000)))


@pytest.mark.soak
@pytest.mark.parametrize("engine", WAYS, indirect=True)
def test_nobody_sees_anybody_elses_values_at_length(database_url, soak_share):
    check(asyncio.run(crowded(database_url, int(100_000 * soak_share))))


@pytest.mark.parametrize("engine", servers.names("pgbouncer"), indirect=True)
def test_control_a_tenant_set_for_the_session_is_seen_by_others(database_url, monkeypatch):
    def begin(self: PostgresqlPort, scope: Any, *, privileged: bool) -> None:
        self.execute(f"SELECT set_config('undercroft.tenant', '{scope.tenant_id}', false)", ())
        self.execute("BEGIN", ())

    crowd = asyncio.run(crowded(database_url, 500, lambda: monkeypatch.setattr(PostgresqlPort, "begin", begin)))
    assert crowd.wrong != []


async def _others(url: str, pool_timeout: float) -> list[Any]:
    """What becomes of those who wait for a pool without a connection, when those who came first are cancelled."""
    settings = Settings.load(url, pool_size=2, max_overflow=0, pool_timeout=pool_timeout)
    async with AsyncStore(settings=settings) as store:
        key = f"slack:T{uuid4().hex[:12].upper()}"
        await store.tenants.ensure(key)
        asked = [asyncio.create_task(transaction_of(store.tenant(key))) for _ in range(6)]
        for _ in range(3):
            await asyncio.sleep(0)  # the first have begun to connect
        for one in asked[:2]:
            one.cancel()
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in outcomes[:2])
        return outcomes[2:]


async def transaction_of(tenant: TenantScope[Any]) -> int:
    async with tenant.transaction() as tx:
        return len(await tx.users.list())


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_connection_that_is_made_for_somebody_who_gave_up_goes_to_those_who_wait(database_url):
    assert asyncio.run(_others(database_url, 60)) == [0] * 4


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_control_a_connection_that_is_not_made_after_all_wakes_nobody(database_url, monkeypatch):
    monkeypatch.setattr(postgresql_async, "borrowed", lambda engine: engine.connect())
    assert errors.PoolTimeout in {type(one) for one in asyncio.run(_others(database_url, 2))}
