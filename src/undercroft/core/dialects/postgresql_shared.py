"""A statement that enters its tenant by itself, as it is sent with others of its kind in one message.

asyncpg's `fetchmany` sends a text with many sets of arguments and one Sync, so that all of them are one transaction:
one answer to wait for, one commit. Their rows come back in one list, and each ends with the number of its rider.

Every one of them enters its own tenant, having left that of the one before if it is another; in a text that travels
alone that is an error. Under a seal it shows the same proof as ever. And it waits for nobody's lock for long: whatever
one of them waits for, all those behind it do.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import CompoundSelect, Insert, Integer, Select, bindparam, select

from undercroft.core.statement import RIDER, Prepared, Shared

PATIENCE = 100
"""Milliseconds that a rider waits for a lock, after which all of them are sent again, each alone."""
_RIDER = bindparam(RIDER, type_=Integer()).label(RIDER)
_ENTER = re.compile(r"undercroft\.(enter|enter_sealed)\((\$\d+)(::\w+)\)")
# CASE computes its condition first. Under a seal the setting and the parameter begin with the tenant.
_LEAVE_AND_ENTER = (
    r"undercroft.\1(CASE WHEN CASE"
    r" WHEN split_part(current_setting('undercroft.tenant', true), '|', 1) = split_part((\2\3)::text, '|', 1) THEN true"
    r" ELSE set_config('undercroft.tenant', '', true) = '' AND set_config('lock_timeout', '{}', true) <> '' END"
    r" THEN \2\3 END)"
)


def leaving(text: str) -> str:
    """Have a text leave another tenant that was entered before it enters its own."""
    return _ENTER.sub(_LEAVE_AND_ENTER.format(PATIENCE), text)


def shared(own: Prepared, statement: Any, compiled: Callable[[Any], Prepared], locks: Sequence[str]) -> Shared:
    """Return what a statement is sent as together with others; its locks are taken in the order of parameters."""
    marked = compiled(_with_rider(statement))
    tenant = "entered_tenant" if "entered_tenant" in own.names else "tenant_id"
    return Shared(own, marked, leaving(marked.sql), (tenant, *locks))


def _with_rider(statement: Any) -> Any:
    if isinstance(statement, Insert):
        return statement.returning(_RIDER)
    if isinstance(statement, Select):
        return statement.add_columns(_RIDER)
    if isinstance(statement, CompoundSelect):
        whole = statement.subquery()
        if len({str(part.name) for part in whole.c}) < len(whole.c):
            message = f"each column needs a name of its own: {statement}"
            raise TypeError(message)
        return select(*whole.c, _RIDER)
    message = f"no statement that can be shared: {statement}"
    raise TypeError(message)
