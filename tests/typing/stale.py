"""What type checkers must see of stale reads: run by mypy and pyright in `make check`, never executed."""

from typing import assert_type

from undercroft import AsyncStore, Store, TenantScope
from undercroft.core.runtime.base import Awaiting, Blocking
from undercroft.users import User


def blocking(store: Store) -> None:
    stale = store.tenant("slack:T1").stale(5)
    assert_type(stale, TenantScope[Blocking])
    assert_type(stale.users.get("U1"), User)
    assert_type(store.tenant("slack:T1").idempotent("key").stale(), TenantScope[Blocking])


async def awaiting(store: AsyncStore) -> None:
    stale = store.tenant("slack:T1").stale()
    assert_type(stale, TenantScope[Awaiting])
    assert_type(await stale.users.get("U1"), User)
