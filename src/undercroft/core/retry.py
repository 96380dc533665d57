"""Whether a failed transaction is run again, and after how long: decided here, acted on by the runners."""

import random
import threading
import time
from dataclasses import dataclass, field

from undercroft.errors import CommitUnknown, DatabaseError, IdempotencyInFlight, UndercroftError

ATTEMPTS = 5
DEADLINE = 10.0
FIRST_DELAY = 0.02
LONGEST_DELAY = 2.0


@dataclass(slots=True)
class Budget:
    """One retry for ten calls in the long run, so that retries never become the load that keeps a server down."""

    share: float = 0.1
    most: float = 50.0
    left: float = 50.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def earn(self) -> None:
        """Count one call."""
        # Unlocked on purpose: a lost tenth of a retry costs nothing, a lock on every call does.
        if self.left < self.most:
            self.left += self.share

    def spend(self) -> bool:
        """Take one retry, or tell that none is left."""
        with self._lock:
            if self.left < 1:
                return False
            self.left -= 1
            return True


class Attempts:
    """The tries of one call."""

    __slots__ = ("_budget", "_keyed", "_lost", "_made", "_start")

    def __init__(self, budget: Budget, *, keyed: bool = False) -> None:
        """``keyed``: an idempotency key tells whether a try was stored, so a lost answer may be asked again."""
        self._budget = budget
        self._keyed = keyed
        self._lost = False
        self._made = 0
        self._start = time.monotonic()

    def delay(self, error: UndercroftError) -> float | None:
        """Seconds to wait before the whole transaction is run again, or None where it must not or need not be."""
        self._made += 1
        if not self._repeatable(error) or self._made >= ATTEMPTS or not self._budget.spend():
            return None
        wait = random.uniform(0, min(LONGEST_DELAY, FIRST_DELAY * 4**self._made))  # noqa: S311 - jitter, no secret
        if time.monotonic() - self._start + wait > DEADLINE:
            return None
        return wait

    def outcome(self, error: UndercroftError) -> UndercroftError:
        """Choose what to raise after the last try: no later failure tells what became of one whose answer was lost."""
        if self._lost and isinstance(error, DatabaseError | IdempotencyInFlight):
            unknown = CommitUnknown()
            unknown.__cause__ = error
            return unknown
        return error

    def _repeatable(self, error: UndercroftError) -> bool:
        if self._keyed and isinstance(error, CommitUnknown):
            self._lost = True
        # The server may still be at work for the try that was lost.
        return error.retryable or (self._lost and isinstance(error, CommitUnknown | IdempotencyInFlight))
