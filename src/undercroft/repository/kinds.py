"""The kinds of a repository's operations, by what they return of the model: an operation is made for each model."""

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from undercroft.core.idempotency import refuse_key
from undercroft.core.operation import Access, C, Page, Slice, operation, procedure, stream
from undercroft.core.runtime.base import Awaiting, Blocking
from undercroft.core.scope import Scope
from undercroft.core.tx import Tx
from undercroft.repository.plan import Plan

P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M")


class About(Slice[C], Generic[C, M]):
    """A slice about one model."""

    def __init__(self, runner: C, scope: Scope, plan: Plan[M]) -> None:
        super().__init__(runner, scope)
        self._plan = plan

    def __repr__(self) -> str:
        return f"<undercroft repository of {self._plan.name} in {self._scope.tenant_name or 'the database'}>"


class _Kind(Generic[P]):
    """A function that is given a model's plan; ``access`` makes it an operation, without it is a procedure."""

    def __init__(self, fn: Callable[Concatenate[Any, Plan[Any], P], Any], *, access: Access | None = None) -> None:
        self.fn = fn
        self.access = access
        functools.update_wrapper(self, fn)  # type: ignore[arg-type]  # the descriptor carries the function's documentation

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = name

    def _bind(self, obj: About[Any, Any]) -> Any:
        """Keep the bound call in the repository's own dictionary, where the next look-up finds it without this."""
        if obj._plan.as_orm:  # noqa: SLF001 - a repository is ours
            refuse_key(obj._scope)  # noqa: SLF001 - no answer can be kept of an instance
        declared, method = obj._plan.declared(self, self._declare)  # noqa: SLF001 - a repository is ours
        bound = functools.partial(getattr(obj._runner, method), obj._scope, declared)  # noqa: SLF001
        obj.__dict__[self.attribute] = functools.update_wrapper(bound, self.fn)
        return bound

    def _declare(self, plan: Plan[Any]) -> tuple[Any, str]:
        fn = self._about(plan)
        if self.access is None:
            return procedure(fn), "proceed"
        access: Access = "write" if self.access == "append" and not plan.fits_upsert else self.access
        return operation(fn, access=access), "run"

    def _about(self, plan: Plan[Any]) -> Callable[..., Any]:
        """Make the function of one model: named after it, and telling what it returns, which idempotency asks for."""
        fn = self.fn

        @functools.wraps(fn)
        def call(first: Any, *args: Any, **kwargs: Any) -> Any:
            return fn(first, plan, *args, **kwargs)

        signature = inspect.signature(fn)
        names = [name for place, name in enumerate(signature.parameters) if place != 1]
        call.__signature__ = signature.replace(parameters=[signature.parameters[name] for name in names])  # type: ignore[attr-defined]
        call.__annotations__ = {"return": self._returned(plan)}
        call.__name__ = f"{fn.__name__}:{plan.name}"
        return call

    def _returned(self, plan: Plan[Any]) -> Any:
        return plan.row


class one(_Kind[P]):  # noqa: N801 - reads as a decorator, as the kinds of core.operation do
    """Returns one row."""

    @overload
    def __get__(self, obj: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, obj: About[Blocking, M], owner: type | None = None) -> Callable[P, M]: ...
    @overload
    def __get__(self, obj: About[Awaiting, M], owner: type | None = None) -> Callable[P, Coroutine[Any, Any, M]]: ...
    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        return self if obj is None else self._bind(obj)


class maybe(_Kind[P]):  # noqa: N801
    """Returns one row or None."""

    @overload
    def __get__(self, obj: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, obj: About[Blocking, M], owner: type | None = None) -> Callable[P, M | None]: ...
    @overload
    def __get__(
        self, obj: About[Awaiting, M], owner: type | None = None
    ) -> Callable[P, Coroutine[Any, Any, M | None]]: ...
    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        return self if obj is None else self._bind(obj)


class many(_Kind[P]):  # noqa: N801
    """Returns a list of rows."""

    @overload
    def __get__(self, obj: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, obj: About[Blocking, M], owner: type | None = None) -> Callable[P, list[M]]: ...
    @overload
    def __get__(
        self, obj: About[Awaiting, M], owner: type | None = None
    ) -> Callable[P, Coroutine[Any, Any, list[M]]]: ...
    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        return self if obj is None else self._bind(obj)


class paged(_Kind[P]):  # noqa: N801
    """Returns a page of rows and the key of the next one."""

    @overload
    def __get__(self, obj: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, obj: About[Blocking, M], owner: type | None = None) -> Callable[P, Page[M]]: ...
    @overload
    def __get__(
        self, obj: About[Awaiting, M], owner: type | None = None
    ) -> Callable[P, Coroutine[Any, Any, Page[M]]]: ...
    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        return self if obj is None else self._bind(obj)


class plain(_Kind[P], Generic[P, R]):  # noqa: N801
    """Returns what has nothing to do with the model."""

    def __init__(self, fn: Callable[Concatenate[Any, Plan[Any], P], R], *, access: Access) -> None:
        super().__init__(fn, access=access)

    @overload
    def __get__(self, obj: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, obj: About[Blocking, Any], owner: type | None = None) -> Callable[P, R]: ...
    @overload
    def __get__(self, obj: About[Awaiting, Any], owner: type | None = None) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        return self if obj is None else self._bind(obj)

    def _returned(self, plan: Plan[Any]) -> Any:
        del plan
        return inspect.signature(self.fn).return_annotation


class streamed(_Kind[P]):  # noqa: N801
    """Iterates over rows, a page at a time."""

    def __init__(self, fn: Callable[Concatenate[Tx, Any, Plan[Any], P], Page[Any]]) -> None:
        super().__init__(fn)  # type: ignore[arg-type]  # the key of the page before comes first

    @overload
    def __get__(self, obj: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, obj: About[Blocking, M], owner: type | None = None) -> Callable[P, Iterator[M]]: ...
    @overload
    def __get__(self, obj: About[Awaiting, M], owner: type | None = None) -> Callable[P, AsyncIterator[M]]: ...
    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        return self if obj is None else self._bind(obj)

    def _declare(self, plan: Plan[Any]) -> tuple[Any, str]:
        fn: Callable[..., Page[Any]] = self.fn

        def page(tx: Tx, after: Any, *args: Any, **kwargs: Any) -> Page[Any]:
            return fn(tx, after, plan, *args, **kwargs)

        return stream(page), "iterate"
