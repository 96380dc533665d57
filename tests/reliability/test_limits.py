"""Limits under processes: exactly as many as there are, whoever asks, dies or has a wrong clock."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from random import Random
from typing import Any
from uuid import uuid4

import pytest

from tests import servers
from undercroft import AsyncStore, Decision, Settings, Store, TenantScope, errors

UNITS = 40
PROCESSES = 4

TAKE = """
import datetime, sys, time
from undercroft import Store, errors
from undercroft.core import clock, tx
url, tenant, how, shift = sys.argv[1:]
wrong = lambda: datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=float(shift))
clock.utc_now = tx.utc_now = wrong  # the clock of this process; the database has its own
real = time.time
time.time = lambda: real() + float(shift) * 3600
with Store(url) as store:
    limits = store.tenant(tenant).limits
    print("ready", flush=True)
    sys.stdin.readline()
    if how == "killed":
        lease = limits.lease("x", block=7)
        lease.consume()
        print("held", flush=True)
        time.sleep(60)
    elif how == "leased":
        with limits.lease("x", block=7) as lease:
            print(sum(lease.try_consume().allowed for _ in range(%(units)d)))
    elif how == "naive":
        allowed = limits.check("x", units=%(units)d).allowed
        print("looked", flush=True)
        sys.stdin.readline()
        if allowed and store._engine.redis is not None:
            from undercroft.limits import redis_counters, redis_rules
            limit, = limits.list()
            counter = redis_rules.defined(store.tenant(tenant).id, limit).counter(None, None)
            store._engine.redis.run(*redis_counters.call("give", counter, "", -%(units)d, 0))
        elif allowed:
            with store.tenant(tenant).transaction() as tx:
                tx.db.execute("UPDATE undercroft.api_rate_limit_usage SET used = used + %(units)d")
        print(%(units)d * allowed)
    elif how == "stubborn":
        granted, lost, allowed = 0, 0, True
        while allowed:
            try:
                allowed = limits.try_consume("many").allowed
                granted += allowed
            except errors.RedisUnavailable:
                lost += 1
            time.sleep(0.002)
        print(granted, lost)
    else:
        granted = 0
        for _ in range(%(units)d):
            granted += limits.try_consume("x").allowed
            time.sleep(0.002)  # let others have their turn
        print(granted)
"""


def _race(
    url: str,
    tenant: str,
    *how: str,
    shifts: tuple[str, ...] = ("0",) * PROCESSES,
    meanwhile: Callable[[], None] = lambda: None,
) -> list[str]:
    """Let processes take units at the same moment; what each tells of itself."""
    code = TAKE % {"units": UNITS}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, url, tenant, one, shift],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for one, shift in zip(how, shifts, strict=True)
    ]
    told = []
    try:
        for sign in ("ready\n", *(["looked\n"] if "naive" in how else [])):
            for one in started:
                assert one.stdout.readline() == sign
            for one in started:
                one.stdin.write("go\n")
                one.stdin.flush()
        meanwhile()
        for one, asked in zip(started, how, strict=True):
            told.append(one.stdout.readline().strip())
            if asked == "killed":
                one.kill()
            one.communicate()
    finally:
        for one in started:
            one.kill()
            one.wait()
    return told


@pytest.fixture(params=["database", servers.names("valkey")[-1]])
def counters(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where is counted, by this process and by those that it starts."""
    if request.param != "database":
        _count_in(servers.url(request.param), monkeypatch)
    return request.param


def _count_in(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERCROFT_REDIS_URL", redis_url)
    monkeypatch.setenv("UNDERCROFT_LIMITS_BACKEND", "redis")


@pytest.fixture
def limited(database_url: str, counters: str) -> Callable[..., Any]:
    """A tenant of its own with a limit of so many units a day."""

    def make() -> tuple[str, str]:
        name = f"slack:T{uuid4().hex[:12].upper()}"
        with Store(database_url) as store:
            store.tenants.ensure(name)
            store.tenant(name).limits.define("x", UNITS, per="month")
        return database_url, name

    return make


def test_four_processes_with_clocks_an_hour_wrong_get_exactly_what_there_is(limited):
    url, tenant = limited()
    told = _race(url, tenant, *["plain"] * 2, *["leased"] * 2, shifts=("-1", "1", "-1", "1"))
    with Store(url) as store:
        left = store.tenant(tenant).limits.check("x").remaining
    # What one lease still held when the others were refused comes back at its close.
    assert sum(map(int, told)) == UNITS - left
    assert left < 2 * 7


def test_takers_without_a_lease_get_every_unit(limited):
    url, tenant = limited()
    assert sum(map(int, _race(url, tenant, *["plain"] * PROCESSES))) == UNITS


def test_control_looking_first_and_counting_then_overspends(limited):
    url, tenant = limited()
    with Store(url) as store:
        taken = store.tenant(tenant).limits.consume("x")
        store.tenant(tenant).limits.refund(taken)
    assert _race(url, tenant, *["naive"] * PROCESSES) == [str(UNITS)] * PROCESSES


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # of no matter: it only has the definition
@pytest.mark.parametrize("durable", [True, False], ids=["durable", "control: in memory alone"])
def test_a_redis_that_is_killed_grants_no_more_than_there_is(database_url, durable, monkeypatch):
    name, units = f"slack:T{uuid4().hex[:12].upper()}", 1000
    with servers.own_valkey(durable=durable) as server:
        _count_in(server.url, monkeypatch)
        with Store(database_url) as store:
            store.tenants.ensure(name)
            limits = store.tenant(name).limits
            limits.define("many", units, per="month")

            def kill() -> None:
                while limits.check("many").remaining > units * 2 // 3:
                    time.sleep(0.01)
                server.kill()
                with pytest.raises(errors.RedisUnavailable):
                    limits.check("many")
                server.start()

            told = _race(database_url, name, *["stubborn"] * PROCESSES, meanwhile=kill)
    granted, lost = (sum(map(int, numbers)) for numbers in zip(*(one.split() for one in told), strict=True))
    assert lost > 0
    if durable:
        assert units - lost <= granted <= units
    else:
        assert granted > units


def test_a_killed_process_loses_no_more_than_its_block(limited):
    url, tenant = limited()
    assert _race(url, tenant, "killed", shifts=("0",)) == ["held"]
    assert sum(map(int, _race(url, tenant, "plain", "plain", shifts=("0", "0")))) == UNITS - 7


async def _alone(tenant: TenantScope[Any], user: str) -> Decision:
    return await tenant.limits.consume("y", by=user)


async def _in_a_transaction(tenant: TenantScope[Any], user: str) -> Decision:
    async with tenant.transaction() as tx:
        return await tx.limits.consume("y", by=user)


@pytest.mark.parametrize("take", [_alone, _in_a_transaction], ids=["alone", "in a transaction"])
def test_a_take_that_is_cancelled_counts_once_or_not_at_all(limited, take):
    url, key = limited()
    random = Random(20261124)

    async def main() -> None:
        async with AsyncStore(settings=Settings.load(url, pool_size=2, max_overflow=0)) as store:
            tenant = store.tenant(key)
            await tenant.limits.define("y", 10**6, per="month", each="user")
            for user in ("U1", "U2", "U3"):
                outcomes: list[Any] = []
                for _ in range(10):
                    calls = [asyncio.create_task(take(tenant, user)) for _ in range(12)]
                    for call in random.sample(calls, 6):
                        await asyncio.sleep(random.uniform(0, 0.001))
                        call.cancel()
                    outcomes += await asyncio.gather(*calls, return_exceptions=True)
                taken = [one for one in outcomes if isinstance(one, Decision)]
                cancelled = [one for one in outcomes if isinstance(one, asyncio.CancelledError)]
                assert len(taken) + len(cancelled) == len(outcomes)
                assert cancelled
                async with asyncio.timeout(10):  # no connection is lost, and none is in somebody's transaction
                    last = await tenant.limits.consume("y", by=user)
                assert len(taken) <= 10**6 - last.remaining - 1 <= len(taken) + len(cancelled)
                assert len({one.remaining for one in taken}) == len(taken)  # no unit was given to two

    asyncio.run(main())
