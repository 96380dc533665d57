"""The thread that hears of changes for one store, from whatever source its database has."""

import logging
import random
import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from undercroft.core.runtime.memory import Memory
from undercroft.errors import UndercroftError

logger = logging.getLogger("undercroft")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
PARTING = 2.0
"""Seconds that closing a store waits for the thread; it cannot be interrupted while it connects."""


class Source(Protocol):
    """A connection that changes are heard on. Nothing it does may take longer than a few seconds."""

    def open(self) -> None:
        """Connect; every change that is committed after this returns will be heard of."""

    def hear(self) -> Iterable[str]:
        """Wait for notices, not for long, and return those that came; raises where any may have been missed."""

    def interrupt(self) -> None:
        """End, from another thread, whatever is waited for."""

    def drop(self) -> None:
        """Close the connection."""


class Listener:
    """Keeps a memory true: it is cleared whenever a change is heard of, and kept empty while none could be heard."""

    def __init__(self, memory: Memory, source: Callable[[threading.Event], Source]) -> None:
        self._memory = memory
        self._source = source
        self._stopped = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._current: Source | None = None

    def start(self) -> None:
        """Begin to listen, if nobody does yet; returns at once."""
        if self._thread is not None and self._thread.is_alive():
            return
        with self._starting:
            if (self._thread is None or not self._thread.is_alive()) and not self._stopped.is_set():
                self._thread = threading.Thread(target=self._run, name="undercroft-listener", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop listening, and wait for the connection's end."""
        self._stopped.set()
        self._memory.close()
        source, thread = self._current, self._thread
        if source is not None:
            source.interrupt()
        if thread is not None and thread is not threading.current_thread():
            thread.join(PARTING)

    def _run(self) -> None:
        pause = FIRST_PAUSE
        told = False
        while not self._stopped.is_set():
            source = self._current = self._source(self._stopped)
            try:
                source.open()
                self._memory.regain()
                if told:
                    logger.info("changes are heard of again")
                pause, told = FIRST_PAUSE, False
                while not self._stopped.is_set():
                    for notice in source.hear():
                        self._memory.hear(notice)
            except Exception as error:  # noqa: BLE001 - whatever it is, what may be stale must go, and the thread go on
                self._memory.lose()
                if not told and not self._stopped.is_set():
                    told = True
                    reason = error.code if isinstance(error, UndercroftError) else type(error).__name__
                    logger.warning("changes are not heard of, nothing is answered from memory: %s", reason)
            finally:
                self._memory.lose()
                source.drop()
            self._stopped.wait(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter, no secret
            pause = min(LONGEST_PAUSE, pause * 2)
