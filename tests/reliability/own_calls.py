"""Operations of a test's own, called on a tenant of either colour as its slices are."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from tests.colours import Driven
from undercroft.core.operation import Access, Slice, operation
from undercroft.core.tx import Tx

_SLEEP = sa.select(sa.func.pg_sleep(sa.bindparam("seconds", type_=sa.Float)))


def ours(tenant: Any, fn: Callable[..., Any], *, access: Access = "write") -> Callable[..., Any]:
    """The function of a transaction as a call of the tenant's."""

    class Ours(Slice[Any]):
        call = operation(fn, access=access)

    scope = getattr(tenant, "_object", tenant)
    made = Ours(scope._runner, scope._scope)
    return made.call if scope is tenant else Driven(made, tenant._thread).call


def sleep(tx: Tx, seconds: float) -> None:
    """Let the server take its time."""
    tx.rows(_SLEEP, {"seconds": seconds})
