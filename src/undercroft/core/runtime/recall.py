"""Answers from memory, and the database asked for those that are not in it, in both colours.

A warm call is one look into a dictionary: every further step would cost as much as the look itself.
"""

from collections.abc import Callable, Coroutine, Hashable
from typing import TYPE_CHECKING, Any

from undercroft.core.runtime.memory import NOTHING as _NOTHING, SHARED, Memory, key_of
from undercroft.core.scope import Scope

if TYPE_CHECKING:
    from undercroft.core.live import remembered
    from undercroft.core.runtime.base import AwaitingEngine, BlockingEngine

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


def is_remembered(scope: Scope) -> bool:
    """Tell whether calls of a scope may be answered from memory."""
    return scope.tenant_id is not None and scope.idempotency_key is None and scope.stale is None


class Recalled:
    """One remembered read of one tenant."""

    def __init__(self, memory: Memory, scope: Scope, asked: "remembered[..., Any]") -> None:
        assert scope.tenant_id is not None  # noqa: S101 - see is_remembered
        self.memory = memory
        self.shelf = memory.shelf(scope.tenant_id, asked.topic, asked)
        self._taken = asked.taken
        self._answer = asked.answer

    def find(self, args: Args, kwargs: Kwargs) -> Any:
        """Return what was loaded for such a call, _NOTHING where it must be asked for."""
        if self._taken.isdisjoint(kwargs):
            try:
                return self.shelf.entries.get(args, _NOTHING)
            except TypeError:  # not hashable, so not kept
                pass
        return _NOTHING

    def answer(self, value: Any, args: Args, kwargs: Kwargs) -> Any:
        """Make a caller's answer of what was loaded; for who asks in the same words it is kept as well."""
        told = value if self._answer is None else self._answer(value, *args, **kwargs)
        if not kwargs and 0 < len(args) <= len(self._taken) and (told is value or type(told) in SHARED):
            self.memory.answered(self.shelf, args, value, told)
        return told


class Loading:
    """One answer on its way into the memory."""

    __slots__ = ("_generation", "_memory", "_shelf", "args", "kept", "key", "kwargs", "value")

    def __init__(self, recalled: Recalled, args: Args, kwargs: Kwargs) -> None:
        self.args = args
        self.kwargs = kwargs
        self._memory = recalled.memory
        self._shelf = recalled.shelf
        self.key: Hashable | None = key_of(args, kwargs) if self._memory.alive else None
        self.value = _NOTHING if self.key is None else self._shelf.entries.get(self.key, _NOTHING)
        self.kept = self.value is not _NOTHING
        self.begin()

    @property
    def unnamed(self) -> bool:
        """Whether nobody knows what notices call the subject, so that nothing may be kept yet."""
        return self.key is not None and self._shelf.subject.scope is None

    def name(self, scope: str) -> None:
        """Learn what notices call the subject, and begin anew: what came before that went unheard."""
        self._memory.name(self._shelf.subject, scope, self._generation)
        self.begin()

    def begin(self) -> None:
        """Take the generation that the answer will be of; before the database is asked."""
        self._generation = self._shelf.subject.generation

    def keep(self, value: Any) -> Any:
        """Keep the answer, unless it was changed meanwhile, and return it."""
        if self.key is not None:
            self._memory.keep(self._shelf, self.key, value, self._generation)
        return value


def blocking(engine: "BlockingEngine", scope: Scope, asked: "remembered[..., Any]") -> Callable[..., Any]:
    """Return a call that is answered from memory where it can be."""
    recalled = Recalled(engine.place.memory, scope, asked)
    answers, load = recalled.shelf.answers, _blocking_load(engine, scope, asked, recalled)

    def recall(first: Any = _NOTHING, /, *rest: Any, **kwargs: Any) -> Any:
        if not kwargs:
            try:
                return answers[(first, *rest) if rest else first]
            except (KeyError, TypeError):  # not there; or not hashable, so not kept
                pass
        args = () if first is _NOTHING else (first, *rest)
        value = recalled.find(args, kwargs)
        return recalled.answer(load(args, kwargs) if value is _NOTHING else value, args, kwargs)

    return recall


def _blocking_load(
    engine: "BlockingEngine", scope: Scope, asked: "remembered[..., Any]", recalled: Recalled
) -> Callable[[Args, Kwargs], Any]:
    def load(args: Args, kwargs: Kwargs) -> Any:
        loading = Loading(recalled, *asked.given(args, kwargs))
        if loading.kept:
            return loading.value
        if loading.unnamed:
            loading.name(engine.run(scope, asked.naming))
        value = engine.run(scope, asked.load, *loading.args, **loading.kwargs)
        engine.place.listener.start()  # not before a call has made sure that the database is there
        return loading.keep(value)

    return load


def awaiting(engine: "AwaitingEngine", scope: Scope, asked: "remembered[..., Any]") -> Callable[..., Any]:
    """Return the same as a coroutine function."""
    recalled = Recalled(engine.place.memory, scope, asked)
    answers, load = recalled.shelf.answers, _awaiting_load(engine, scope, asked, recalled)

    async def recall(first: Any = _NOTHING, /, *rest: Any, **kwargs: Any) -> Any:
        if not kwargs:
            try:
                return answers[(first, *rest) if rest else first]
            except (KeyError, TypeError):  # not there; or not hashable, so not kept
                pass
        args = () if first is _NOTHING else (first, *rest)
        value = recalled.find(args, kwargs)
        return recalled.answer(await load(args, kwargs) if value is _NOTHING else value, args, kwargs)

    return recall


def _awaiting_load(
    engine: "AwaitingEngine", scope: Scope, asked: "remembered[..., Any]", recalled: Recalled
) -> Callable[[Args, Kwargs], Coroutine[Any, Any, Any]]:
    async def load(args: Args, kwargs: Kwargs) -> Any:
        loading = Loading(recalled, *asked.given(args, kwargs))
        if loading.kept:
            return loading.value
        if loading.unnamed:
            loading.name(await engine.run(scope, asked.naming))
        value = await engine.run(scope, asked.load, *loading.args, **loading.kwargs)
        engine.place.listener.start()  # not before a call has made sure that the database is there
        return loading.keep(value)

    return load
