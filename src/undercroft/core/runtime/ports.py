"""What a procedure asks of its runner, whatever the colour."""

import abc
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from undercroft.core.runtime.place import Facts
from undercroft.core.runtime.redis import Arguments, Link, Script
from undercroft.core.scope import Scope
from undercroft.core.seal.keyring import Keyring

if TYPE_CHECKING:
    from undercroft.core.operation import operation

T = TypeVar("T")
Last: TypeAlias = Callable[["Ports"], object]
"""What is done with something that was kept before its store closes."""
Work = Callable[[Callable[[float], bool]], None]
Undo: TypeAlias = Callable[["Ports"], object]

_kept: WeakKeyDictionary[Any, dict[tuple[UUID | None, Any], Any]] = WeakKeyDictionary()
_last: WeakKeyDictionary[Any, list[tuple[Scope, Last]]] = WeakKeyDictionary()
_keeping = threading.Lock()


def keep(runner: Any, scope: Scope, make: Callable[[], T], last: Last | None) -> T:
    """Return what ``make`` made for a tenant of a runner, once; it is forgotten with the runner."""
    with _keeping:
        mine = _kept.setdefault(runner, {})
        key = (scope.tenant_id, make)
        if key not in mine:
            mine[key] = make()
            if last is not None:
                _last.setdefault(runner, []).append((scope, last))
        found: T = mine[key]
        return found


def last_of(runner: Any) -> list[tuple[Scope, Last]]:
    """Return, once, what is to be done before a runner closes."""
    with _keeping:
        return _last.pop(runner, [])


class Ports(abc.ABC):
    """What a procedure may do: run operations, each in its own transaction, and call the outside world."""

    @abc.abstractmethod
    def run(self, op: "operation[..., Any]", *args: Any, **kwargs: Any) -> Any:
        """Run one operation of the same scope in a transaction of its own and return its result."""

    @abc.abstractmethod
    def within(self, scope: Scope) -> "Ports":
        """Return ports of another scope."""

    @property
    @abc.abstractmethod
    def facts(self) -> Facts:
        """What is known of the database without asking it."""

    @property
    @abc.abstractmethod
    def keys(self) -> Keyring:
        """The keys of the store; not inside a transaction."""

    @abc.abstractmethod
    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Call a caller's function; on an AsyncStore it may be a coroutine function."""

    @abc.abstractmethod
    def session(self, work: Callable[[Session], Any]) -> Any:
        """Run work in an ORM session of the same scope and return its result."""

    @abc.abstractmethod
    def validate(self) -> tuple[int, int]:
        """Try every idle connection and drop those that do not answer; returns how many were tried and dropped."""

    @abc.abstractmethod
    def administer(self, work: Callable[[Connection], Any]) -> Any:
        """Run work as the login of the migrations, each statement its own transaction; not inside a transaction."""

    @abc.abstractmethod
    def kept(self, make: Callable[[], T], last: Last | None = None) -> T:
        """Return what ``make`` made for this scope of the store, once: what calls in one process know of each other.

        ``last`` is done before the store closes, if the database still answers.
        """

    @abc.abstractmethod
    def wait(self, future: "Future[T]") -> T:
        """Wait for what another call settles; the future must be running, so that giving up does not cancel it."""

    @property
    @abc.abstractmethod
    def redis(self) -> Link | None:
        """The store's Redis, where something is kept in one."""

    @abc.abstractmethod
    def script(self, script: Script, keys: Arguments, arguments: Arguments) -> Any:
        """Run a script in the store's Redis; at once, also inside a transaction.

        Raises:
            RedisUnavailable: it does not answer in time, or refuses.
        """

    @abc.abstractmethod
    def undo(self, work: "Undo") -> None:
        """Have something made good that was done outside the database, if this transaction is rolled back."""

    @abc.abstractmethod
    def background(self, work: "Work") -> Callable[[], None]:
        """Begin work beside the caller and return what stops it and waits for its end.

        Work is given a function that sleeps for some seconds and tells whether it is to stop, which ends the sleep.
        """

    @abc.abstractmethod
    def sleep(self, seconds: float) -> None:
        """Let others work for a while."""
