"""Appends that were stored together: one bad item is its own fault, an outage is everybody's, and told at once."""

import asyncio
from typing import Any

import pytest

from undercroft import errors
from undercroft.core.runtime.gathering import Gatherings


async def outcomes(run: Any, *, together: bool) -> list[Any]:
    gatherings = Gatherings(together=together)
    calls = (gatherings.add("key", item, run) for item in ["first", *range(20)])
    return await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.parametrize(("together", "expected"), [(True, [1, 20]), (False, [1, 11, 9])])
@pytest.mark.parametrize(
    "error", [errors.DatabaseUnavailable, errors.PoolTimeout, errors.CommitUnknown, errors.DatabaseFull]
)
async def test_an_outage_is_told_to_all_at_once(error, together, expected):
    runs = []

    async def run(items: list[Any]) -> list[Any]:
        runs.append(len(items))
        await asyncio.sleep(0)
        raise error

    assert {type(outcome) for outcome in await outcomes(run, together=together)} == {error}
    assert runs == expected


@pytest.mark.parametrize(("together", "expected"), [(True, {1, 31, 32}), (False, {1, 15, 16, 17})])
async def test_callers_who_come_again_and_again_are_stored_whole_or_by_halves(together, expected):
    """Each of 32 appends ten times: never does one of them keep a statement for himself alone, but the first."""
    gatherings, runs = Gatherings(together=together), []

    async def run(items: list[Any]) -> list[Any]:
        runs.append(len(items))
        await asyncio.sleep(0.001)
        return items

    async def caller(number: int) -> None:
        for turn in range(10):
            assert await gatherings.add("key", (number, turn), run) == (number, turn)

    await asyncio.gather(*(caller(number) for number in range(32)))
    assert sum(runs) == 320
    assert set(runs[:10]) <= expected
    assert runs[:10].count(1) == 1


async def test_who_is_alone_is_stored_at_once_and_leaves_nothing_behind():
    gatherings = Gatherings()

    async def run(items: list[Any]) -> list[Any]:
        assert asyncio.current_task() is caller
        return items

    caller = asyncio.current_task()
    assert [await gatherings.add("key", item, run) for item in range(3)] == [0, 1, 2]
    assert vars(gatherings) == vars(Gatherings())


async def test_cancelling_the_first_stores_those_who_came_meanwhile():
    gatherings, stored = Gatherings(), []

    async def run(items: list[Any]) -> list[Any]:
        await asyncio.sleep(0.01)
        stored.extend(items)
        return items

    calls = [asyncio.create_task(gatherings.add("key", item, run)) for item in range(5)]
    await asyncio.sleep(0)
    calls[0].cancel()
    told = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(told[0], asyncio.CancelledError)
    assert told[1:] == stored == [1, 2, 3, 4]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("error", [errors.InvalidInput, errors.CheckViolation, ValueError])
async def test_a_bad_item_fails_alone(error, together):
    async def run(items: list[Any]) -> list[Any]:
        await asyncio.sleep(0)
        if 7 in items:
            raise error
        return items

    told = await outcomes(run, together=together)
    assert [type(outcome) for outcome in told].count(error) == 1
    assert type(told[8]) is error
    assert [told[0], *told[1:8], *told[9:]] == ["first", *range(7), *range(8, 20)]
