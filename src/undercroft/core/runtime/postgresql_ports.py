"""The two drivers of PostgreSQL as operations meet them: asyncpg waited for in a greenlet, psycopg called."""

import abc
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy.util import await_only
from typing_extensions import override

from undercroft.core.dialects.postgresql import PostgresqlDialect
from undercroft.core.scope import Scope
from undercroft.core.slowlog import SlowLog
from undercroft.core.tx import Port
from undercroft.errors import CommitUnknown, DatabaseError, DatabaseUnavailable, SerializationFailure, UndercroftError


class PostgresqlPort(Port, abc.ABC):
    """A driver's connection that can open and end a transaction; errors leave it as ours."""

    def __init__(self, driver: Any, dialect: PostgresqlDialect, slow: SlowLog) -> None:
        self.driver = driver
        self.born = time.monotonic()
        self._dialect = dialect
        self._slow = slow
        self._broken = False

    @property
    def usable(self) -> bool:
        """Whether another operation may run on it."""
        return not self._broken and not self._is_closed()

    def spoil(self) -> None:
        """Mark the connection as one whose state nobody knows."""
        self._broken = True

    def begin(self, scope: Scope, *, privileged: bool) -> None:
        """Open a transaction and enter its scope, in one message."""
        try:
            self.execute(self._dialect.begin(scope, privileged=privileged), ())
        except UndercroftError as error:
            self.rollback()
            error.context.setdefault("tenant", scope.tenant_name)
            raise

    def commit(self) -> None:
        """End the transaction; raises CommitUnknown where the answer to COMMIT was lost."""
        try:
            tag = self._command("COMMIT")
        except DatabaseUnavailable as error:
            self.spoil()
            raise CommitUnknown from error
        if tag == "ROLLBACK":  # an error inside the transaction was caught by the operation, and so undid all of it
            message = "the transaction had failed, and was rolled back instead of committed"
            raise DatabaseError(message)

    def rollback(self) -> None:
        """End the transaction without its changes; a connection that cannot do so is not used again."""
        if self.usable:
            try:
                self._command("ROLLBACK")
            except UndercroftError:
                self.spoil()

    @override
    def fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[Any]:
        return self._timed(self._fetch, sql, arguments)  # type: ignore[no-any-return]  # rows of the driver

    @override
    def execute(self, sql: str, arguments: Sequence[Any]) -> int:
        return _rows_of(self._timed(self._execute, sql, arguments))

    @override
    def execute_many(self, sql: str, arguments: Sequence[Sequence[Any]]) -> int:
        self._timed(self._execute_many, sql, arguments)
        return -1

    def _command(self, text: str) -> str:
        return str(self._timed(self._execute, text, ()))

    def _timed(self, call: Any, sql: str, arguments: Sequence[Any]) -> Any:
        start = time.perf_counter()
        try:
            return call(sql, arguments)
        except Exception as error:
            meaning = self._dialect.translate(error)
            if self._is_closed():
                self.spoil()
                if meaning is None or not isinstance(meaning, DatabaseUnavailable):
                    meaning = meaning if isinstance(meaning, SerializationFailure) else DatabaseUnavailable()
            if meaning is None:
                raise
            raise meaning from error
        except BaseException:
            self.spoil()  # cancelled in the middle of an exchange: nobody knows what the server still sends
            raise
        finally:
            self._slow.note(sql, arguments, time.perf_counter() - start)

    @abc.abstractmethod
    def _is_closed(self) -> bool: ...

    @abc.abstractmethod
    def drop(self) -> None:
        """Close the connection at once."""

    @abc.abstractmethod
    def _fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[Any]: ...

    @abc.abstractmethod
    def _execute(self, sql: str, arguments: Sequence[Any]) -> str: ...

    @abc.abstractmethod
    def _execute_many(self, sql: str, arguments: Sequence[Sequence[Any]]) -> None: ...


def _rows_of(tag: str) -> int:
    """Read the number of rows from a command tag such as ``UPDATE 3``."""
    count = tag.rpartition(" ")[2]
    return int(count) if count.isdecimal() else 0


class AsyncpgPort(PostgresqlPort):
    """asyncpg; must be used inside a greenlet of SQLAlchemy's."""

    @override
    def _is_closed(self) -> bool:
        return bool(self.driver.is_closed())

    @override
    def drop(self) -> None:
        self.driver.terminate()

    def _fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[Any]:
        return await_only(self.driver.fetch(sql, *arguments))

    def _execute(self, sql: str, arguments: Sequence[Any]) -> str:
        return str(await_only(self.driver.execute(sql, *arguments)))

    def _execute_many(self, sql: str, arguments: Sequence[Sequence[Any]]) -> None:
        await_only(self.driver.executemany(sql, arguments))


class PsycopgPort(PostgresqlPort):
    """psycopg, in autocommit: its own transactions would cost a message each."""

    @override
    def _is_closed(self) -> bool:
        return bool(self.driver.closed)

    @override
    def drop(self) -> None:
        self.driver.close()

    def _fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[Any]:
        return self.driver.execute(sql, arguments or None).fetchall()  # type: ignore[no-any-return]  # a list of tuples

    def _execute(self, sql: str, arguments: Sequence[Any]) -> str:
        return str(self.driver.execute(sql, arguments or None).statusmessage)

    def _execute_many(self, sql: str, arguments: Sequence[Sequence[Any]]) -> None:
        with self.driver.cursor() as cursor:
            cursor.executemany(sql, arguments)
