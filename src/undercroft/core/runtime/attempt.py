"""One try of an operation on a connection of the hot lane, the same for both drivers."""

from collections.abc import Callable
from typing import Any, Protocol

from undercroft.core.idempotency import is_keyed
from undercroft.core.operation import gathered, operation
from undercroft.core.runtime.postgresql_ports import PostgresqlPort, answer_lost
from undercroft.core.runtime.server import Server
from undercroft.core.scope import Scope
from undercroft.core.tx import Port, Tx
from undercroft.errors import CommitUnknown, UndercroftError


class Settled(Port, Protocol):
    """A port that can end what an answer that was lost leaves under way."""

    def rollback(self) -> None:
        """End it."""


def is_direct(server: Server, scope: Scope, op: operation[..., Any]) -> bool:
    """Tell whether each of its statements is one message: it enters the tenant itself and is its own transaction."""
    return scope.tenant_id is not None and server.direct and op.access != "write" and not is_keyed(scope, op)


def attempt(  # noqa: PLR0917 - called by position through a greenlet
    port: PostgresqlPort,
    server: Server,
    scope: Scope,
    op: operation[..., Any],
    call: Callable[[Tx], Any],
    later: list[gathered[[], Any]],
) -> Any:
    """Run an operation once on a connection of the hot lane, and note in ``later`` what it wants run afterwards."""
    if is_direct(server, scope, op):
        return attempt_alone(port, server, scope, op, call, later)
    port.begin(scope, privileged=server.privileged)
    try:
        tx = Tx(port, server.dialect, scope.tenant_id, scope.tenant_name, keys=server.keys, later=later)
        result = call(tx)
    except BaseException:  # interrupted between two statements too: nobody else may find the transaction open
        port.rollback()
        raise
    try:
        port.commit()
    except BaseException:
        tx.committed(server.memory, surely=False)
        raise
    tx.committed(server.memory)
    return result


def attempt_alone(  # noqa: PLR0917 - as `attempt`
    port: Settled,
    server: Server,
    scope: Scope,
    op: operation[..., Any],
    call: Callable[[Tx], Any],
    later: list[gathered[[], Any]],
) -> Any:
    """Do so where each of its statements is a transaction of its own."""
    tx = Tx(port, server.dialect, scope.tenant_id, scope.tenant_name, keys=server.keys, alone=True, later=later)
    try:
        return call(tx)
    except UndercroftError as error:
        if answer_lost(error):
            port.rollback()  # nothing to roll back, but it ends what may still be under way
            if op.access == "append":
                raise CommitUnknown(tenant=scope.tenant_name) from error
        error.context.setdefault("tenant", scope.tenant_name)
        raise
