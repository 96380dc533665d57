"""The tenant of a request: what proves it, and what is answered where nothing does."""

import inspect
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from undercroft import AsyncStore, Store
from undercroft.adapters.starlette.callers import CALLER, TENANT, UNPROVED, Caller
from undercroft.errors import InvalidInput, TenantDeleted, TenantNotSet, TenantUnknown, UndercroftError

Proof = Caller | Response | None
Who = Callable[[HTTPConnection], Proof | Awaitable[Proof]]

_POLICY_VIOLATION = 1008
"""The close code of a WebSocket, RFC 6455, 7.4.1."""


class TenantMiddleware:
    """Sets the tenant of each request and WebSocket by what ``who`` has verified of it.

    ``who`` is a `SlackSignature`, a `BearerToken` or a function of your own, which may be a coroutine function. It
    returns the `Caller` that the request proves; None where it proves nobody; or a response, which is sent instead
    of passing the request on. It may read the body: the application reads it again.

    What is inside finds the tenant with `current_tenant` and the caller with `current_caller`, or as ``state.tenant``
    and ``state.caller`` of the request. A request that proves nobody is answered 401. With ``required=False`` it is
    passed on without a tenant, and answered 401 when something asks for one.

    A tenant that is unknown is answered 404, a deleted one 403, as problem details (RFC 9457) with our error's code;
    that takes one read for each request. Errors of the store are the application's to handle: a request whose tenant
    could not be read is not passed on.
    """

    def __init__(self, app: ASGIApp, *, store: "Store | AsyncStore", who: Who, required: bool = True) -> None:
        self._app = app
        self._store: Any = store
        self._who = who
        self._required = required

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on in its tenant."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        given = scope.get("state", {})  # a server may hand the same one to every request
        state = {name: given[name] for name in given if name not in {TENANT, CALLER}}
        unproved: list[TenantNotSet] = []
        scope = {**scope, "state": state, UNPROVED: unproved}
        body, answer = _Body(receive), _Answer(scope, receive, send, unproved, self._unproved())
        kind = Request if scope["type"] == "http" else HTTPConnection
        try:
            refused = await self._refusal(kind(scope, body.read))
        except ClientDisconnect:  # before its body was whole: nobody is there to answer
            return
        if refused is not None:
            await answer.give(refused)
            return
        try:
            await self._app(scope, body.read_again, answer.send)
        except TenantNotSet as error:
            if error not in unproved or not await answer.refused():
                raise

    async def _refusal(self, connection: HTTPConnection) -> Response | None:
        """Return what is answered instead of passing the request on; where that is None its state is set."""
        proof = self._who(connection)
        if inspect.isawaitable(proof):
            proof = await proof
        if isinstance(proof, Response):
            return proof
        if proof is None:
            return self._unproved() if self._required else None
        try:
            await self._living(proof.tenant)
        except TenantDeleted as error:
            return problem(403, error)
        except (TenantUnknown, InvalidInput):
            return problem(404, TenantUnknown())
        connection.scope["state"].update({TENANT: self._store.tenant(proof.tenant), CALLER: proof})
        return None

    async def _living(self, key: str) -> None:
        get = self._store.tenants.get
        tenant = await (get(key) if isinstance(self._store, AsyncStore) else run_in_threadpool(get, key))
        if tenant.deleted_at is not None:
            raise TenantDeleted

    def _unproved(self) -> Response:
        scheme = getattr(self._who, "scheme", None)
        headers = {} if scheme is None else {"WWW-Authenticate": scheme}
        return problem(401, TenantNotSet("Nothing proved whose request this is."), headers)


def problem(status: int, error: UndercroftError, headers: dict[str, str] | None = None) -> Response:
    """Return problem details (RFC 9457): what is wrong and the error's code, nothing of what was sent."""
    told = {"type": "about:blank", "title": error.message, "status": status, "code": error.code}
    return JSONResponse(told, status, headers, media_type="application/problem+json")


class _Body:
    """A request's body, which is read once to be verified and again by the application."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._kept: list[Message] = []

    async def read(self) -> Message:
        message = await self._receive()
        self._kept.append(message)
        return message

    async def read_again(self) -> Message:
        return self._kept.pop(0) if self._kept else await self._receive()


class _Answer:
    """Where an answer goes; that something asked for a tenant in vain becomes 401, unless another answer has begun."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, unproved: list[TenantNotSet], refusal: Response
    ) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._unproved, self._refusal = unproved, refusal
        self._begun = self._refused = False

    async def send(self, message: Message) -> None:
        """Pass a message of the application's on; a mounted application answers 500 for any error."""
        if self._unproved and message.get("status") == HTTPStatus.INTERNAL_SERVER_ERROR:
            await self.refused()
        if not self._refused:
            self._begun = True
            await self._send(message)

    async def refused(self) -> bool:
        """Answer 401 where nothing was answered yet; returns whether that is the answer."""
        if not self._begun and not self._refused:
            self._refused = True
            await self.give(self._refusal)
        return self._refused

    async def give(self, response: Response) -> None:
        """Send a response; a WebSocket is closed with 1008 where the server cannot answer its handshake."""
        if self._scope["type"] == "http" or "websocket.http.response" in self._scope.get("extensions", {}):
            await response(self._scope, self._receive, self._send)
        else:
            await self._send({"type": "websocket.close", "code": _POLICY_VIOLATION})
