"""Tokens that a login signed, and others."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, strategies as st
from starlette.requests import HTTPConnection

from undercroft import errors
from undercroft.adapters.starlette import BearerToken, Caller

SECRET = b"a shared secret of the tests, long enough for every algorithm, which are 64 bytes"
PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = PRIVATE.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
TENANT = "slack:T024BE7LD"
ISSUER = "https://login.example.com"
SHARED = BearerToken(SECRET, algorithms=["HS256"], audience="bots", issuer=ISSUER)
SIGNED = BearerToken(PUBLIC, algorithms=["RS256"], audience="bots", issuer=ISSUER)


def claims(**changed: Any) -> dict[str, Any]:
    told = {"tenant": TENANT, "sub": "U1", "aud": "bots", "iss": ISSUER, "exp": time.time() + 60, **changed}
    return {name: value for name, value in told.items() if value is not None}


def ask(who: BearerToken, *authorization: str, **headers: str) -> Any:
    """What a request with these headers is: a caller, a status or None."""
    pairs = [(b"authorization", one.encode("latin-1", "replace")) for one in authorization]
    pairs += [(name.encode(), value.encode()) for name, value in headers.items()]
    found = asyncio.run(who(HTTPConnection({"type": "http", "headers": pairs})))
    return found if found is None or isinstance(found, Caller) else found.status_code


def shared(key: Any = SECRET, algorithm: str = "HS256", **changed: Any) -> str:
    return "Bearer " + jwt.encode(claims(**changed), key, algorithm)


def signed(key: Any = PRIVATE, **changed: Any) -> str:
    return "Bearer " + jwt.encode(claims(**changed), key, "RS256")


def test_a_token_names_its_tenant_and_user():
    assert ask(SHARED, shared()) == ask(SIGNED, signed()) == Caller(TENANT, user="U1")
    assert ask(SHARED, shared().replace("Bearer", "bEARER  ")) == Caller(TENANT, user="U1")
    assert ask(SHARED, shared(aud=["other", "bots"])) == Caller(TENANT, user="U1")
    assert ask(SHARED, shared(sub=None)) == Caller(TENANT)


def test_a_request_without_a_token_proves_nobody_whatever_it_says():
    for headers in ((), ("Basic dTpw",), ("Bearer",), (shared(), shared())):
        assert ask(SHARED, *headers, **{"x-tenant": TENANT, "cookie": f"tenant={TENANT}"}) in {None, 401}
    assert ask(SHARED) is None


def unsigned() -> str:
    return f"Bearer {text({'alg': 'none', 'typ': 'JWT'}).decode()}."


def text(head: dict[str, str]) -> bytes:
    """What of a token is signed."""
    return b".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in (head, claims()))


def with_a_public_key_as_secret() -> str:
    """The confusion of algorithms: whoever has the public key signs with it."""
    signs = text({"alg": "HS256", "typ": "JWT"})
    made = base64.urlsafe_b64encode(hmac.new(PUBLIC, signs, hashlib.sha256).digest()).rstrip(b"=")
    return f"Bearer {(signs + b'.' + made).decode()}"


@pytest.mark.parametrize(
    ("who", "token"),
    [
        (SHARED, shared(b"another secret of somebody else's, long")),
        (SHARED, shared(algorithm="HS512")),
        (SHARED, shared(exp=time.time() - 1)),
        (SHARED, shared(exp=None)),
        (SHARED, shared(nbf=time.time() + 60)),
        (SHARED, shared(aud="other")),
        (SHARED, shared(aud=None)),
        (SHARED, shared(iss="https://elsewhere.example.com")),
        (SHARED, shared(iss=None)),
        (SHARED, shared(tenant=None)),
        (SHARED, shared(tenant=["slack:T1"])),
        (SHARED, shared()[:-2]),
        (SHARED, shared().replace(".", "", 1)),
        (SHARED, "Bearer x"),
        (SHARED, "Bearer a.b.c"),
        (SHARED, unsigned()),
        (SIGNED, unsigned()),
        (SIGNED, with_a_public_key_as_secret()),
        (SIGNED, shared()),
        (SIGNED, signed(rsa.generate_private_key(public_exponent=65537, key_size=2048))),
        (SIGNED, signed(exp=time.time() - 1)),
    ],
)
def test_a_token_that_does_not_hold_is_answered_401(who, token):
    assert ask(who, token) == 401


def test_control_without_verification_a_forgery_would_hold(monkeypatch):
    whole = jwt.decode
    monkeypatch.setattr(jwt, "decode", lambda token, *_, **__: whole(token, options={"verify_signature": False}))
    for forged in (shared(b"another secret of somebody else's, long"), with_a_public_key_as_secret()):
        assert ask(SHARED, forged) == Caller(TENANT, user="U1")


@given(st.text(max_size=40) | st.lists(st.text("ey.0_-", max_size=6), max_size=5).map(".".join))
def test_no_token_breaks_it(made):
    assert ask(SHARED, f"Bearer {made}") in {401, None}


def test_the_answer_says_why_to_nobody():
    scope = {"type": "http", "headers": [(b"authorization", shared(exp=time.time() - 1).encode())]}
    answer = asyncio.run(SHARED(HTTPConnection(scope)))
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert json.loads(answer.body) == {
        "type": "about:blank",
        "title": "The token does not hold.",
        "status": 401,
        "code": "access.denied",
    }


def test_a_clock_that_is_off_is_allowed_for_when_asked_for():
    off = BearerToken(SECRET, algorithms=["HS256"], audience="bots", leeway=10)
    assert ask(off, shared(exp=time.time() - 5)) == Caller(TENANT, user="U1")
    assert ask(off, shared(exp=time.time() - 15)) == 401


def test_other_claims_and_another_place():
    who = BearerToken(
        SECRET,
        algorithms=["HS256"],
        audience="bots",
        tenant="workspace",
        user="member",
        read=lambda connection: connection.cookies.get("session"),
    )
    token = shared(workspace="discord:1", member="7").removeprefix("Bearer ")
    assert ask(who, cookie=f"session={token}") == Caller("discord:1", user="7")
    assert ask(who, f"Bearer {token}") is None


def test_the_key_of_a_token_is_looked_up_where_that_is_asked_for():
    keys = {"1": PUBLIC}

    def key(token: str) -> bytes:
        try:
            return keys[jwt.get_unverified_header(token)["kid"]]
        except KeyError:
            raise jwt.PyJWKClientError from None

    def token(kid: str) -> str:
        return "Bearer " + jwt.encode(claims(), PRIVATE, "RS256", headers={"kid": kid})

    who = BearerToken(key, algorithms=["RS256"], audience="bots")
    assert ask(who, token("1")) == Caller(TENANT, user="U1")
    assert ask(who, token("2")) == 401
    assert ask(who, "Bearer x") == 401

    def unreachable(_token: str) -> bytes:
        raise jwt.PyJWKClientConnectionError

    with pytest.raises(jwt.PyJWKClientConnectionError):
        ask(BearerToken(unreachable, algorithms=["RS256"], audience="bots"), token("1"))


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [
        (SECRET, []),
        (SECRET, "HS256"),
        (SECRET, ["none"]),
        (SECRET, ["HS256", "None"]),
        (PUBLIC, ["RS256", "HS256"]),
        (b"short", ["HS256"]),
        ("s" * 31, ["HS256"]),
        (b"s" * 63, ["HS256", "HS512"]),
    ],
)
def test_what_would_let_forgeries_in_is_refused_at_once(key, algorithms):
    with pytest.raises(errors.ConfigurationError) as refused:
        BearerToken(key, algorithms=algorithms, audience="bots")
    assert "short" not in str(refused.value)
    assert "s" * 31 not in str(refused.value)
