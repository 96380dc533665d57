"""The lane of an AsyncStore: connections go to whoever has waited longest, and nobody waits for ever."""

import asyncio

import pytest

from undercroft.core.runtime.lanes import AwaitingLane
from undercroft.errors import PoolTimeout, StoreClosed


class Held:
    """A connection as far as a lane knows it."""

    born = float("inf")
    usable = True
    dropped = False

    def drop(self):
        self.dropped = True


def _lane(size=1, timeout=3600.0):
    async def connect():
        return Held()

    return AwaitingLane(connect, size, timeout, recycle=3600)


async def _waiting(lane, *names):
    """Tasks that wait for a connection, in this order, each noted when it has one."""
    served = []

    async def wait(name):
        held = await lane.take()
        served.append(name)
        return held

    tasks = [asyncio.create_task(wait(name)) for name in names]
    await asyncio.sleep(0)
    return tasks, served


async def test_no_more_are_opened_than_there_are_places():
    lane = _lane(size=2)
    first, second = await lane.take(), await lane.take()
    assert first is not second
    assert lane.use == {"size": 2, "open": 2, "idle": 0, "waiting": 0}


async def test_a_connection_goes_to_whoever_has_waited_longest():
    lane = _lane()
    held = await lane.take()
    tasks, served = await _waiting(lane, "Ada", "Grace", "Mary")
    for task in tasks:
        lane.give(held)
        assert await task is held
    assert served == ["Ada", "Grace", "Mary"]


async def test_one_who_comes_later_does_not_overtake():
    lane = _lane()
    held = await lane.take()
    (task,), served = await _waiting(lane, "Ada")
    lane.give(held)
    late = asyncio.create_task(lane.take())
    await asyncio.sleep(0)
    assert served == ["Ada"]
    assert await task is held
    assert not late.done()
    lane.give(held)
    assert await late is held


async def test_each_is_refused_at_the_end_of_his_own_time():
    lane = _lane(timeout=0.02)
    await lane.take()
    for tasks in [(await _waiting(lane, "Ada"))[0], (await _waiting(lane, "Grace", "Mary"))[0]]:
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [PoolTimeout] * len(tasks)
    assert lane.use["waiting"] == 0


async def test_refused_or_cancelled_they_take_no_connection_with_them():
    lane = _lane(timeout=0.02)
    held = await lane.take()
    refused, _ = await _waiting(lane, "Ada")
    await asyncio.wait(refused)
    cancelled, _ = await _waiting(lane, "Grace")
    cancelled[0].cancel()
    await asyncio.wait(cancelled)
    lane.give(held)
    assert lane.use == {"size": 1, "open": 1, "idle": 1, "waiting": 0}
    assert await lane.take() is held
    assert type(refused[0].exception()) is PoolTimeout


async def test_cancelled_in_the_moment_it_comes_it_goes_to_the_next():
    lane = _lane()
    held = await lane.take()
    (cancelled, following), served = await _waiting(lane, "Ada", "Grace")
    lane.give(held)
    cancelled.cancel()
    assert await following is held
    assert served == ["Grace"]
    assert cancelled.cancelled()


async def test_a_broken_one_is_replaced_for_whoever_waits():
    lane = _lane()
    held = await lane.take()
    (task,), _ = await _waiting(lane, "Ada")
    held.usable = False
    lane.give(held)
    assert await task is not held
    assert held.dropped
    assert lane.use["open"] == 1


async def test_closing_refuses_all_and_drops_what_comes_back():
    lane = _lane()
    held = await lane.take()
    tasks, _ = await _waiting(lane, "Ada", "Grace")
    lane.close()
    assert [type(outcome) for outcome in await asyncio.gather(*tasks, return_exceptions=True)] == [StoreClosed] * 2
    lane.give(held)
    assert held.dropped
    with pytest.raises(StoreClosed):
        await lane.take()
