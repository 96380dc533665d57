"""Units of a limit for each request, and what tells the client of it."""

import inspect
import math
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from undercroft import AsyncStore, Decision, Store
from undercroft.adapters.starlette.callers import Caller

_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
_MOST = 10**15 - 1
"""The largest integer of a structured field, RFC 9651."""


class LimitMiddleware:
    """Takes units of a limit for each HTTP request, and answers 429 where there are none left.

    ``who`` tells whose request it is, by what the application itself has proved: nothing is read from a header, which a
    client may write as it likes. It may be a coroutine function. For None, the request is not limited. WebSockets are
    not limited here: consume in their endpoint.

    Every answer carries the fields of `headers`. Errors of the store are the application's to handle: a request that
    could not be counted is not passed on.

    Raises, for a request:
        NotFound: the tenant is unknown, or has no such limit.
        InvalidInput: the limit is each user's or each resource's, and the caller has none.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        store: "Store | AsyncStore",
        limit: str,
        who: Callable[[Request], "Caller | Awaitable[Caller | None] | None"],
    ) -> None:
        self._app = app
        self._store: Any = store
        self._limit = limit
        self._who = who

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        taken = await self._taken(Request(scope)) if scope["type"] == "http" else None
        if taken is None:
            await self._app(scope, receive, send)
        elif not taken.allowed:
            problem = {"type": _EXCEEDED, "title": "Too many requests", "violated-policies": [taken.name]}
            answer = JSONResponse(problem, 429, headers(taken), media_type="application/problem+json")
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, _telling(taken, send))

    async def _taken(self, request: Request) -> Decision | None:
        caller = self._who(request)
        if inspect.isawaitable(caller):
            caller = await caller
        return None if caller is None else await self._take(caller)

    async def _take(self, caller: Caller) -> Decision:
        limits = self._store.tenant(caller.tenant).limits
        take = partial(limits.try_consume, self._limit, units=caller.units, by=caller.user, resource=caller.resource)
        taken: Decision = await (take() if isinstance(self._store, AsyncStore) else run_in_threadpool(take))
        return taken


def headers(taken: Decision) -> dict[str, str]:
    """Return what tells a client of a take, in whole seconds and rounded so that he never comes too early.

    `RateLimit` and `RateLimit-Policy` as draft-ietf-httpapi-ratelimit-headers-10 has them; `X-RateLimit-Limit`,
    `-Remaining` and `-Reset`, which is seconds since 1970; for a refused take that can succeed later, `Retry-After`.
    """
    name = _quoted(taken.name)
    reset = taken.resets_at if not taken.resets_at.microsecond else taken.resets_at + timedelta(seconds=1)
    told = {
        "RateLimit-Policy": f"{name};q={min(taken.limit, _MOST)};w={max(1, math.ceil(taken.window))}",
        "RateLimit": f"{name};r={min(taken.remaining, _MOST)};t={math.ceil(taken.resets_after)}",
        "X-RateLimit-Limit": str(taken.limit),
        "X-RateLimit-Remaining": str(taken.remaining),
        "X-RateLimit-Reset": str(int(reset.timestamp())),
    }
    if taken.retry_after is not None:
        told["Retry-After"] = str(max(1, math.ceil(taken.retry_after)))
    return told


def _telling(taken: Decision, send: Send) -> Send:
    """Return a sender that adds the fields to the answer."""

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(headers(taken))
        await send(message)

    return told


def _quoted(name: str) -> str:
    """Return a string of a structured field: ASCII alone, so a character beyond it becomes a question mark."""
    shown = "".join(one if " " <= one <= "~" else "?" for one in name)
    return '"' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"'
