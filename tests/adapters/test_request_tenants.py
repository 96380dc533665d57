"""The tenant of a request: set by what is proved, for that request alone, and missing where nothing is."""

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import jwt
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Request, WebSocket
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.adapters.serving import Served, closing, served
from undercroft import AsyncStore, Store, TenantScope, errors
from undercroft.adapters.starlette import (
    BearerToken,
    Caller,
    LimitMiddleware,
    TenantMiddleware,
    current_caller,
    current_tenant,
)

KEY = b"a shared secret of the tests, 32+ bytes"
AUDIENCE = "bots"
RED, BLUE, GONE = "slack:TRED", "slack:TBLUE", "slack:TGONE"
TENANTS = (RED, BLUE)
PROOF = BearerToken(KEY, algorithms=["HS256"], audience=AUDIENCE)

Tenant = Annotated[TenantScope[Any], Depends(current_tenant)]


def token(tenant: str, **claims: Any) -> str:
    told = {"tenant": tenant, "aud": AUDIENCE, "exp": time.time() + 60, "sub": f"U{tenant[7:]}", **claims}
    return "Bearer " + jwt.encode(told, KEY, "HS256")


async def called(operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call an operation of either colour."""
    answer = await run_in_threadpool(operation, *args, **kwargs)
    return await answer if asyncio.iscoroutine(answer) else answer


async def users(tenant: TenantScope[Any]) -> list[str]:
    return [user.native_id for user in await called(tenant.users.list)]


def application(  # noqa: C901 - it is its handlers
    store: Any, who: Any = PROOF, *, gathered: int = 1, **options: Any
) -> FastAPI:
    """What an application does with its tenant: in handlers, tasks, streams, sockets and applications in it.

    ``/together`` answers when so many requests have come in as ``gathered`` says.
    """
    app = FastAPI(lifespan=closing(store))
    app.add_middleware(TenantMiddleware, store=store, who=who, **options)
    app.state.arrived, app.state.written = 0, []
    all_here = asyncio.Event()

    @app.get("/open")
    async def open_to_all() -> str:
        return "page"

    @app.get("/users")
    async def whose(tenant: Tenant, request: Request) -> dict[str, Any]:
        return {"key": tenant.key, "user": current_caller(request).user, "users": await users(tenant)}

    @app.get("/together")
    async def together(tenant: Tenant, request: Request) -> dict[str, Any]:
        app.state.arrived += 1
        if app.state.arrived == gathered:
            all_here.set()
        await all_here.wait()
        return {"key": request.state.tenant.key, "users": await users(tenant)}

    @app.post("/later")
    async def later(tenant: Tenant, tasks: BackgroundTasks) -> str:
        async def write() -> None:
            await asyncio.sleep(0.02)
            await called(tenant.users.ensure, f"LATER{tenant.key[7:]}")
            app.state.written.append(tenant.key)

        tasks.add_task(write)
        return tenant.key

    @app.get("/stream")
    async def stream(tenant: Tenant, parts: int = 3) -> StreamingResponse:
        async def told() -> Any:
            for _ in range(parts):
                yield json.dumps(await users(tenant)) + "\n"
                await asyncio.sleep(0.01)

        return StreamingResponse(told())

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, tenant: Tenant) -> None:
        await websocket.accept()
        async for _ in websocket.iter_text():
            await websocket.send_json(await users(tenant))

    @app.websocket("/late-socket")
    async def late_socket(websocket: WebSocket) -> None:
        await websocket.accept()
        current_tenant(websocket)

    @app.post("/body")
    async def body(request: Request) -> PlainTextResponse:
        return PlainTextResponse(await request.body())

    async def below(request: Any) -> JSONResponse:
        return JSONResponse(await users(current_tenant(request)))

    app.mount("/below", Starlette(routes=[Mount("/deeper", Starlette(routes=[Route("/users", below)]))]))
    return app


@pytest.fixture
def filled(database_url):
    """The address of a database with two tenants whose users embed the tenant, and a deleted one."""
    with Store(database_url) as store:
        for tenant in (*TENANTS, GONE):
            if tenant == GONE:
                store.tenants.ensure(tenant) if tenant not in _known(store) else store.tenants.restore(tenant)
            else:
                store.tenants.ensure(tenant)
            store.tenant(tenant).users.ensure(f"U{tenant[7:]}")
        store.tenants.soft_delete(GONE)
    return database_url


def _known(store: Store) -> set[str]:
    return {one.key for one in store.tenants.list(include_deleted=True, limit=1000)}


@pytest.fixture(params=[Store, AsyncStore], ids=["sync", "async"])
def opened(request, filled):
    """A store of either colour; the application closes an AsyncStore."""
    if request.param is AsyncStore:
        yield AsyncStore(filled)
    else:
        with Store(filled) as store:
            yield store


sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def of(answer: Any) -> Any:
    return json.loads(answer.body)


def test_a_request_is_in_the_tenant_that_its_token_proves_and_no_header_says_another(opened):
    with served(application(opened)) as at:
        for tenant, lie in (TENANTS, TENANTS[::-1]):
            answer = at.ask(
                f"/users?tenant={lie}",
                Authorization=token(tenant),
                X_Tenant=lie,
                X_Tenant_ID=lie,
                X_Slack_Team=lie[6:],
                Cookie=f"tenant={lie}",
                X_Forwarded_User="UROOT",
            )
            assert (answer.status, of(answer)["key"], of(answer)["user"]) == (200, tenant, f"U{tenant[7:]}")
            assert set(of(answer)["users"]) - {f"LATER{tenant[7:]}"} == {f"U{tenant[7:]}"}
            assert of(at.ask("/below/deeper/users", Authorization=token(tenant), X_Tenant=lie))[-1] == f"U{tenant[7:]}"


@sqlite_only
def test_control_who_believes_a_header_lets_the_lie_through(filled):
    with Store(filled) as store:
        believed = application(store, lambda connection: Caller(connection.headers["x-tenant"]))
        with served(believed) as at:
            assert of(at.ask("/users", Authorization=token(RED), X_Tenant=BLUE))["key"] == BLUE


@sqlite_only
def test_who_proves_nobody_is_answered_401_and_not_passed_on(opened):
    with served(application(opened)) as at:
        for path in ("/open", "/users", "/below/deeper/users"):
            answer = at.ask(path, X_Tenant=RED)
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert of(answer) == {
                "type": "about:blank",
                "title": "Nothing proved whose request this is.",
                "status": 401,
                "code": "tenant.not-set",
            }


@sqlite_only
def test_where_no_tenant_is_required_what_asks_for_one_is_answered_401(opened):
    with served(application(opened, required=False)) as at:
        assert at.ask("/open").status == 200
        for path in ("/users", "/together", "/stream", "/below/deeper/users"):
            assert (at.ask(path).status, of(at.ask(path))["code"]) == (401, "tenant.not-set")
        assert at.ask("/users", Authorization="Bearer forged").status == 401
        assert at.ask("/open", Authorization="Bearer forged").status == 401
        assert of(at.ask("/users", Authorization=token(RED)))["key"] == RED
        assert at.ask("/users").status == 401


@sqlite_only
def test_an_application_that_forgot_the_middleware_fails_with_a_typed_error(filled):
    seen = []
    with Store(filled) as store:
        app = application(store)
        app.user_middleware.clear()

        @app.middleware("http")
        async def watch(request: Request, following: Any) -> Any:
            try:
                return await following(request)
            except errors.TenantNotSet as error:
                seen.append(error)
                raise

        with served(app) as at:
            assert at.ask("/users", Authorization=token(RED), X_Tenant=RED).status == 500
            assert at.ask("/below/deeper/users", Authorization=token(RED)).status == 500
    assert {error.code for error in seen} == {"tenant.not-set"}
    assert "docs/web.md" in str(seen[0])


@sqlite_only
@pytest.mark.parametrize(
    ("tenant", "status", "code"),
    [(GONE, 403, "tenant.deleted"), ("slack:TNOBODY", 404, "tenant.unknown"), ("no key", 404, "tenant.unknown")],
)
def test_a_tenant_that_is_not_there_is_told_as_a_problem(opened, tenant, status, code):
    with served(application(opened, required=False)) as at:
        for path in ("/users", "/open"):
            answer = at.ask(path, Authorization=token(tenant))
            assert (answer.status, of(answer)["code"], of(answer)["status"]) == (status, code, status)
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert tenant.encode() not in answer.body


@sqlite_only
def test_a_request_whose_tenant_cannot_be_read_is_not_passed_on(filled):
    store = Store(filled)
    store.close()
    with served(application(store, required=False)) as at:
        assert at.ask("/open", Authorization=token(RED)).status == 500


def together(at: Served, many: int) -> list[tuple[str, dict[str, Any]]]:
    """Ask so often at once, for one tenant and the other in turn; returns whose each was and the answer."""
    asked = [TENANTS[number % 2] for number in range(many)]
    with ThreadPoolExecutor(many) as threads:
        answers = threads.map(
            lambda tenant: at.ask("/together", Authorization=token(tenant), X_Tenant=RED), asked, timeout=100
        )
        return [(tenant, of(answer)) for tenant, answer in zip(asked, answers, strict=True)]


def mixed(answers: list[tuple[str, dict[str, Any]]]) -> int:
    """How many saw another's tenant or data."""
    return sum(
        told["key"] != tenant or not told["users"] or any(user[-3:] != tenant[-3:] for user in told["users"])
        for tenant, told in answers
    )


def test_two_hundred_requests_at_once_are_each_in_their_own_tenant(opened):
    with served(application(opened, gathered=200)) as at:
        answers = together(at, 200)
    assert len(answers) == 200
    assert mixed(answers) == 0


class OneForAll(TenantMiddleware):
    """The middleware with its guard taken out: the state is one that all requests share."""

    shared: dict[str, Any] = {}  # noqa: RUF012 - that is the fault

    async def __call__(self, scope, receive, send):
        async def app(inner, receive, send):
            self.shared.update(inner.get("state", {}))
            await self._app({**inner, "state": self.shared}, receive, send)

        await TenantMiddleware(app, store=self._store, who=self._who)(scope, receive, send)


@sqlite_only
def test_control_a_state_that_requests_share_mixes_them(filled):
    with Store(filled) as store:
        app = application(store, gathered=40)
        app.user_middleware = [Middleware(OneForAll, store=store, who=PROOF)]
        with served(app) as at:
            assert mixed(together(at, 40)) > 0


@sqlite_only
def test_a_server_that_hands_one_state_to_every_request_leaves_no_tenant_in_it(filled):
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append({**scope["state"]})

    async def nothing(*_: Any) -> None:
        raise AssertionError

    async def run() -> None:
        async with AsyncStore(filled) as store:
            middleware = TenantMiddleware(app, store=store, who=PROOF, required=False)
            state = {"pool": 1, "tenant": "what a lifespan left", "caller": Caller(BLUE)}
            for headers in ([(b"authorization", token(RED).encode())], []):
                await middleware({"type": "http", "headers": headers, "state": state}, nothing, nothing)
            assert state == {"pool": 1, "tenant": "what a lifespan left", "caller": Caller(BLUE)}
            await middleware({"type": "http", "headers": []}, nothing, nothing)
            with pytest.raises(errors.TenantNotSet):
                current_tenant(HTTPConnection({"type": "http", "state": state}))

    asyncio.run(run())
    assert (seen[0]["tenant"].key, seen[0]["caller"]) == (RED, Caller(RED, user="URED"))
    assert seen[1:] == [{"pool": 1}, {}]


def test_a_task_after_the_answer_is_in_the_tenant_of_its_request(opened):
    app = application(opened)
    with served(app) as at:
        for tenant in TENANTS * 5:
            assert at.ask("/later", "POST", b"", Authorization=token(tenant)).status == 200
        deadline = time.monotonic() + 30
        while len(app.state.written) < 10 and time.monotonic() < deadline:
            time.sleep(0.01)
        for tenant in TENANTS:
            assert set(of(at.ask("/users", Authorization=token(tenant)))["users"]) == {
                f"U{tenant[7:]}",
                f"LATER{tenant[7:]}",
            }
    assert sorted(app.state.written) == sorted(TENANTS * 5)


def test_a_stream_stays_in_its_tenant_and_one_that_is_broken_off_leaves_nothing(opened):
    import socket

    def broken_off(tenant: str) -> None:
        with socket.create_connection(("127.0.0.1", at.port), timeout=30) as client:
            head = f"GET /stream?parts=100000 HTTP/1.1\r\nHost: x\r\nAuthorization: {token(tenant)}\r\n\r\n"
            client.sendall(head.encode())
            assert client.recv(4096)

    with served(application(opened)) as at:
        for number in range(10):
            broken_off(TENANTS[number % 2])
            tenant = TENANTS[(number + 1) % 2]
            lines = at.ask("/stream", Authorization=token(tenant)).body.decode().splitlines()
            assert len(lines) == 3
            assert {user[-3:] for line in lines for user in json.loads(line)} == {tenant[-3:]}
            assert at.ask("/users").status == 401


@sqlite_only
def test_a_socket_is_in_the_tenant_that_its_handshake_proves(opened):
    def socket(at: Served, **headers: str) -> Any:
        return connect(f"ws://127.0.0.1:{at.port}/socket", additional_headers={"X-Tenant": BLUE, **headers})

    with served(application(opened)) as at:
        with socket(at, Authorization=token(RED)) as red, socket(at, Authorization=token(BLUE)) as blue:
            for _ in range(3):
                for one, user in (red, "URED"), (blue, "UBLUE"):
                    one.send("who")
                    assert json.loads(one.recv(30)) == [user]
        for headers, status in ({}, 401), ({"Authorization": token(GONE)}, 403), ({"Authorization": "Bearer x"}, 401):
            with pytest.raises(InvalidStatus) as refused, socket(at, **headers):
                raise AssertionError
            assert refused.value.response.status_code == status
            assert b'"code":' in refused.value.response.body


@sqlite_only
def test_a_socket_without_proof_is_refused_when_it_asks_or_broken_off_when_it_was_open(opened):
    with served(application(opened, required=False)) as at:
        with pytest.raises(InvalidStatus) as refused, connect(f"ws://127.0.0.1:{at.port}/socket"):
            raise AssertionError
        assert refused.value.response.status_code == 401
        with connect(f"ws://127.0.0.1:{at.port}/late-socket") as late, pytest.raises(ConnectionClosed):
            late.recv(30)


@sqlite_only
def test_a_server_that_cannot_answer_a_handshake_closes_it(filled):
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def nothing(*_: Any) -> None:
        raise AssertionError

    async def run() -> None:
        async with AsyncStore(filled) as store:
            middleware = TenantMiddleware(nothing, store=store, who=PROOF)
            await middleware({"type": "websocket", "headers": []}, nothing, send)

    asyncio.run(run())
    assert sent == [{"type": "websocket.close", "code": 1008}]


@sqlite_only
def test_a_function_of_ones_own_proves_may_wait_may_answer_and_may_read_the_body(filled):
    async def who(connection: Any) -> Any:
        await asyncio.sleep(0)
        if connection.headers.get("cookie") == "blocked":
            return PlainTextResponse("not you", 451)
        body = await connection.body()
        return Caller(RED) if body.startswith(b"red") else None

    with Store(filled) as store, served(application(store, who)) as at:
        sent = b"red" * 100_000
        assert at.ask("/body", "POST", sent).body == sent
        answer = at.ask("/body", "POST", b"blue")
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, None)
        answer = at.ask("/body", "POST", b"red", Cookie="blocked")
        assert (answer.status, answer.body) == (451, b"not you")


@sqlite_only
def test_the_limit_inside_counts_who_was_proved(filled):
    with Store(filled) as store:
        for tenant in TENANTS:
            store.tenant(tenant).limits.define("api", 2, per="month", each="user")
        app = application(store, required=False)
        app.user_middleware.append(Middleware(LimitMiddleware, store=store, limit="api", who=current_caller))
        with served(app) as at:
            statuses = [at.ask("/users", Authorization=token(RED)).status for _ in range(3)]
            assert statuses == [200, 200, 429]
            assert at.ask("/users", Authorization=token(BLUE)).status == 200
            assert at.ask("/open").status == 401
        assert {one.user: one.used for one in store.tenant(RED).limits.usage()} == {"URED": 2}
