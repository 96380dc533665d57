"""The four kinds of declaration, each in both colours on every engine."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import bindparam, func, select

from undercroft import AsyncStore, errors
from undercroft.core.operation import Page, Slice, operation, procedure, resource, stream
from undercroft.core.runtime.base import Ports
from undercroft.core.tx import Tx
from undercroft.users import ops as users
from undercroft.users.models import User

NAMES = (
    select(User.native_id)
    .where(User.tenant_id == bindparam("tenant_id"), User.native_id > bindparam("after"))
    .order_by(User.native_id)
    .limit(3)
)
COUNT = select(func.count()).select_from(User).where(User.tenant_id == bindparam("tenant_id"))


def add(tx: Tx, *names: str) -> int:
    """Add users and count all."""
    for name in names:
        users.ensure(tx, name)
    return count(tx)


def count(tx: Tx) -> int:
    return tx.value(COUNT)


def add_then_fail(tx: Tx, name: str) -> None:
    users.ensure(tx, name)
    raise ZeroDivisionError


def names(tx: Tx, after: str | None) -> Page[str]:
    found = [name for (name,) in tx.rows(NAMES, {"after": after or ""})]
    return Page(found, found[-1] if len(found) == 3 else None)


ADD, COUNT_USERS = operation(add), operation(count, access="read")


def add_what_is_told(ports: Ports, tell) -> tuple[int, int]:
    before = ports.run(COUNT_USERS)
    return before, ports.run(ADD, ports.call(tell, "x"))


def visit(ports: Ports, name: str, *, forgive: bool = False) -> Iterator[dict]:
    held = {"before": ports.run(ADD, name)}
    try:
        yield held
    except ZeroDivisionError:
        ports.run(ADD, f"{name}-failed")
        if not forgive:
            raise
    else:
        held["after"] = ports.run(ADD, f"{name}-left")


class Toy(Slice):
    add = operation(add)
    count = operation(count, access="read")
    glance = operation(count, access="point")
    add_then_fail = operation(add_then_fail)
    names = stream(names)
    add_what_is_told = procedure(add_what_is_told)
    visit = resource(visit)


@pytest.fixture
def toy(store, tenant, loop_thread):
    inner = getattr(tenant, "_driven", tenant)
    toy = Toy(inner._runner, inner._scope)
    if inner is tenant:
        return toy
    from tests.colours import Driven

    return Driven(toy, loop_thread)


def test_an_operation_is_one_transaction(toy):
    assert toy.add("a", "b") == 2
    with pytest.raises(ZeroDivisionError):
        toy.add_then_fail("c")
    assert toy.count() == toy.glance() == 2


def test_an_operation_keeps_its_documentation(toy):
    assert Toy.add.__doc__ == "Add users and count all."
    assert toy.add.__doc__ == "Add users and count all."


def test_a_stream_yields_every_item_once_over_many_pages(toy):
    expected = [f"u{n}" for n in range(8)]
    toy.add(*expected)
    assert list(toy.names()) == expected


def test_a_stream_can_be_left_in_the_middle(toy):
    toy.add(*(f"u{n}" for n in range(8)))
    for name in toy.names():
        assert name == "u0"
        break
    assert toy.add("v") == 9


def test_a_procedure_runs_several_transactions_and_calls_out(toy, colour):
    async def tell_later(word: str) -> str:
        await asyncio.sleep(0)
        return word + "!"

    assert toy.add_what_is_told(lambda word: word + "?") == (0, 1)
    if colour == "async":
        assert toy.add_what_is_told(tell_later) == (1, 2)
    else:
        with pytest.raises(errors.WrongColour):
            toy.add_what_is_told(tell_later)


def test_a_resource_runs_both_halves(toy):
    with toy.visit("a") as held:
        assert held == {"before": 1}
    assert held == {"before": 1, "after": 2}
    with pytest.raises(ZeroDivisionError), toy.visit("b"):
        raise ZeroDivisionError
    with toy.visit("c", forgive=True):
        raise ZeroDivisionError
    assert list(toy.names()) == ["a", "a-left", "b", "b-failed", "c", "c-failed"]


def test_what_was_cancelled_is_not_half_done(database_url):
    """Cancelled at many moments, a transaction of ten inserts leaves all of them or none, and the store goes on."""

    async def main() -> None:
        async with AsyncStore(database_url) as store:
            key = f"slack:T{time.time_ns()}"
            await store.tenants.ensure(key)
            inner = store.tenant(key)
            toy = Toy(inner._runner, inner._scope)
            for round_ in range(30):
                task = asyncio.create_task(toy.add(*(f"{round_}-{n}" for n in range(10))))
                await asyncio.sleep(round_ * 0.0005)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await toy.add("last")
            assert await toy.count() % 10 == 1

    asyncio.run(main())


def test_a_cancelled_block_is_rolled_back(database_url):
    async def main() -> None:
        async with AsyncStore(database_url) as store:
            key = f"slack:T{time.time_ns()}"
            await store.tenants.ensure(key)
            tenant = store.tenant(key)

            async def block() -> None:
                async with tenant.transaction() as tx:
                    await tx.users.ensure("never")
                    await asyncio.sleep(60)

            for _ in range(10):
                task = asyncio.create_task(block())
                await asyncio.sleep(0.01)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            async with asyncio.timeout(5):
                assert await tenant.users.list() == []
                await tenant.users.ensure("after")

    asyncio.run(main())
