"""What type checkers must see of keyed writes: run by mypy and pyright in `make check`, never executed."""

from typing import assert_type

from undercroft import AsyncStore, Store, TenantScope
from undercroft.audit import AuditEvent
from undercroft.core.runtime.base import Awaiting, Blocking
from undercroft.users import User


def blocking(store: Store) -> None:
    once = store.tenant("slack:T1").idempotent("key")
    assert_type(once, TenantScope[Blocking])
    assert_type(once.users.ensure("U1", name="Ada"), User)
    assert_type(once.audit.log("a.b", by="U1"), AuditEvent)
    once.users.ensure("U1", nam="Ada")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    store.idempotent("key")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


async def awaiting(store: AsyncStore) -> None:
    once = store.tenant("slack:T1").idempotent("key")
    assert_type(once, TenantScope[Awaiting])
    assert_type(await once.users.ensure("U1", name="Ada"), User)
    async with once.transaction() as tx:
        assert_type(await tx.audit.log("a.b"), AuditEvent)
