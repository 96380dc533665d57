"""A signed token (JWT, RFC 7519) in a request, and the tenant that it names."""

from collections.abc import Callable, Sequence
from typing import Any

import jwt
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from undercroft.adapters.starlette.callers import Caller
from undercroft.adapters.starlette.tenants import Proof, problem
from undercroft.errors import AccessDenied, ConfigurationError

Key = Any
"""What PyJWT verifies with: a shared secret, a public key as PEM or object, or a `PyJWK`."""

_SHARED = {"HS256": 32, "HS384": 48, "HS512": 64}
"""Algorithms of a shared secret and its least bytes, RFC 7518, 3.2: a shorter one is found by trying."""


def bearer(connection: HTTPConnection) -> str | None:
    """Return the token of the ``Authorization: Bearer …`` header, None without one."""
    found = connection.headers.getlist("authorization")
    scheme, _, token = found[0].partition(" ") if len(found) == 1 else ("", "", "")
    return token.strip() if scheme.lower() == "bearer" else None


class BearerToken:
    """Whose request it is by a signed token that your login hands out.

    ``key`` is a shared secret, a public key, or a function from the token to its key, which runs in a thread:
    ``jwt.PyJWKClient(url).get_signing_key_from_jwt``. Only the given ``algorithms`` count, whatever the token says. It
    must hold ``exp``, ``aud`` with this ``audience``, ``iss`` where an ``issuer`` is given, and the tenant's key
    (``slack:T…``) in the claim ``tenant``; the user is in ``user``, where there is one. Its times may be off by
    ``leeway`` seconds.

    A request without a token proves nobody; a token that does not hold is answered 401, without saying why. ``read``
    takes the token from elsewhere, such as a cookie.

    Raises:
        ConfigurationError: no algorithm, ``none``, or shared secrets beside public keys; a secret that is too short.
    """

    scheme = "Bearer"

    def __init__(
        self,
        key: Key | Callable[[str], Key],
        *,
        algorithms: Sequence[str],
        audience: str | Sequence[str],
        issuer: str | Sequence[str] | None = None,
        tenant: str = "tenant",
        user: str = "sub",
        leeway: float = 0,
        read: Callable[[HTTPConnection], str | None] = bearer,
    ) -> None:
        _check(key, algorithms)
        self._key = key
        self._claims = (tenant, user)
        self._read = read
        self._rules: dict[str, Any] = {
            "algorithms": list(algorithms),
            "audience": audience,
            "issuer": issuer,
            "leeway": leeway,
            "options": {"require": ["exp", "aud", tenant, *([] if issuer is None else ["iss"])]},
        }

    async def __call__(self, connection: HTTPConnection) -> Proof:
        """Verify a request's token and return its caller, or what the client is answered instead."""
        token = self._read(connection)
        if token is None:
            return None
        try:
            key = await run_in_threadpool(self._key, token) if callable(self._key) else self._key
            claims = jwt.decode(token, key, **self._rules)
        except jwt.PyJWKClientConnectionError:  # not the client's fault, and nothing is known of his token
            raise
        except jwt.PyJWTError:
            claims = {}
        tenant, user = (claims.get(name) for name in self._claims)
        if not isinstance(tenant, str):
            refusal = AccessDenied("The token does not hold.")
            return problem(401, refusal, {"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return Caller(tenant, user=user if isinstance(user, str) else None)


def _check(key: Key, algorithms: Sequence[str]) -> None:
    shared = [_SHARED[name] for name in algorithms if name in _SHARED]
    if isinstance(algorithms, str) or not algorithms or any(name.lower() == "none" for name in algorithms):
        message = "The algorithms are a list of those that your login signs with."
        raise ConfigurationError(message, setting="algorithms", hint='such as ["RS256"]')
    if shared and len(shared) < len(algorithms):  # else a public key, which everybody has, signs as a secret
        message = "Tokens are signed with a shared secret or with a private key, not with either."
        raise ConfigurationError(message, setting="algorithms", hint="name the algorithms of one kind")
    if shared and isinstance(key, str | bytes) and len(key.encode() if isinstance(key, str) else key) < max(shared):
        message = f"A shared secret has {max(shared)} bytes at least."
        raise ConfigurationError(message, setting="key", hint=f"make one with secrets.token_bytes({max(shared)})")
