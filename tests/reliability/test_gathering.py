"""Appends that were stored together: one bad item is its own fault, an outage is everybody's, and told at once."""

import asyncio
from typing import Any

import pytest

from undercroft import errors
from undercroft.core.operation import gathered
from undercroft.core.runtime.gathering import Gatherings
from undercroft.core.scope import Scope
from undercroft.core.tx import Tx


def _build(item: Any) -> Any:
    return item


def _append(tx: Tx, items: list[Any]) -> list[Any]:
    return items


APPEND = gathered(_build, _append)


async def outcomes(run: Any) -> list[Any]:
    gatherings = Gatherings()
    calls = (gatherings.add(Scope(), APPEND, item, run) for item in ["first", *range(20)])
    return await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.parametrize(
    "error", [errors.DatabaseUnavailable, errors.PoolTimeout, errors.CommitUnknown, errors.DatabaseFull]
)
async def test_an_outage_is_told_to_all_at_once(error):
    runs = []

    async def run(scope: Scope, op: Any, items: list[Any]) -> list[Any]:
        runs.append(len(items))
        await asyncio.sleep(0)
        raise error

    assert {type(outcome) for outcome in await outcomes(run)} == {error}
    assert runs in ([1, 20], [21])


@pytest.mark.parametrize("error", [errors.InvalidInput, errors.CheckViolation, ValueError])
async def test_a_bad_item_fails_alone(error):
    async def run(scope: Scope, op: Any, items: list[Any]) -> list[Any]:
        await asyncio.sleep(0)
        if 7 in items:
            raise error
        return items

    told = await outcomes(run)
    assert [type(outcome) for outcome in told].count(error) == 1
    assert type(told[8]) is error
    assert [told[0], *told[1:8], *told[9:]] == ["first", *range(7), *range(8, 20)]
