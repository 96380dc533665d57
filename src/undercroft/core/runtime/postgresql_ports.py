"""A PostgreSQL driver's connection as operations meet it, and psycopg's: called, and waited for by its thread."""

import abc
import os
import select
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from typing_extensions import override

from undercroft.core.door.postgresql import PostgresqlDoor, PsycopgDoor, rows_of
from undercroft.core.runtime.deadlines import SETTLING
from undercroft.core.runtime.server import Server
from undercroft.core.scope import Scope
from undercroft.core.statement import Prepared
from undercroft.core.tx import Port
from undercroft.errors import (
    CommitUnknown,
    DatabaseError,
    DatabaseUnavailable,
    QueryTimeout,
    SerializationFailure,
    UndercroftError,
)

T = TypeVar("T")

# What a caller's SQL may have left in the session. Prepared statements stay: they say nothing of anybody's rows.
_RESET = (
    "CLOSE ALL; UNLISTEN *; RESET ALL; RESET ROLE; DISCARD TEMP; DISCARD SEQUENCES; SELECT pg_advisory_unlock_all()"
)


class PostgresqlPort(Port, abc.ABC):
    """A driver's connection that can open and end a transaction; errors leave it as ours."""

    _door: ClassVar[type[PostgresqlDoor]]

    def __init__(self, driver: Any, server: Server) -> None:
        self.driver = driver
        self.born = time.monotonic()
        self.started: float | None = None
        self.overdue: float | None = None
        self.limit = server.deadlines.limit
        self.failed = False
        self._dialect = server.dialect
        self._slow = server.slow
        self._broken = False
        self.unsettled = False

    @property
    def usable(self) -> bool:
        """Whether another operation may run on it: alive, and with nothing under way that a failure left behind."""
        return self.alive and not self.unsettled and not self._in_transaction()

    @property
    def alive(self) -> bool:
        """Whether its state is known."""
        return not self._broken and not self._is_closed()

    def spoil(self) -> None:
        """Mark the connection as one whose state nobody knows."""
        self._broken = True

    def begin(self, scope: Scope, *, privileged: bool) -> None:
        """Open a transaction and enter its scope, in one message; under a seal in two."""
        try:
            self.execute(self._dialect.begin(scope, privileged=privileged), ())
            if (sealed := self._dialect.sealed(scope)) is not None:
                self.execute(*sealed)
        except UndercroftError as error:
            self.rollback()
            error.context.setdefault("tenant", scope.tenant_name)
            raise

    def commit(self) -> None:
        """End the transaction; raises CommitUnknown where the answer to COMMIT was lost."""
        try:
            tag = self._command("COMMIT")
        except UndercroftError as error:
            if not answer_lost(error):
                raise
            self.spoil()
            raise CommitUnknown from error
        if tag == "ROLLBACK":  # an error inside the transaction was caught by the operation, and so undid all of it
            raise DatabaseError(UNDONE)

    def rollback(self) -> None:
        """End the transaction without its changes; a connection that cannot do so soon is not used again."""
        if self.alive:
            try:
                self._roll_back()
            except UndercroftError:
                self.spoil()
            else:
                self.unsettled = False

    def refuse_undone(self) -> None:
        """Raise where a failure has undone the open transaction: neither driver tells that COMMIT did not commit."""
        if not self.failed:
            return
        try:
            self._command("SELECT 1")
        except DatabaseUnavailable:
            raise
        except UndercroftError as error:
            raise DatabaseError(UNDONE) from error

    def reset(self) -> None:
        """Clear, outside any transaction, what a caller's SQL has left in the session: settings, cursors, tables."""
        self._command(_RESET)

    @override
    def fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[Any]:
        return self.timed(self._fetch, sql, arguments)

    @override
    def execute(self, sql: str, arguments: Sequence[Any]) -> int:
        return rows_of(self.timed(self._execute, sql, arguments))

    @override
    def execute_many(self, sql: str, arguments: Sequence[Sequence[Any]]) -> int:
        self.timed(self._execute_many, sql, arguments)
        return -1

    def _command(self, text: str) -> str:
        return self.timed(self._execute, text, ())

    def timed(self, call: Callable[[str, Any], T], sql: str, arguments: Sequence[Any]) -> T:
        """Make one exchange with the server: hold it to its limit, raise its errors as ours, note its time."""
        start = self.started = time.perf_counter()
        try:
            return call(sql, arguments)
        except Exception as error:
            self.failed = True
            meaning = self._meaning(error)
            if meaning is None:
                raise
            if answer_lost(meaning):
                self.unsettled = True
            raise meaning from error
        except BaseException:
            self.spoil()  # cancelled in the middle of an exchange: nobody knows what the server still sends
            raise
        finally:
            self.started = None
            if self.overdue == start:
                self.spoil()  # a cancellation is on its way, and may come late
            self._slow.note(sql, arguments, time.perf_counter() - start)

    def _meaning(self, error: Exception) -> UndercroftError | None:
        # Before anybody takes asyncpg's TimeoutError for the OSError that it is as well.
        meaning = QueryTimeout() if isinstance(error, TimeoutError) else self._dialect.translate(error)
        if not self._is_closed():
            return meaning
        self.spoil()
        if self.overdue is not None:
            return QueryTimeout()
        kept = DatabaseUnavailable | QueryTimeout | SerializationFailure
        return meaning if isinstance(meaning, kept) else DatabaseUnavailable()

    @override
    def door(self, tenant_id: UUID | None) -> PostgresqlDoor:
        del tenant_id  # the server knows it
        return self._door(self)

    @abc.abstractmethod
    def _is_closed(self) -> bool: ...

    @abc.abstractmethod
    def _in_transaction(self) -> bool: ...

    @abc.abstractmethod
    def _roll_back(self) -> None:
        """Send ROLLBACK and wait for the answer, but not for long."""

    @abc.abstractmethod
    def drop(self) -> None:
        """Close the connection at once."""

    @abc.abstractmethod
    def _fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[Any]: ...

    @abc.abstractmethod
    def _execute(self, sql: str, arguments: Sequence[Any]) -> str: ...

    @abc.abstractmethod
    def _execute_many(self, sql: str, arguments: Sequence[Sequence[Any]]) -> None: ...


UNDONE = "The transaction had failed, and was rolled back instead of committed"


def answer_lost(error: UndercroftError) -> bool:
    """Tell whether nobody knows what became of a statement: its connection broke, or we ceased to wait for it."""
    # What the server itself says has a SQLSTATE; of its reasons to end a connection some come after a commit.
    return isinstance(error, DatabaseUnavailable) or (
        isinstance(error, QueryTimeout) and "sqlstate" not in error.context
    )


class PsycopgPort(PostgresqlPort):
    """psycopg, in autocommit: its own transactions would cost a message each."""

    _door = PsycopgDoor

    def __init__(self, driver: Any, server: Server) -> None:
        super().__init__(driver, server)
        self._heard = select.poll()
        self._heard.register(driver.pgconn.socket, select.POLLIN)
        server.deadlines.watch(self)

    @property
    @override
    def usable(self) -> bool:
        # An idle server says something only when it goes. asyncpg listens by itself.
        return super().usable and not self._heard.poll(0)

    def give_up(self, started: float) -> None:
        """Cancel the statement that began then; where the server does not react, cut the connection."""
        with suppress(Exception):
            self.driver.cancel_safe(timeout=SETTLING)
        end = time.monotonic() + SETTLING
        while self.started == started and time.monotonic() < end:
            time.sleep(0.01)
        if self.started == started:
            self.cut()

    def cut(self) -> None:
        """End the connection under whoever waits for it."""
        with suppress(OSError), socket.socket(fileno=os.dup(self.driver.pgconn.socket)) as wire:
            wire.shutdown(socket.SHUT_RDWR)

    @override
    def _is_closed(self) -> bool:
        return bool(self.driver.closed)

    @override
    def _in_transaction(self) -> bool:
        return bool(self.driver.pgconn.transaction_status)

    @override
    def _roll_back(self) -> None:
        limit, self.limit = self.limit, min(self.limit, SETTLING)
        try:
            self._command("ROLLBACK")
        finally:
            self.limit = limit

    @override
    def reset(self) -> None:
        self.driver.autocommit = True
        try:
            super().reset()
        finally:
            self.driver.autocommit = False

    @override
    def drop(self) -> None:
        self.driver.close()

    @override
    def fetch_prepared(self, prepared: Prepared, arguments: Sequence[Any]) -> Sequence[Any]:
        fetch = self._fetch_binary if prepared.binary else self._fetch
        return self.timed(fetch, prepared.sql, arguments)

    def _fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[Any]:
        return self.driver.execute(sql, arguments or None).fetchall()  # type: ignore[no-any-return]  # a list of tuples

    def _fetch_binary(self, sql: str, arguments: Sequence[Any]) -> Sequence[Any]:
        # Not always: what psycopg has no loader for, a type of the user's own, would come as bytes.
        return self.driver.execute(sql, arguments or None, binary=True).fetchall()  # type: ignore[no-any-return]  # same

    def _execute(self, sql: str, arguments: Sequence[Any]) -> str:
        return str(self.driver.execute(sql, arguments or None).statusmessage)

    def _execute_many(self, sql: str, arguments: Sequence[Sequence[Any]]) -> None:
        with self.driver.cursor() as cursor:
            cursor.executemany(sql, arguments)
