"""Slack's signature of a request, and the installation that the signed body names.

https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

import hmac
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson
from pydantic import SecretStr
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from undercroft.adapters.starlette.callers import Caller
from undercroft.adapters.starlette.tenants import Proof, problem
from undercroft.errors import AccessDenied, ConfigurationError, InvalidInput

_STAMP = re.compile(r"[0-9]{1,15}")
_WINDOW = 300
"""Seconds between a signature and now, as Slack advises: what is older may be somebody's recording."""


class SlackSignature:
    """Whose request it is by Slack's signature: events, commands, interactions, those of Enterprise Grid too.

    The tenant is the installation that the *signed* body names: ``slack:T…`` of a workspace, ``slack:E…`` where the app
    is installed for a whole organisation. The caller's user is who wrote, commanded or clicked.

    A request without a signature proves nobody. A wrong signature, one that is older or newer than five minutes, and
    one of another body are answered 401, a body of more than ``most`` bytes 413, and Slack's own checks of the address
    (``url_verification``, ``ssl_check``) as Slack wants it. Slack delivers an event again that was not answered in
    three seconds: ``tenant.idempotent(event_id)`` does a write once.

    Raises:
        ConfigurationError: the signing secret is empty.
    """

    def __init__(self, signing_secret: str | SecretStr, *, most: int = 1_000_000) -> None:
        secret = signing_secret if isinstance(signing_secret, str) else signing_secret.get_secret_value()
        if not secret.strip():
            raise ConfigurationError("The signing secret of Slack is empty.", setting="signing_secret")
        self._secret = secret.encode()
        self._most = most

    async def __call__(self, connection: HTTPConnection) -> Proof:
        """Verify a request and return its caller, or what Slack is answered instead."""
        signatures = connection.headers.getlist("x-slack-signature")
        stamps = connection.headers.getlist("x-slack-request-timestamp")
        if not (signatures or stamps) or not isinstance(connection, Request):
            return None
        if len(signatures) != 1 or len(stamps) != 1 or not _recent(stamps[0]):
            return _refused()  # before the body is read: whoever has no signature sends as much as he likes
        body = await self._body(connection)
        if body is None:
            return problem(413, InvalidInput("The body is larger than Slack sends."))
        told = hmac.digest(self._secret, b"v0:%s:%s" % (stamps[0].encode(), body), "sha256").hex()
        if not hmac.compare_digest(f"v0={told}".encode(), signatures[0].encode()):
            return _refused()
        return _caller(body)

    async def _body(self, request: Request) -> bytes | None:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._most:
                return None
        return bytes(body)


def _recent(stamp: str) -> bool:
    return bool(_STAMP.fullmatch(stamp)) and abs(time.time() - int(stamp)) <= _WINDOW


def _refused() -> Response:
    return problem(401, AccessDenied("The signature is not Slack's, or too old."))


def _caller(body: bytes) -> Proof:
    try:
        told = _told(body)
        if told.get("type") == "url_verification":
            return JSONResponse({"challenge": told.get("challenge")})
        if told.get("ssl_check"):
            return Response()
        installation, user = _installation(told), _user(told)
    except (ValueError, TypeError, LookupError):  # signed, and not of a form that Slack documents
        installation = user = None
    if installation is None:
        return problem(400, InvalidInput("The request names no installation of the app."))
    return Caller(f"slack:{installation}", user=user)


def _told(body: bytes) -> dict[str, Any]:
    """Read what was signed by its own form: the header that names one is not signed."""
    if body.lstrip().startswith(b"{"):
        told = orjson.loads(body)
    else:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
        told = orjson.loads(fields["payload"]) if "payload" in fields else fields
    return _as_mapping(told)


def _installation(told: Mapping[str, Any]) -> str | None:
    """Return the id of the workspace or organisation that the app is installed in."""
    where = told
    if told.get("authorizations"):  # in a channel shared with others, `team_id` may be theirs
        where = _as_mapping(told["authorizations"][0])
    if where.get("is_enterprise_install") in {True, "true"}:
        return _id(where.get("enterprise")) or _id(where.get("enterprise_id"))
    return (
        _id(_as_mapping(told.get("view") or {}).get("app_installed_team_id"))  # a modal opened in another workspace
        or _id(where.get("team"))
        or _id(where.get("team_id"))
    )


def _user(told: Mapping[str, Any]) -> str | None:
    event = _as_mapping(told.get("event") or {})
    return _id(told.get("user_id")) or _id(told.get("user")) or _id(event.get("user"))


def _id(found: Any) -> str | None:
    """Return an id that stands as it is or in an object."""
    if isinstance(found, dict):
        found = found.get("id")
    return found if isinstance(found, str) and found else None


def _as_mapping(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise TypeError
    return found
