"""The deadlines of statements on a driver that would wait for its server without end."""

import threading
import time
import weakref
from typing import Protocol

SETTLING = 5.0
"""Seconds that the server may take to give a statement up, and to roll back; after that its connection is cut."""


class Timed(Protocol):
    """A connection whose statement under way has a beginning, in seconds of `time.perf_counter`, and a limit."""

    started: float | None
    limit: float
    overdue: float | None

    def give_up(self, started: float) -> None:
        """End the statement that began then; it may block."""


class Deadlines:
    """A thread that looks now and then for statements that take too long: a timer for each would cost a thread each.

    What it finds is marked overdue before anything is sent, and whoever runs the statement looks at the mark after its
    end: so a cancellation that comes too late meets a connection that nobody uses any more.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._interval = min(1.0, limit / 10)
        self._watched: weakref.WeakSet[Timed] = weakref.WeakSet()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def watch(self, timed: Timed) -> None:
        """Hold a connection to its limit for as long as it lives."""
        with self._lock:
            self._watched.add(timed)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._look, name="undercroft-deadlines", daemon=True)
                self._thread.start()

    def _look(self) -> None:
        while True:
            time.sleep(self._interval)
            with self._lock:
                if not self._watched:
                    self._thread = None
                    return
                watched = list(self._watched)
            for timed in watched:
                started = timed.started
                if started is not None and time.perf_counter() - started > timed.limit and timed.overdue != started:
                    timed.overdue = started
                    if timed.started == started:
                        threading.Thread(target=timed.give_up, args=(started,), daemon=True).start()
            del watched[:]
            timed = None  # type: ignore[assignment]  # what nobody else holds must be free to go
