"""Tenants and limits for web applications on Starlette, FastAPI among them; the extra is ``undercroft[web]``.

```python
app.add_middleware(LimitMiddleware, store=store, limit="api", who=current_caller)
app.add_middleware(TenantMiddleware, store=store, who=BearerToken(key, algorithms=["RS256"], audience="bots"))


@app.get("/users")
async def users(acme: Annotated[TenantScope[Awaiting], Depends(current_tenant)]) -> list[str]:
    return [user.native_id for user in await acme.users.list()]
```

A request's tenant is what its signature or token proves, never what a header says.
"""

from undercroft.errors import MissingExtra

try:
    import jwt as _jwt
    import starlette as _starlette
except ModuleNotFoundError as error:
    raise MissingExtra(extra="web") from error

from undercroft.adapters.starlette.callers import Caller, current_caller, current_tenant
from undercroft.adapters.starlette.limits import LimitMiddleware, headers
from undercroft.adapters.starlette.slack import SlackSignature
from undercroft.adapters.starlette.tenants import TenantMiddleware
from undercroft.adapters.starlette.tokens import BearerToken

__all__ = [
    "BearerToken",
    "Caller",
    "LimitMiddleware",
    "SlackSignature",
    "TenantMiddleware",
    "current_caller",
    "current_tenant",
    "headers",
]
del _jwt, _starlette
