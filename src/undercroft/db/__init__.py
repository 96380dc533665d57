"""The driver-level door: your own SQL, on the tables of yours and of one tenant."""

from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from undercroft.core.door.rows import Row
from undercroft.core.operation import C, Slice, operation, procedure
from undercroft.core.runtime.base import Awaiting, Blocking, Ports
from undercroft.core.scope import Scope
from undercroft.db import ops
from undercroft.db.records import ConnectionHealth, Validated

__all__ = ["ConnectionHealth", "Database", "PreparedStatement", "Row", "Validated"]


P = ParamSpec("P")
R = TypeVar("R")


class _prepared(procedure[P, R]):  # noqa: N801 - a kind of declaration
    """A procedure whose SQL the prepared statement fills in."""

    def __init__(self, fn: Callable[Concatenate[Ports, str, P], R]) -> None:
        super().__init__(fn)  # type: ignore[arg-type]  # the statement's text is its first argument


class PreparedStatement(Slice[C]):
    """A statement that the database has looked at; the driver keeps it prepared on the connections that ran it."""

    def __init__(self, runner: C, scope: Scope, sql: str) -> None:
        super().__init__(runner, scope)
        self.sql = sql
        self._subject = (sql,)

    execute = _prepared(ops.execute)
    fetch = _prepared(ops.fetch)
    fetchrow = _prepared(ops.fetchrow)
    fetchval = _prepared(ops.fetchval)


class Database(Slice[C]):
    """SQL of your own, with ``$1, $2 …`` for its arguments on every engine.

    Reached through a tenant it sees and changes this tenant alone; reached through the store it is in no tenant, and
    the library's own tables are closed to it. Each call is a transaction; inside ``tenant.transaction()`` it takes part
    in that. ``timeout`` is in seconds.

    On SQLite a tenant's tables are views of them: there ``INSERT OR IGNORE`` and ``OR REPLACE`` stand for ON CONFLICT,
    and RETURNING gives what was written, without what the table filled in. On PostgreSQL tables of your own in a schema
    of your own have only the walls that your migrations gave them.
    """

    execute = procedure(ops.execute)
    fetch = procedure(ops.fetch)
    fetchrow = procedure(ops.fetchrow)
    fetchval = procedure(ops.fetchval)
    execute_many = operation(ops.execute_many, lane="open")
    execute_in_transaction = operation(ops.execute_in_transaction, lane="open")
    execute_script = procedure(ops.execute_script)
    copy_records_to_table = operation(ops.copy_records_to_table, lane="open")
    check_connection_health = procedure(ops.check_connection_health)
    validate_connections = procedure(ops.validate_connections)
    _prepare = operation(ops.prepare, lane="open")

    @overload
    def prepare_statement(self: "Database[Blocking]", sql: str) -> PreparedStatement[Blocking]: ...
    @overload
    def prepare_statement(self: "Database[Awaiting]", sql: str) -> Coroutine[Any, Any, PreparedStatement[Awaiting]]: ...
    def prepare_statement(self: Any, sql: str) -> Any:
        """Let the database look at a statement, and return it ready to be run again and again.

        Raises:
            SyntaxRefused: the database does not understand it.
        """
        return self._prepare(PreparedStatement(self._runner, self._scope, sql))
