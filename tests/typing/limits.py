"""What type checkers must see of limits: run by mypy and pyright in `make check`, never executed."""

from collections.abc import Coroutine
from typing import Any, assert_type

from undercroft import AsyncStore, Decision, Store, TenantScope, limited
from undercroft.core.runtime.base import Blocking
from undercroft.limits import Limits


def _count(user: str, count: int = 1) -> int:
    return len(user) * count


def _user(user: str, count: int = 1) -> str | None:
    return user if count else None


def _limits(scope: TenantScope[Blocking]) -> Limits[Blocking]:
    return scope.limits


def blocking(store: Store) -> None:
    limits = store.tenant("slack:T1").limits
    assert_type(limits.consume("api", units=2, by="U1"), Decision)
    assert_type(limits.try_consume("api"), Decision)
    with limits.lease("api", block=10) as lease:
        assert_type(lease.consume(), Decision)
    limits.consume("api", units="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    @limited(limits, "api", units=_count, by=_user)
    def ask(user: str, count: int = 1) -> bytes:
        return user.encode() * count

    assert_type(ask("U1", count=2), bytes)
    ask(1, count=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def awaiting(store: AsyncStore) -> None:
    limits = store.tenant("slack:T1").limits
    assert_type(await limits.consume("api"), Decision)
    assert_type(await limits.try_consume("api"), Decision)
    async with limits.lease("api", block=10) as lease:
        assert_type(await lease.consume(), Decision)

    @limited(limits, "api", by="U1")
    async def ask(user: str) -> bytes:
        return user.encode()

    waiting: Coroutine[Any, Any, bytes] = ask("U1")
    assert_type(await waiting, bytes)
    await ask(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def told_by_the_call(tenant: TenantScope[Blocking]) -> None:
    @limited(_limits, "api")
    def ask(scope: TenantScope[Blocking]) -> int:
        return len(scope.key)

    assert_type(ask(tenant), int)
