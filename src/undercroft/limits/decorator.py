"""`limited`: a function that takes of a limit before it runs."""

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from undercroft.errors import WrongColour

if TYPE_CHECKING:
    from undercroft.limits import Limits

F = TypeVar("F", bound=Callable[..., Any])


def limited(
    limits: "Limits[Any] | Callable[..., Limits[Any]]",
    name: str,
    *,
    units: int | Callable[..., int] = 1,
    by: str | Callable[..., str | None] | None = None,
    resource: str | Callable[..., str | None] | None = None,
) -> Callable[[F], F]:
    """Decorate a function, or a coroutine function with an AsyncStore's limits, so that each call takes units first.

    What is a function here is called with the arguments of the call: whose limits they are, how many units it takes,
    for whom. What was taken stays taken if the function fails.

    Raises, when called:
        LimitExceeded: there are not as many units left, and the function was not called.
        NotFound, InvalidInput: as `Limits.consume`.
    """

    def decorate(fn: F) -> F:
        def take(*args: Any, **kwargs: Any) -> Any:
            def told(value: Any) -> Any:
                return value(*args, **kwargs) if callable(value) else value

            return told(limits).consume(name, units=told(units), by=told(by), resource=told(resource))

        if inspect.iscoroutinefunction(fn):

            @functools.wraps(fn)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                await take(*args, **kwargs)
                return await fn(*args, **kwargs)

            return awaited  # type: ignore[return-value]  # it is called as the function is

        @functools.wraps(fn)
        def called(*args: Any, **kwargs: Any) -> Any:
            taken = take(*args, **kwargs)
            if inspect.iscoroutine(taken):
                taken.close()
                raise WrongColour
            return fn(*args, **kwargs)

        return called  # type: ignore[return-value]  # it is called as the function is

    return decorate
