"""Greenlets that are kept: each call is by itself, whatever became of the one before."""

import asyncio
import contextvars
import gc
import weakref

import pytest
from greenlet import getcurrent
from sqlalchemy.util import await_only

from undercroft.core.runtime.greenlets import KEPT, spawn

WHO = contextvars.ContextVar("who", default="nobody")


async def _soon(value):
    await asyncio.sleep(0)
    return value


def _wait(*values):
    return [await_only(_soon(value)) for value in values]


async def test_a_function_waits_on_the_loop_and_returns():
    assert await spawn(_wait, 1, 2, 3) == [1, 2, 3]


async def test_a_greenlet_is_used_again():
    used = [await spawn(getcurrent) for _ in range(3)]
    assert used[0] is used[1] is used[2] is not getcurrent()


async def test_calls_under_way_have_one_each_and_keep_apart():

    def call(number):
        before = getcurrent()
        _wait(*range(number))
        return before, number

    outcomes = await asyncio.gather(*(spawn(call, number) for number in range(1, 9)))
    assert [number for _, number in outcomes] == list(range(1, 9))
    assert len({id(greenlet) for greenlet, _ in outcomes}) == 8


async def test_what_a_function_raises_is_raised_and_the_next_call_is_well():

    def fail():
        _wait(1)
        raise LookupError("lost")

    with pytest.raises(LookupError, match="lost"):
        await spawn(fail)
    assert await spawn(_wait, 2) == [2]


async def test_what_its_wait_raises_is_raised_inside_it():
    async def refuse():
        await asyncio.sleep(0)
        raise OSError("gone")

    def call():
        try:
            await_only(refuse())
        except OSError as error:
            return [str(error), *_wait("tidied")]

    assert await spawn(call) == ["gone", "tidied"]


async def test_a_cancellation_is_raised_inside_it_and_it_may_wait_to_tidy_up():
    tidied = []

    def call():
        try:
            await_only(asyncio.sleep(3600))
        finally:
            tidied.extend(_wait("tidied"))

    task = asyncio.create_task(spawn(call))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert tidied == ["tidied"]
    assert await spawn(_wait, "well") == ["well"]


async def test_each_call_sees_its_callers_context():

    async def as_somebody(name):
        WHO.set(name)
        return await spawn(lambda: [WHO.get(), *_wait(1), WHO.get()])

    names = ["Ada", "Grace", "Mary"]
    assert await asyncio.gather(*map(as_somebody, names)) == [[name, 1, name] for name in names]
    assert await spawn(WHO.get) == "nobody"


async def test_an_idle_greenlet_keeps_nothing_alive():
    class Thing:
        pass

    given, made = Thing(), await spawn(Thing)
    await spawn(lambda thing: thing, given)
    left = [weakref.ref(given), weakref.ref(made)]
    del given, made
    assert [reference() for reference in left] == [None, None]


async def test_a_call_that_nobody_waits_for_any_more_leaves_no_greenlet_behind():
    ended = []

    def call():
        try:
            await_only(asyncio.sleep(3600))
        finally:
            ended.append(getcurrent())

    abandoned = spawn(call)
    abandoned.send(None)
    abandoned.close()
    del abandoned
    gc.collect()
    assert len(ended) == 1
    assert await spawn(getcurrent) is not ended[0]


async def test_a_burst_leaves_no_more_greenlets_than_are_kept():
    burst = KEPT + 10
    first = await asyncio.gather(*(spawn(lambda: (getcurrent(), _wait(1))[0]) for _ in range(burst)))
    second = await asyncio.gather(*(spawn(lambda: (getcurrent(), _wait(1))[0]) for _ in range(burst)))
    assert len(set(first) & set(second)) == KEPT
