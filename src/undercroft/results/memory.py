"""What the calls of one process know of each other, for one tenant of one store."""

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from uuid import UUID

from undercroft.core import ids

FLUSH_AFTER = 60.0
"""Seconds after which what was counted is written down, at the next call."""
MANY = 500


@dataclass(frozen=True, slots=True)
class Tally:
    """What was counted since it was last written down: for each key its hits and the seconds since the last one."""

    hits: dict[bytes, tuple[int, float]]
    misses: int = 0
    uncacheable: int = 0

    @property
    def empty(self) -> bool:
        """Whether nothing was counted."""
        return not (self.hits or self.misses or self.uncacheable)


@dataclass(slots=True)
class Flight:
    """A result that is being loaded; ``done`` gives its JSON, or None where whoever waits must look again."""

    holder: UUID = field(default_factory=ids.new)
    done: "Future[bytes | None]" = field(default_factory=Future)

    def __post_init__(self) -> None:
        self.done.set_running_or_notify_cancel()  # one who gives up waiting must not cancel it for the others


class Memory:
    """Loads under way and hits not yet counted; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[bytes, Flight] = {}
        self._left: dict[bytes, UUID] = {}
        self._hits: dict[bytes, tuple[int, float]] = {}
        self._misses = self._uncacheable = 0
        self._since: float | None = None

    def join(self, key: bytes) -> tuple[Flight, bool]:
        """Return the load of a key that is under way, or begin one; tells whether it was begun.

        One that begins takes over the lease of one that was given up here.
        """
        with self._lock:
            found = self._flights.get(key)
            if found is not None:
                return found, False
            left = self._left.pop(key, None)
            begun = self._flights[key] = Flight() if left is None else Flight(left)
            return begun, True

    def land(self, key: bytes, flight: Flight, value: bytes | None) -> None:
        """End a load with a result, or with None for whoever waits to look again."""
        self._end(key, flight, released=True)
        flight.done.set_result(value)

    def give_up(self, key: bytes, flight: Flight, error: BaseException, *, released: bool) -> None:
        """End a load that failed, for whoever waits as well, or that was cancelled, which is nobody else's concern.

        ``released`` tells that the database has no lease of it any more.
        """
        self._end(key, flight, released=released)
        if isinstance(error, Exception):
            flight.done.set_exception(error)
        else:
            flight.done.set_result(None)

    def _end(self, key: bytes, flight: Flight, *, released: bool) -> None:
        with self._lock:
            del self._flights[key]
            if not released:
                self._left[key] = flight.holder

    def hit(self, key: bytes) -> None:
        """Count a hit."""
        with self._lock:
            self._hits[key] = (self._hits.get(key, (0, 0.0))[0] + 1, time.monotonic())
            self._begin()

    def miss(self, *, cacheable: bool = True) -> None:
        """Count a miss, or something that is not looked up at all."""
        with self._lock:
            if cacheable:
                self._misses += 1
            else:
                self._uncacheable += 1
            self._begin()

    @property
    def due(self) -> bool:
        """Whether it is time to write down what was counted."""
        return self._since is not None and (len(self._hits) > MANY or time.monotonic() - self._since > FLUSH_AFTER)

    def take(self) -> Tally:
        """Return what was counted and begin anew."""
        with self._lock:
            now = time.monotonic()
            taken = Tally(
                {key: (count, now - at) for key, (count, at) in self._hits.items()}, self._misses, self._uncacheable
            )
            self._hits = {}
            self._misses = self._uncacheable = 0
            self._since = None
            return taken

    def give_back(self, tally: Tally) -> None:
        """Count again what could not be written down."""
        with self._lock:
            now = time.monotonic()
            for key, (count, age) in tally.hits.items():
                before, at = self._hits.get(key, (0, 0.0))
                self._hits[key] = (before + count, max(at, now - age))
            self._misses += tally.misses
            self._uncacheable += tally.uncacheable
            self._begin()

    def _begin(self) -> None:
        if self._since is None:
            self._since = time.monotonic()
