"""The hot lane lends connections in the order they are asked for, and loses none whatever happens to who waits."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from undercroft.core.runtime.lanes import AwaitingLane, BlockingLane
from undercroft.errors import DatabaseUnavailable, PoolTimeout, StoreClosed


class Connection:
    def __init__(self) -> None:
        self.born = time.monotonic()
        self.usable = True
        self.dropped = False

    def drop(self) -> None:
        self.dropped = True


def blocking(size: int = 1, timeout: float = 5, recycle: float = 60, connect: Callable[[], Any] = Connection):
    return BlockingLane(connect, size, timeout, recycle)


def awaiting(size: int = 1, timeout: float = 5, recycle: float = 60, connect: Callable[[], Any] = Connection):
    async def grow() -> Any:
        await asyncio.sleep(0)
        return connect()

    return AwaitingLane(grow, size, timeout, recycle)


def waiting_for(lane: BlockingLane, number: int) -> None:
    while len(lane.waiters) < number:
        time.sleep(0.001)


def test_threads_are_served_in_the_order_of_their_asking():
    lane, served, threads = blocking(), [], []
    held = lane.take()

    def ask(name: int) -> None:
        mine = lane.take()
        served.append(name)
        lane.give(mine)

    for name in range(20):
        threads.append(threading.Thread(target=ask, args=(name,)))
        threads[-1].start()
        waiting_for(lane, name + 1)
    lane.give(held)
    for thread in threads:
        thread.join()
    assert served == list(range(20))
    assert lane.use == {"size": 1, "open": 1, "idle": 1, "waiting": 0}


async def test_tasks_are_served_in_the_order_of_their_asking():
    lane, served = awaiting(), []
    held = await lane.take()

    async def ask(name: int) -> None:
        mine = await lane.take()
        served.append(name)
        await asyncio.sleep(0)
        lane.give(mine)

    tasks = [asyncio.create_task(ask(name)) for name in range(20)]
    await asyncio.sleep(0)
    lane.give(held)
    await asyncio.gather(*tasks)
    assert served == list(range(20))
    assert lane.use == {"size": 1, "open": 1, "idle": 1, "waiting": 0}


def test_a_thread_waits_no_longer_than_it_may():
    lane = blocking(timeout=0.05)
    held = lane.take()
    start = time.monotonic()
    with pytest.raises(PoolTimeout):
        lane.take()
    assert 0.05 <= time.monotonic() - start < 5
    lane.give(held)
    assert lane.take() is held


async def test_a_task_waits_no_longer_than_it_may():
    lane = awaiting(timeout=0.05)
    held = await lane.take()
    start = time.monotonic()
    with pytest.raises(PoolTimeout):
        await lane.take()
    assert 0.05 <= time.monotonic() - start < 5
    lane.give(held)
    assert await lane.take() is held


async def test_what_is_handed_to_a_cancelled_task_goes_to_the_next():
    lane = awaiting()
    held = await lane.take()
    first, second = asyncio.create_task(lane.take()), asyncio.create_task(lane.take())
    await asyncio.sleep(0)
    lane.give(held)  # to the first, which has not run since
    first.cancel()
    assert await second is held
    assert first.cancelled()
    lane.give(held)
    assert lane.use == {"size": 1, "open": 1, "idle": 1, "waiting": 0}


async def test_a_cancelled_task_waits_no_more():
    lane = awaiting()
    held = await lane.take()
    gone = asyncio.create_task(lane.take())
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    lane.give(held)
    assert await asyncio.wait_for(lane.take(), 1) is held


def test_what_is_handed_to_an_interrupted_thread_goes_to_the_next(monkeypatch):
    lane = blocking()
    held = lane.take()

    def interrupted(self: threading.Event, timeout: float | None = None) -> bool:
        lane.give(held)  # in this very moment
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(threading.Event, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lane.take()
    assert lane.take() is held


def test_a_failed_connect_gives_its_place_to_the_next():
    outcomes: list[Any] = [DatabaseUnavailable(), Connection()]

    def connect() -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    lane = blocking(connect=connect)
    with pytest.raises(DatabaseUnavailable):
        lane.take()
    assert lane.use["open"] == 0
    assert isinstance(lane.take(), Connection)


async def test_a_failed_connect_gives_its_place_to_the_next_task():
    outcomes: list[Any] = [DatabaseUnavailable(), Connection()]

    async def connect() -> Any:
        await asyncio.sleep(0)
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    lane = AwaitingLane(connect, 1, 5, 60)
    first, second = asyncio.create_task(lane.take()), asyncio.create_task(lane.take())
    with pytest.raises(DatabaseUnavailable):
        await first
    assert isinstance(await second, Connection)


@pytest.mark.parametrize("fault", ["unusable", "old"])
def test_a_worn_connection_is_replaced(fault):
    lane = blocking(recycle=60)
    held = lane.take()
    lane.give(held)
    if fault == "unusable":
        held.usable = False
    else:
        held.born -= 61
    other = lane.take()
    assert other is not held
    assert held.dropped
    assert lane.use["open"] == 1
    other.usable = False
    lane.give(other)
    assert other.dropped
    assert lane.use["open"] == 0


def test_closing_refuses_who_waits_and_drops_what_comes_back():
    lane, outcome = blocking(), []
    held = lane.take()

    def ask() -> None:
        with pytest.raises(StoreClosed):
            lane.take()
        outcome.append("refused")

    thread = threading.Thread(target=ask)
    thread.start()
    waiting_for(lane, 1)
    lane.close()
    thread.join()
    assert outcome == ["refused"]
    assert not held.dropped
    lane.give(held)
    assert held.dropped
    assert lane.use == {"size": 1, "open": 0, "idle": 0, "waiting": 0}
    with pytest.raises(StoreClosed):
        lane.take()


async def test_closing_refuses_tasks_that_wait_and_drops_what_comes_back():
    lane = awaiting()
    held = await lane.take()
    waiting = asyncio.create_task(lane.take())
    await asyncio.sleep(0)
    lane.close()
    with pytest.raises(StoreClosed):
        await waiting
    lane.give(held)
    assert held.dropped
    assert lane.use == {"size": 1, "open": 0, "idle": 0, "waiting": 0}
    with pytest.raises(StoreClosed):
        await lane.take()


async def test_a_connection_that_is_made_while_the_lane_closes_is_dropped():
    made: list[Connection] = []

    def connect() -> Connection:
        made.append(Connection())
        return made[0]

    lane = awaiting(connect=connect)
    waiting = asyncio.create_task(lane.take())
    await asyncio.sleep(0)
    lane.close()
    with pytest.raises(StoreClosed):
        await waiting
    assert made[0].dropped
    assert lane.use["open"] == 0
