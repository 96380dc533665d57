"""Connections to a file of ours: our own, and as SQLAlchemy's sessions use them, behind the walls."""

import functools
import math
import sqlite3
import time
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from typing_extensions import override

from undercroft.core.dialects.sqlite_walls import Walls

STEPS = 5000
"""Instructions of SQLite's virtual machine between two looks at the clock."""
TURN = 100
"""Milliseconds of one wait for the write lock: SQLite looks nine times in them, later only ten times a second."""


class WalledCursor(sqlite3.Cursor):
    """A cursor that raises the walls around each statement."""

    file: "FileConnection"
    walls: Walls
    tenant_id: UUID | None
    _touched = 0

    @override
    def execute(self, sql: str, parameters: Any = (), /) -> "WalledCursor":
        with self.walls.raised(self.tenant_id, sql) as text, self.file.limited():
            super().execute(text, parameters)
        self._touched = max(super().rowcount, self.walls.changed)
        return self

    @override
    def executemany(self, sql: str, parameters: Any, /) -> "WalledCursor":
        with self.walls.raised(self.tenant_id, sql) as text, self.file.limited():
            super().executemany(text, parameters)
        self._touched = max(super().rowcount, self.walls.changed)
        return self

    @property
    def rowcount(self) -> int:
        """How many rows the last statement touched; sqlite3 counts none that a view's trigger touched."""
        return self._touched

    @property
    def lastrowid(self) -> int | None:
        """The rowid of the last row inserted, which sqlite3 forgets when a trigger ends."""
        return self.walls.last_rowid or super().lastrowid

    async def _async_soft_close(self) -> None:
        """Do nothing where SQLAlchemy's AsyncSession has read a result: the cursor of an awaited driver has this."""


class WalledConnection:
    """A connection as SQLAlchemy's sessions use it, behind the walls of who is entered; its transactions are ours."""

    def __init__(self, connection: "FileConnection") -> None:
        self._connection = connection
        self.tenant_id: UUID | None = None
        self.create_function = connection.create_function

    def cursor(self) -> WalledCursor:
        """Make a cursor."""
        cursor = WalledCursor(self._connection)
        cursor.file, cursor.walls, cursor.tenant_id = self._connection, self._connection.walls, self.tenant_id
        cursor.walls.hold(cursor)
        return cursor

    def commit(self) -> None:
        """Leave the end of the transaction to us."""

    rollback = close = commit


class FileConnection(sqlite3.Connection):
    """A connection to a file of ours; a statement past ``deadline``, as `time.perf_counter` counts, is interrupted."""

    limit = math.inf
    deadline = math.inf
    overdue = False

    def keep_to(self, limit: float) -> None:
        """Let each statement take this many seconds at most."""
        self.limit = limit
        me = weakref.ref(self)  # the connection must not keep itself alive through its own handler

        def late() -> bool:
            connection = me()
            if connection is None or time.perf_counter() <= connection.deadline:
                return False
            connection.overdue = True
            return True

        self.set_progress_handler(late, STEPS)

    def expect_turns(self) -> None:
        """Make a lock that is held an error soon, for `begin_writing` to look again."""
        self.execute(f"PRAGMA busy_timeout={TURN}")

    def begin_writing(self, patience: float) -> None:
        """Begin a transaction that has the file's write lock, waiting so many seconds for it.

        In one long wait of SQLite's own the one who has waited looks rarely, and whoever has just written is first
        again: of eight processes that did nothing but write, some waited in vain.
        """
        limit = time.monotonic() + patience
        while True:
            try:
                self.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                is_held = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
                if not is_held or time.monotonic() > limit:
                    raise
            else:
                return

    def tell_interrupt(self, error: sqlite3.Error) -> None:
        """Raise the KeyboardInterrupt that ended a statement which was not overdue.

        Ctrl-C that comes in the handler is dropped by sqlite3, which says that the statement was interrupted.
        """
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT and not self.overdue:
            raise KeyboardInterrupt from error

    @contextmanager
    def limited(self, seconds: float | None = None) -> Generator[None, None, None]:
        """Set the deadline of the statements in the block."""
        before, self.overdue = self.deadline, False
        self.deadline = time.perf_counter() + (self.limit if seconds is None else seconds)
        try:
            yield
        except sqlite3.OperationalError as error:
            self.tell_interrupt(error)
            raise
        finally:
            self.deadline = before

    @functools.cached_property
    def walls(self) -> Walls:
        """The walls that a caller's SQL on this connection runs behind."""
        return Walls(self)
