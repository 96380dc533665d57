"""What a driver's connection offers to a caller's own SQL."""

import abc
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from undercroft.core.door import sqltext
from undercroft.core.door.rows import Row
from undercroft.errors import InvalidInput

Arguments = Sequence[Any]


class Door(abc.ABC):
    """A connection in an open transaction, as a caller's SQL meets it; errors leave it as ours.

    ``timeout`` is in seconds and kept on the client's side; past it the statement is cancelled: QueryTimeout.
    """

    sqlite: ClassVar[bool] = False
    """Which engine's rules cut the text into tokens."""

    copies_into_walls: ClassVar[bool] = False
    """Whether `copy` may fill a table of ours: PostgreSQL refuses COPY under row-level security."""

    def fetch(self, sql: str, arguments: Arguments, timeout: float | None, *, first: bool = False) -> list[Row]:
        """Run one statement and return its rows, or at most the first of them."""
        self._check(sql, [arguments])
        return self._fetch(sql, arguments, timeout, first=first)

    def execute(self, sql: str, arguments: Arguments, timeout: float | None) -> int:
        """Run one statement and return how many rows it touched, 0 where the database does not count."""
        self._check(sql, [arguments])
        return self._execute(sql, arguments, timeout)

    def execute_many(self, sql: str, many: Sequence[Arguments], timeout: float | None) -> None:
        """Run one statement once for each set of arguments."""
        self._check(sql, many)
        if many:
            self._execute_many(sql, many, timeout)

    def script(self, sql: str, timeout: float | None) -> None:
        """Run statements without arguments, one after the other."""
        self._refuse_transaction(sql)
        self._script(sql, timeout)

    @abc.abstractmethod
    def prepare(self, sql: str) -> None:
        """Let the database look at a statement, and refuse it, before it is run."""

    @abc.abstractmethod
    def copy(
        self,
        table: str,
        schema: str | None,
        columns: Sequence[str] | None,
        records: Iterable[Arguments],
        timeout: float | None,
    ) -> int:
        """Fill a table the driver's fastest way and return how many rows were added."""

    def _check(self, sql: str, many: Sequence[Arguments]) -> None:
        """Refuse on every engine alike what some drivers would run and others not."""
        text = sqltext.read(sql, sqlite=self.sqlite)
        if len(text.statements) != 1:
            raise InvalidInput(
                f"This runs one statement, and the text has {len(text.statements)}",
                field="sql",
                hint="run several with execute_script",
            )
        self._refuse_transaction(sql)
        for arguments in many:
            if len(arguments) != text.parameters:
                raise InvalidInput(
                    f"The statement has {text.parameters} parameters, and {len(arguments)} arguments were given",
                    field="arguments",
                    hint="write $1, $2 … in the statement and give as many arguments",
                )

    def _refuse_transaction(self, sql: str) -> None:
        text = sqltext.read(sql, sqlite=self.sqlite)
        if text.transaction is not None:
            raise InvalidInput(
                f"The transaction is not ended or begun by {text.transaction.upper()}",
                field="sql",
                hint="use `with tenant.transaction() as tx` and tx.db",
            )

    @abc.abstractmethod
    def _fetch(self, sql: str, arguments: Arguments, timeout: float | None, *, first: bool) -> list[Row]: ...

    @abc.abstractmethod
    def _execute(self, sql: str, arguments: Arguments, timeout: float | None) -> int: ...

    @abc.abstractmethod
    def _execute_many(self, sql: str, many: Sequence[Arguments], timeout: float | None) -> None: ...

    @abc.abstractmethod
    def _script(self, sql: str, timeout: float | None) -> None: ...


def quoted(name: str) -> str:
    """Quote a name so that it stands for itself, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def target(table: str, schema: str | None, columns: Sequence[str] | None) -> str:
    """Write a table and its columns as COPY and INSERT name them."""
    named = quoted(table) if schema is None else f"{quoted(schema)}.{quoted(table)}"
    return f"{named} ({', '.join(map(quoted, columns))})" if columns else named
