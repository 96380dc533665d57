"""Running operations in the hot lane, tried until they are done: the same for both colours.

A blocking runner calls this in its caller's thread, an awaiting one in a greenlet.
"""

import abc
from collections.abc import Callable
from typing import Any, ClassVar

from undercroft.core.idempotency import is_keyed, work
from undercroft.core.operation import gathered, operation
from undercroft.core.retry import Attempts, Budget
from undercroft.core.runtime.attempt import Settled, attempt, attempt_alone, is_direct
from undercroft.core.runtime.lanes import Lane
from undercroft.core.runtime.place import Facts, Place
from undercroft.core.runtime.replica_reads import UNANSWERED, ReplicaReads
from undercroft.core.runtime.server import Server
from undercroft.core.scope import Scope
from undercroft.core.tx import Tx
from undercroft.errors import DatabaseUnavailable, UndercroftError

_SHARING = frozenset({"append", "point"})


class HotLane(abc.ABC):
    """Connections to a server, and what is done on them."""

    _replica_type: ClassVar[type[ReplicaReads]]
    _lane: Lane
    _sharing: Settled | None = None
    """The lane as appends and reads of one row meet it, where they share messages."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        self.place: Place = server
        replica = server.replica()
        self._replica = None if replica is None else self._replica_type(server, replica)
        self._budget = Budget()
        self._ready = False

    @property
    def facts(self) -> Facts:
        """What is known of the database without asking it."""
        return self._server.facts(self._lane.use, None if self._replica is None else self._replica.watch)

    def _try(self, scope: Scope, op: operation[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run an operation to its commit and return its result."""
        self._budget.earn()
        attempts = Attempts(self._budget, keyed=is_keyed(scope, op))
        call = work(scope, op, args, kwargs)
        if scope.stale is not None and self._replica is not None:
            old = self._replica.ask(scope, op, call)
            if old is not UNANSWERED:
                return old
        while True:
            try:
                if op.lane == "open":
                    return self._run_openly(scope, op, *args, **kwargs)
                later: list[gathered[[], Any]] = []
                result = self._attempt(scope, op, call, later)
            except UndercroftError as error:
                wait = attempts.delay(error)
                if wait is None:
                    raise attempts.outcome(error)  # noqa: B904 - most often the very same
                if isinstance(error, DatabaseUnavailable):
                    self._lane.forget_idle()
            else:
                if later:
                    self._follow(scope, later)
                return result
            self._sleep(wait)

    def _attempt(
        self, scope: Scope, op: operation[..., Any], call: Callable[[Tx], Any], later: list[gathered[[], Any]]
    ) -> Any:
        if self._sharing is not None and op.access in _SHARING and is_direct(self._server, scope, op):
            return attempt_alone(self._sharing, self._server, scope, op, call, later)
        port = self._take()
        try:
            return attempt(port, self._server, scope, op, call, later)
        finally:
            self._lane.give(port)

    @abc.abstractmethod
    def _take(self) -> Any:
        """Borrow a connection of the lane."""

    @abc.abstractmethod
    def _sleep(self, seconds: float) -> None:
        """Let others work for a while."""

    @abc.abstractmethod
    def _run_openly(self, scope: Scope, op: operation[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run an operation once, in the open lane."""

    @abc.abstractmethod
    def _follow(self, scope: Scope, later: list[gathered[[], Any]]) -> None:
        """Run what a transaction wanted run once it was durable."""
