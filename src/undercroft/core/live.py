"""Live changes: answers kept in memory until somebody changes them, and streams that wait for the next change.

A slice names a *topic* of its own, announces each change of it, and declares what depends on it:

    def set_(tx, key, value, *, by):       # operation(set_), access "write"
        version = tx.announce("config")    # first: from here on changes of the topic take turns; above the last one
        tx.run(_PUT, {"key": key, "value": dumps(value), "version": version})

    def load(tx, key): return tx.value(_GET, {"key": key})          # reads only; None is remembered as well
    def answer(text, key, *, default=None): return default if text is None else loads(text)
    def changes(tx, after): …; return Page(items, after=last)       # after=None: return where to go on from

    class Config(Slice[C]):
        set = operation(ops.set_)
        get = remembered(ops.load, topic="config", answer=ops.answer)  # acme.config.get("greeting", default="Hej")
        watch = feed(ops.changes, topic="config")                      # for change in acme.config.watch(): …

What ``load`` returns is handed to everybody as it is: let it be immutable (text, a frozen dataclass), and let
``answer`` make each caller's own of it. Without ``answer`` all arguments tell answers apart, with it those that
``load`` takes. An error is not remembered: return None and raise in ``answer``. In a transaction, under an
idempotency key and in `stale()` every call reads the database. Raw SQL announces nothing.
"""

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from undercroft.core.operation import Access, Lane, Page, Slice, _Declaration, operation
from undercroft.core.runtime.base import Awaiting, Blocking
from undercroft.core.tx import Tx

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V")


class remembered(_Declaration, Generic[P, R]):  # noqa: N801 - reads as a decorator, like property
    """A read whose results a process keeps until ``topic`` is announced, one for each set of arguments.

    With ``answer`` the positional arguments are what is remembered by, and ``answer`` makes a caller's result of what
    was loaded and of all his arguments.
    """

    lane: Lane = "hot"
    fresh = False

    @overload
    def __init__(self, load: Callable[Concatenate[Tx, P], R], *, topic: str, access: Access = "point") -> None: ...
    @overload
    def __init__(
        self,
        load: Callable[Concatenate[Tx, ...], V],
        *,
        topic: str,
        answer: Callable[Concatenate[V, P], R],
        access: Access = "point",
    ) -> None: ...
    def __init__(
        self,
        load: Callable[..., Any],
        *,
        topic: str,
        answer: Callable[..., Any] | None = None,
        access: Access = "point",
    ) -> None:
        super().__init__(load if answer is None else _whole(load, answer))
        self.topic = topic
        self.access: Access = access
        self.answer = answer
        self.load = operation(load, access=access)
        self.naming = operation(_naming(topic), access="point")
        self._taken = list(inspect.signature(load).parameters)[1:]
        self.taken = frozenset(self._taken)

    def given(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments that are loaded by, positional ones where they can be."""
        named = dict(kwargs)
        for name in self._taken[len(args) :]:
            if name not in named:
                break
            args = (*args, named.pop(name))
        if self.answer is None:
            return args, named
        return args[: len(self._taken)], {name: named[name] for name in named.keys() & self.taken}

    @overload
    def __get__(self, obj: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, obj: Slice[Blocking], owner: type | None = None) -> Callable[P, R]: ...
    @overload
    def __get__(self, obj: Slice[Awaiting], owner: type | None = None) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        if obj is None:
            return self
        recall = functools.update_wrapper(obj._runner.recalling(obj._scope, self), self.fn)  # noqa: SLF001 - a slice is ours
        obj.__dict__[self.attribute] = recall
        return recall


def _whole(load: Callable[..., Any], answer: Callable[..., Any]) -> Callable[..., Any]:
    """Return both as one function of a transaction, for where nothing is remembered."""
    taken = list(inspect.signature(load).parameters)[1:]

    def read(tx: Tx, *args: Any, **kwargs: Any) -> Any:
        by_name = {name: kwargs[name] for name in taken[len(args) :] if name in kwargs}
        return answer(load(tx, *args[: len(taken)], **by_name), *args, **kwargs)

    functools.update_wrapper(read, answer)
    signature = inspect.signature(answer)
    first = next(iter(inspect.signature(load).parameters.values()))
    read.__signature__ = signature.replace(parameters=[first, *list(signature.parameters.values())[1:]])  # type: ignore[attr-defined]
    return read


def _naming(topic: str) -> Callable[[Tx], str]:
    def change_scope(tx: Tx) -> str:
        return tx.dialect.change_scope(tx, topic)

    return change_scope


class feed(_Declaration, Generic[P, R]):  # noqa: N801
    """An endless stream: where `stream` ends, it waits until ``topic`` is announced and goes on.

    The function gets the key of the page before, at first None, and returns what came after it and the key to go on
    from; nothing new is a page without items. A notice that was missed is made up for: it looks again now and then.
    """

    access: Access = "read"
    lane: Lane = "hot"
    fresh = False

    def __init__(self, fn: Callable[Concatenate[Tx, Any, P], Page[R]], *, topic: str) -> None:
        super().__init__(fn)
        self.topic = topic
        self.naming = operation(_naming(topic), access="point")

    @overload
    def __get__(self, obj: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, obj: Slice[Blocking], owner: type | None = None) -> Callable[P, Iterator[R]]: ...
    @overload
    def __get__(self, obj: Slice[Awaiting], owner: type | None = None) -> Callable[P, AsyncIterator[R]]: ...
    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        return self if obj is None else self._bind(obj, "attend")
