"""Statements of many tenants in one message: each stays behind its own wall, and what befalls one is nobody else's."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest

from tests import servers
from tests.reliability.proxy import proxy
from undercroft import AsyncStore, errors
from undercroft.core.dialects import postgresql_shared
from undercroft.core.runtime import sharing
from undercroft.core.runtime.asyncpg_port import AsyncpgPort

pytestmark = [
    pytest.mark.parametrize("engine", [*servers.names("postgresql"), "sealed-postgresql"], indirect=True),
]
TENANTS = 12


@pytest.fixture
async def shared(database_url: str) -> AsyncIterator[Any]:
    """A store that many call at once."""
    async with AsyncStore(database_url) as store:
        yield store


@pytest.fixture
async def tenants(shared: Any) -> list[Any]:
    names = [f"slack:T{uuid4().hex[:12].upper()}" for _ in range(TENANTS)]
    for name in names:
        await shared.tenants.ensure(name)
    return [shared.tenant(name) for name in names]


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many statements each message had that was answered, from now on."""
    fetch, answered = AsyncpgPort.fetch_each, []

    def noting(port: AsyncpgPort, sql: str, many: Any) -> Any:
        rows = fetch(port, sql, many)
        answered.append(len(many))
        return rows

    monkeypatch.setattr(AsyncpgPort, "fetch_each", noting)
    return answered


async def at_once(calls: Any) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_every_chain_grows_by_its_own_events(tenants, messages):
    told = await at_once(tenant.audit.log("a.b", data={"n": n}) for n in range(5) for tenant in tenants)
    assert [event.event_type for event in told] == ["a.b"] * 60
    assert sum(messages) > TENANTS
    assert max(messages) > 1
    for number, tenant in enumerate(tenants):
        report = await tenant.audit.verify()
        assert (report.intact, report.verified) == (True, 5)
        mine = {event.id for event in told[number::TENANTS]}
        assert {event.id for event in await tenant.audit.recent()} == mine


async def test_each_gets_the_rows_that_are_his(tenants, messages):
    """One answer has one row, the next one twenty, and of one thread each turn sees those before it."""
    say = lambda tenant, n: tenant.threads.turn("t", role="user", content=f"{tenant.key} {n}")  # noqa: E731
    told = await at_once(say(tenant, n) for n in range(25) for tenant in tenants)
    assert max(messages) > 1
    for number, tenant in enumerate(tenants):
        windows = told[number::TENANTS]
        assert sorted(window[-1].position for window in windows) == [*range(1, 26)]
        for n, window in enumerate(windows):
            last = window[-1]
            assert last.content == f"{tenant.key} {n}"
            assert [one.position for one in window] == [*range(max(1, last.position - 19), last.position + 1)]
            assert all(one.content.startswith(tenant.key) for one in window)


async def test_reads_that_find_nothing_are_told_apart_from_those_that_find_something(tenants, messages):
    known = [(await tenant.sessions.start("U1")).id for tenant in tenants]
    asked = known[1:] + known[:1]
    calls = [tenant.sessions.get(id_) for tenant, id_ in zip(tenants, known, strict=True)]
    calls += [tenant.sessions.get(id_) for tenant, id_ in zip(tenants, asked, strict=True)]
    told = await at_once(calls)
    assert sum(messages) >= 20
    assert [session.id for session in told[:TENANTS]] == known
    assert {type(error) for error in told[TENANTS:]} == {errors.NotFound}


async def test_a_limit_is_taken_by_each_tenant_for_itself(tenants, messages):
    for tenant in tenants:
        await tenant.limits.define("calls", 3, per="day", each="user")
    takes = [
        tenant.limits.try_consume("calls", by=f"U{user}") for _ in range(5) for user in range(4) for tenant in tenants
    ]
    allowed = [decision.allowed for decision in await at_once(takes)]
    assert max(messages) > 1
    assert sum(allowed) == TENANTS * 4 * 3


async def test_whom_the_database_refuses_is_refused_alone(tenants, shared, messages):
    gone = tenants[5]
    await shared.tenants.soft_delete(gone.key)
    told = await at_once(tenant.metrics.log("m", 1.0) for tenant in tenants)
    refused = [n for n, outcome in enumerate(told) if isinstance(outcome, Exception)]
    assert refused == [5]
    assert type(told[5]) is errors.TenantDeleted
    assert told[5].context["tenant"] == gone.key


async def test_what_cannot_be_sent_keeps_nobody(tenants):
    """The driver refuses it half-way through the message."""
    said = ["fine"] * TENANTS
    said[7] = "\ud800"
    told = await at_once(
        tenant.threads.append("t", role="user", content=content) for tenant, content in zip(tenants, said, strict=True)
    )
    assert [n for n, outcome in enumerate(told) if isinstance(outcome, Exception)] == [7]
    assert isinstance(told[7], errors.InvalidInput)
    assert [len(await tenant.threads.messages("t")) for tenant in tenants] == [int(n != 7) for n in range(TENANTS)]


@pytest.fixture
async def while_one_is_locked(tenants: list[Any]) -> Callable[[], Any]:
    """Tells who was answered while a transaction holds what one of them waits for."""

    async def ask() -> list[bool]:
        for tenant in tenants:
            await tenant.threads.append("t", role="user", content="first")
        async with tenants[3].transaction() as tx:
            await tx.threads.append("t", role="user", content="holds the thread's row")
            calls = [asyncio.create_task(tenant.threads.append("t", role="user", content="x")) for tenant in tenants]
            await asyncio.wait(calls, timeout=2, return_when=asyncio.ALL_COMPLETED)
            answered = [call.done() for call in calls]
        await asyncio.gather(*calls)
        return answered

    return ask


async def test_who_waits_for_a_lock_keeps_nobody(while_one_is_locked):
    assert await while_one_is_locked() == [n != 3 for n in range(TENANTS)]


async def test_control_without_the_limit_all_behind_him_wait(while_one_is_locked, monkeypatch):
    monkeypatch.setattr(postgresql_shared, "PATIENCE", 0)
    assert (await while_one_is_locked()).count(False) > 1


async def test_an_answer_that_is_lost_is_told_to_each_with_his_own_name(tenants, database_url, loop_thread):
    with proxy(database_url, loop_thread) as (wire, address):
        async with AsyncStore(address) as store:
            asked = [store.tenant(tenant.key) for tenant in tenants]
            await asked[0].metrics.log("m", 0.0)
            wire.lose = 3
            told = await at_once(tenant.metrics.log("m", 1.0) for tenant in asked)
    assert wire.lost >= 1
    lost = [(tenant, outcome) for tenant, outcome in zip(asked, told, strict=True) if isinstance(outcome, Exception)]
    assert len(lost) > 1
    for tenant, outcome in lost:
        assert type(outcome) is errors.CommitUnknown
        assert outcome.context["tenant"] == tenant.key


async def test_who_is_cancelled_takes_nobody_along(tenants, messages):
    calls = [asyncio.create_task(tenant.audit.log("a.b")) for tenant in tenants]
    for _ in range(3):
        await asyncio.sleep(0)
    calls[0].cancel()  # the one who went ahead
    calls[4].cancel()
    told = await at_once(calls)
    assert [type(outcome) for outcome in (told[0], told[4])] == [asyncio.CancelledError] * 2
    assert not [outcome for n, outcome in enumerate(told) if n not in {0, 4} and isinstance(outcome, BaseException)]
    assert all([(await tenant.audit.verify()).intact for tenant in tenants])


async def test_when_all_are_cancelled_at_once_nobody_is_sent_for_them(tenants, shared):
    """As when their loop is about to close: what would begin then would be destroyed half-way."""
    calls = [asyncio.create_task(tenant.metrics.log("m", 1.0)) for tenant in tenants]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    before = asyncio.all_tasks()
    await at_once(calls)
    assert asyncio.all_tasks() <= before
    assert sum([len(await tenant.metrics.list()) for tenant in tenants]) <= 1
    await at_once(tenant.metrics.log("m", 1.0) for tenant in tenants)
    assert all([await tenant.metrics.list() for tenant in tenants])


async def test_no_more_are_under_way_than_may_be(tenants, monkeypatch):
    fetch, under_way, most = AsyncpgPort.fetch_each, [], []

    def noting(port: AsyncpgPort, sql: str, many: Any) -> Any:
        under_way.append(port)
        most.append(len(under_way))
        try:
            return fetch(port, sql, many)
        finally:
            under_way.remove(port)

    monkeypatch.setattr(AsyncpgPort, "fetch_each", noting)

    async def caller(tenant: Any) -> None:
        for _ in range(5):
            await tenant.metrics.log("m", 1.0)

    await asyncio.gather(*(caller(tenant) for tenant in tenants))
    assert 1 <= max(most) <= sharing.AT_ONCE
