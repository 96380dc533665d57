"""Who makes a request, and whose data it is about, as its state holds it.

The state of a request is kept in its ASGI scope, which nothing shares with another request: no task, thread, mounted
application or middleware can leave a tenant behind for the next one.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import HTTPConnection

from undercroft import TenantScope
from undercroft.errors import TenantNotSet

T = TypeVar("T")

TENANT = "tenant"
CALLER = "caller"
UNPROVED = "undercroft.unproved"
"""In the scope: where `TenantMiddleware` learns that something asked in vain, so that it answers 401."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request: a tenant's key, and what the limit counts apart there."""

    tenant: str
    user: str | None = None
    resource: str | None = None
    units: int = 1


def current_tenant(connection: HTTPConnection) -> TenantScope[Any]:
    """Return the tenant of a request or WebSocket, as `TenantMiddleware` set it; a dependency of FastAPI's as it is.

    Raises:
        TenantNotSet: nothing proved whose request it is. The middleware answers 401 for it.
    """
    return _held(connection, TENANT, TenantScope)


def current_caller(connection: HTTPConnection) -> Caller:
    """Return who makes a request, as `TenantMiddleware` set it; the ``who`` of a `LimitMiddleware` inside of it.

    Raises:
        TenantNotSet: nothing proved whose request it is. The middleware answers 401 for it.
    """
    return _held(connection, CALLER, Caller)


def _held(connection: HTTPConnection, name: str, kind: type[T]) -> T:
    found: object = connection.scope.get("state", {}).get(name)
    if not isinstance(found, kind):  # an application's lifespan may keep something else by that name
        message = "Nothing proved whose request this is."
        error = TenantNotSet(
            message, hint="it needs a signature or token that TenantMiddleware verifies; see docs/web.md"
        )
        connection.scope.get(UNPROVED, []).append(error)
        raise error
    return found
