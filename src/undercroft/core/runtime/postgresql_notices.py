"""How a process hears of changes of a PostgreSQL database: by LISTEN, or where that cannot be by asking for them."""

import copy
import logging
import os
import select
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from undercroft.core.runtime.deadlines import Deadlines
from undercroft.core.runtime.listener import Source
from undercroft.core.runtime.replica import PATIENCE, CutPort, beside
from undercroft.core.runtime.server import Server
from undercroft.errors import DatabaseUnavailable
from undercroft.settings.urls import DatabaseUrl

logger = logging.getLogger("undercroft")

CHANNEL = "undercroft"
HEARTBEAT = 1.0
"""Seconds of silence after which the server is asked whether it is still there."""
INTERVAL = 0.15
"""Seconds between two questions for changes, where there is no LISTEN."""

_CHANGES = "SELECT snapshot, notices FROM undercroft.changes(%s::text)"


def source(server: Server, listen: DatabaseUrl | None, stopped: threading.Event) -> Source:
    """Choose how to hear of changes: ``listen`` is where LISTEN works, None where nobody knows of such a place."""
    limited = copy.copy(server)
    limited.deadlines = Deadlines(PATIENCE)
    # A pooler that the settings do not name gives a session away as well.
    if listen is None or (server.relayed and listen == server.address):
        return Poll(limited, stopped)
    return Notices(limited, listen)


class _Connected:
    """A connection whose every exchange has a limit of seconds."""

    def __init__(self, server: Server, url: DatabaseUrl | None = None) -> None:
        self._server = server
        self._url = url
        self._port: CutPort | None = None
        self._process = os.getpid()
        self._ending = threading.Lock()

    def _connect(self) -> Any:
        port = beside(self._server, self._server, self._url)
        with self._ending:
            self._port = port
        return port.driver

    def _ask(self, sql: str, *arguments: Any) -> Sequence[Any]:
        assert self._port is not None  # noqa: S101 - open() made it
        row: Sequence[Any] = self._port.fetch(sql, arguments)[0]
        return row

    def interrupt(self) -> None:
        """Break the connection under the thread that waits for it; a child process shares it, and must not."""
        with self._ending:
            if self._port is not None and self._process == os.getpid():
                with suppress(Exception):
                    self._port.cut()

    def drop(self) -> None:
        """Close the connection."""
        with self._ending:
            if self._port is not None:
                self._port.drop()
                self._port = None


class Notices(_Connected):
    """Listens; a notice comes before the answer to what is asked after it, so an answer proves that none is missing."""

    def open(self) -> None:
        """Connect and listen."""
        driver = self._connect()
        self._heard: list[str] = []
        driver.add_notify_handler(lambda notice: self._heard.append(notice.payload))
        assert self._port is not None  # noqa: S101 - just made
        self._port.execute(f"LISTEN {CHANNEL}", ())
        if driver.info.backend_pid != self._ask("SELECT pg_backend_pid()")[0]:
            logger.warning("listen_url leads to a pooler, behind which a notice may be lost: name the server itself")
        self._wire = driver.pgconn
        self._poll = select.poll()
        self._poll.register(self._wire.socket, select.POLLIN)

    def hear(self) -> list[str]:
        """Return the notices that came, after some time of silence none."""
        if self._poll.poll(HEARTBEAT * 1000):
            self._take()
        else:
            self._ask("SELECT 1")
        heard, self._heard = self._heard, []
        return heard

    def _take(self) -> None:
        try:
            self._wire.consume_input()
            while (notice := self._wire.notifies()) is not None:
                self._heard.append(notice.extra.decode())
        except Exception as error:
            raise DatabaseUnavailable from error


class Poll(_Connected):
    """Asks for what was committed since the last question, by the snapshot of that one."""

    def __init__(self, server: Server, stopped: threading.Event) -> None:
        super().__init__(server)
        self._stopped = stopped
        self._seen: str | None = None

    def open(self) -> None:
        """Connect, and take note of what there is."""
        self._connect()
        self._seen, _ = self._ask(_CHANGES, None)

    def hear(self) -> list[str]:
        """Wait a moment, and return what has changed since."""
        self._stopped.wait(INTERVAL)
        if self._stopped.is_set():
            return []
        self._seen, notices = self._ask(_CHANGES, self._seen)
        return list(notices)
