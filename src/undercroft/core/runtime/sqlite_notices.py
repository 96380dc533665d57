"""How a process hears of changes of a SQLite file: by its change counter, which any commit of another one moves."""

import threading
from pathlib import Path

from undercroft.core.dialects.sqlite import connect
from undercroft.core.dialects.sqlite_connection import FileConnection
from undercroft.core.runtime.memory import EVERYTHING

INTERVAL = 0.03
"""Seconds between two looks: a look costs some microseconds."""

_COUNTER = "PRAGMA data_version"
_LAST = "SELECT coalesce(max(version), 0) FROM main.change_versions"
_NEW = "SELECT tenant_id, topic, version FROM main.change_versions WHERE version > ?"


class ChangeCounter:
    """A connection of its own: the counter tells it of every commit but its own."""

    def __init__(self, path: Path, stopped: threading.Event) -> None:
        self._path = path
        self._stopped = stopped
        self._connection: FileConnection | None = None
        self._counter = self._last = 0

    def open(self) -> None:
        """Connect, and take note of what there is."""
        self._connection = connect(self._path, read_only=True)
        self._counter = self._ask(_COUNTER)
        self._last = self._ask(_LAST)

    def hear(self) -> list[str]:
        """Wait a moment, and return what has changed since the last look."""
        self._stopped.wait(INTERVAL)
        counter = self._ask(_COUNTER)
        if self._stopped.is_set() or counter == self._counter:
            return []
        self._counter = counter
        last = self._ask(_LAST)
        if last == self._last:
            return []
        if last < self._last:  # a file that was put in the place of this one's content counts anew
            self._last = last
            return [f"{EVERYTHING}:{last}"]
        assert self._connection is not None  # noqa: S101 - open() made it
        found = self._connection.execute(_NEW, (self._last,)).fetchall()
        self._last = max((version for *_, version in found), default=self._last)
        return [_notice(*row) for row in found]

    def _ask(self, sql: str) -> int:
        assert self._connection is not None  # noqa: S101 - open() made it
        return int(self._connection.execute(sql).fetchone()[0])

    def interrupt(self) -> None:
        """Leave it to the event that the wait is for."""

    def drop(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()


def _notice(tenant_id: bytes, topic: str, version: int) -> str:
    scope = f"{tenant_id.hex()}/{topic}" if any(tenant_id) else EVERYTHING
    return f"{scope}:{version}"
