"""The limits of a web application, asked through a real server."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.adapters.serving import closing, served
from undercroft import AsyncStore, Decision, Store
from undercroft.adapters.starlette import Caller, LimitMiddleware, headers

TENANT = "slack:T024BE7LD"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Application:
    """An application that counts what reaches it, behind the middleware."""

    def __init__(self, store: Any, who: Callable[[Request], Any]) -> None:
        self.reached = 0

        async def page(_request: Request) -> PlainTextResponse:
            self.reached += 1
            return PlainTextResponse("page")

        limited = Middleware(LimitMiddleware, store=store, limit="api", who=who)
        self.asgi = Starlette(routes=[Route("/", page)], middleware=[limited], lifespan=closing(store))


def told(request: Request) -> Caller | None:
    """Who it is, as a session of the application's would tell."""
    user = request.headers.get("cookie")
    return None if user is None else Caller(TENANT, user=user)


async def told_later(request: Request) -> Caller | None:
    await asyncio.sleep(0)
    return told(request)


@pytest.fixture
def url(tmp_path):
    found = f"sqlite:///{tmp_path}/web.db"
    with Store(found) as store:
        store.tenants.ensure(TENANT)
        store.tenant(TENANT).limits.define("api", 2, per="month", each="user")
    return found


@pytest.mark.parametrize("who", [told, told_later], ids=["plain", "coroutine"])
@pytest.mark.parametrize("kind", [Store, AsyncStore], ids=["sync", "async"])
def test_who_has_none_left_is_told_when_to_come_again(url, kind, who):
    with Store(url) as beside:
        store = beside if kind is Store else AsyncStore(url)
        application = Application(store, who)
        with served(application.asgi) as at:
            answers = [at.ask(cookie="U1") for _ in range(3)]
            other = at.ask(cookie="U2")
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert (other.status, application.reached) == (200, 3)
        assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
        refused = answers[2]
        left = beside.tenant(TENANT).limits.check("api", by="U1")
        assert refused.headers["X-RateLimit-Reset"] == str(int(left.resets_at.timestamp()))
        assert abs(int(refused.headers["Retry-After"]) - left.resets_after) < 30
        assert refused.headers["RateLimit-Policy"] == f'"api";q=2;w={int(left.window)}'
        assert refused.headers["RateLimit"].startswith('"api";r=0;t=')
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert json.loads(refused.body)["violated-policies"] == ["api"]
        assert answers[0].body == b"page"
        assert "Retry-After" not in answers[0].headers


def test_who_is_nobody_is_not_limited_and_no_header_says_who_it_is(url):
    with Store(url) as store:
        application = Application(store, told)
        with served(application.asgi) as at:
            answers = [at.ask(X_Tenant=TENANT, X_User="U1", Authorization="Bearer U1") for _ in range(4)]
        assert {answer.status for answer in answers} == {200}
        assert not any("ratelimit" in name.lower() for answer in answers for name in answer.headers)
        assert store.tenant(TENANT).limits.usage() == []


def test_what_cannot_be_counted_is_not_passed_on(url):
    with Store(url) as store:
        application = Application(store, lambda _request: Caller("slack:T0UNKNOWN", user="U1"))
        with served(application.asgi) as at:
            assert at.ask().status == 500
        assert application.reached == 0


def test_the_fields_are_rounded_to_the_side_of_the_limit_and_hold_any_name():
    moment = NOW + timedelta(seconds=1.5)
    refused = Decision('a "b" \\ é', False, 1, 10**16, 0, moment, 1.5, moment, 0.2, 0.5, None, None, 0)
    assert headers(refused) == {
        "RateLimit-Policy": f'"a \\"b\\" \\\\ ?";q={10**15 - 1};w=1',
        "RateLimit": '"a \\"b\\" \\\\ ?";r=0;t=2',
        "X-RateLimit-Limit": str(10**16),
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(int(NOW.timestamp()) + 2),
        "Retry-After": "1",
    }
