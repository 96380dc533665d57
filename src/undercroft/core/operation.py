"""The kinds of declaration: one plain function, called blocking on a Store and awaited on an AsyncStore.

``operation`` is a function of a transaction, ``procedure`` a function outside one that may run several, ``resource`` a
generator around a ``with`` block, ``stream`` an iterator that fetches a page at a time; ``gathered`` is an operation
whose concurrent calls share a statement. Each is a descriptor on a slice, whose colour decides what type checkers see.
"""

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Self, TypeVar, get_args, get_type_hints, overload

from undercroft.core.runtime.base import Awaiting, Blocking, Ports
from undercroft.core.runtime.place import Place
from undercroft.core.scope import Scope
from undercroft.core.seal.envelope import concealed
from undercroft.core.tx import Tx

P = ParamSpec("P")
R = TypeVar("R")
Item = TypeVar("Item")
C = TypeVar("C", bound=Blocking | Awaiting)

Access = Literal["write", "append", "read", "point"]
Lane = Literal["hot", "open"]


class Slice(Generic[C]):
    """A noun of the facade: the operations of one domain, bound to a runner and a scope."""

    _subject: tuple[Any, ...] = ()
    """What its functions are given before their arguments, where the slice is about one thing."""

    def __init__(self, runner: C, scope: Scope) -> None:
        self._runner: C = runner
        self._scope = scope

    def __repr__(self) -> str:
        return f"<undercroft {type(self).__name__.lower()} of {self._scope.tenant_name or 'the database'}>"


class _Declaration:
    """What the kinds share: the function, its documentation, and one binding per slice object."""

    hides: Sequence[str] = ()

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn
        self.name = f"{fn.__module__.removeprefix('undercroft.').removesuffix('.ops')}.{fn.__name__}"
        functools.update_wrapper(self, fn)  # type: ignore[arg-type]  # the descriptor carries the function's documentation

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = name

    def _bind(self, obj: Slice[Any], method: str) -> Any:
        """Keep the bound call in the slice's own dictionary, where the next look-up finds it without this."""
        bound = functools.partial(getattr(obj._runner, method), obj._scope, self, *obj._subject)  # noqa: SLF001 - a slice is ours
        if self.hides:
            bound = functools.partial(_hiding, bound, self._hidden())
        functools.update_wrapper(bound, self.fn)
        obj.__dict__[self.attribute] = bound
        return bound

    def _hidden(self) -> frozenset[str | int]:
        """The names and places of the arguments that are hidden."""
        places = list(inspect.signature(self.fn).parameters)[1:]
        return frozenset([*self.hides, *map(places.index, self.hides)])


def _hiding(call: Callable[..., Any], hides: frozenset[str | int], /, *args: Any, **kwargs: Any) -> Any:
    """Make a call with some arguments hidden, before a frame of ours holds them that an error may show."""
    args = tuple(concealed(value) if place in hides else value for place, value in enumerate(args))
    kwargs = {name: concealed(value) if name in hides else value for name, value in kwargs.items()}
    return call(*args, **kwargs)


class operation(_Declaration, Generic[P, R]):  # noqa: N801 - reads as a decorator, like property
    """A function of one transaction.

    ``access`` tells the runner what it may save: ``read`` only selects, ``point`` is a read so short that it may run on
    the event loop, ``append`` is exactly one insert or upsert, ``write`` is everything else. ``lane`` is ``open`` where
    the function runs a caller's SQL, which may leave behind what must never meet our own operations. ``fresh`` is a
    read that rights are decided by: it is never asked of a replica. ``hides`` names arguments that are secret: the
    function gets them as `Hidden`, and no traceback shows them in a frame of ours.
    """

    def __init__(
        self,
        fn: Callable[Concatenate[Tx, P], R],
        *,
        access: Access = "write",
        lane: Lane = "hot",
        fresh: bool = False,
        hides: Sequence[str] = (),
    ) -> None:
        super().__init__(fn)
        self.hides = hides
        self.access: Access = access
        self.lane: Lane = lane
        self.fresh = fresh

    @overload
    def __get__(self, obj: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, obj: Slice[Blocking], owner: type | None = None) -> Callable[P, R]: ...
    @overload
    def __get__(self, obj: Slice[Awaiting], owner: type | None = None) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        return self if obj is None else self._bind(obj, "run")


class gathered(_Declaration, Generic[P, R]):  # noqa: N801
    """An append whose concurrent calls of one tenant share a statement and a commit; each waits for its own row.

    ``build`` turns a call's arguments into an item, and refuses wrong ones before they can meet anybody else's;
    ``append_many`` stores items and returns an outcome for each; ``single`` and ``many`` are its access with one item
    and with more. ``apart`` tells which items may share a statement: those of one value. ``check`` raises for a caller
    whose outcome is a refusal, and for him alone. ``prepare`` does what needs an item's tenant and no
    database, while the statement before is under way. Inside a transaction an item is stored at once, as it was built.
    """

    def __init__(
        self,
        build: Callable[P, Item],
        append_many: Callable[[Tx, Sequence[Item]], list[R]],
        *,
        single: Access = "append",
        many: Access = "write",
        apart: Callable[[Item], Hashable] | None = None,
        check: Callable[[R], R] | None = None,
        prepare: Callable[[Scope, Place, Item], object] | None = None,
    ) -> None:
        super().__init__(build)
        self.apart = apart
        self.prepare = prepare
        self.check: Callable[[R], R] = check or _unchecked
        self.single = operation(append_many, access=single)
        self.many = operation(append_many, access=many)
        self.keyed = operation(_one(build, append_many, self.check))

    def item(self, scope: Scope, place: Place, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Build an item of a call's arguments, ready to be stored for its tenant."""
        built: Any = self.fn(*args, **kwargs)
        return built if self.prepare is None else self.prepare(scope, place, built)

    def key(self, scope: Scope, item: Any) -> Hashable:
        """Return what items have in common that may share a statement."""
        return scope.tenant_id, id(self), None if self.apart is None else self.apart(item)

    @overload
    def __get__(self, obj: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, obj: Slice[Blocking], owner: type | None = None) -> Callable[P, R]: ...
    @overload
    def __get__(self, obj: Slice[Awaiting], owner: type | None = None) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        return self if obj is None else self._bind(obj, "gather")


def _unchecked(outcome: R) -> R:
    return outcome


def _one(
    build: Callable[..., Any], append_many: Callable[..., list[Any]], check: Callable[[Any], Any]
) -> Callable[..., Any]:
    """Return the append as a function of a transaction and of the call's own arguments."""

    def append(tx: Tx, *args: Any, **kwargs: Any) -> Any:
        return check(append_many(tx, [build(*args, **kwargs)])[0])

    functools.update_wrapper(append, build)
    known = inspect.signature(append_many), inspect.signature(build)
    parameters = [next(iter(known[0].parameters.values())), *known[1].parameters.values()]
    append.__signature__ = known[1].replace(parameters=parameters)  # type: ignore[attr-defined]
    append.__annotations__ = {"return": get_args(get_type_hints(append_many)["return"])[0]}
    return append


class procedure(_Declaration, Generic[P, R]):  # noqa: N801
    """A function outside any transaction, given ports: it may run operations and call slow things between them."""

    def __init__(self, fn: Callable[Concatenate[Ports, P], R]) -> None:
        super().__init__(fn)

    @overload
    def __get__(self, obj: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, obj: Slice[Blocking], owner: type | None = None) -> Callable[P, R]: ...
    @overload
    def __get__(self, obj: Slice[Awaiting], owner: type | None = None) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        return self if obj is None else self._bind(obj, "proceed")


class resource(_Declaration, Generic[P, R]):  # noqa: N801
    """A generator function with one ``yield``, entered by ``with`` or ``async with``; its halves are procedures."""

    def __init__(self, fn: Callable[Concatenate[Ports, P], Iterator[R]]) -> None:
        super().__init__(fn)

    @overload
    def __get__(self, obj: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(
        self, obj: Slice[Blocking], owner: type | None = None
    ) -> Callable[P, AbstractContextManager[R, None]]: ...
    @overload
    def __get__(
        self, obj: Slice[Awaiting], owner: type | None = None
    ) -> Callable[P, AbstractAsyncContextManager[R, None]]: ...
    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        return self if obj is None else self._bind(obj, "hold")


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Some items and the key to ask for those that follow, None at the end."""

    items: list[R]
    after: Any = None


class stream(_Declaration, Generic[P, R]):  # noqa: N801
    """A function of a transaction and a key that returns the page after it; iterating runs it once a page.

    Pages by key and not a server-side cursor: nothing is held open between pages, through a pooler neither.
    """

    access: Access = "read"
    lane: Lane = "hot"
    fresh = False

    def __init__(self, fn: Callable[Concatenate[Tx, Any, P], Page[R]]) -> None:
        super().__init__(fn)

    @overload
    def __get__(self, obj: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, obj: Slice[Blocking], owner: type | None = None) -> Callable[P, Iterator[R]]: ...
    @overload
    def __get__(self, obj: Slice[Awaiting], owner: type | None = None) -> Callable[P, AsyncIterator[R]]: ...
    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        return self if obj is None else self._bind(obj, "iterate")
