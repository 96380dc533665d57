"""Slack's signature, as Slack makes it, and as somebody else does."""

import hashlib
import hmac
import json
import time
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, strategies as st
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.adapters.serving import served
from undercroft import Store, errors
from undercroft.adapters.starlette import (
    Caller,
    SlackSignature,
    TenantMiddleware,
    current_caller,
    current_tenant,
    slack,
)

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
TEAM, OTHER, ORGANISATION = "T024BE7LD", "T0OTHER", "E0ACME"
EVENT = {
    "type": "event_callback",
    "team_id": TEAM,
    "event": {"type": "app_mention", "user": "U1", "text": f"Sälj? &team_id={OTHER}&payload={{}}"},
    "authorizations": [{"enterprise_id": None, "team_id": TEAM, "user_id": "UBOT", "is_enterprise_install": False}],
}
COMMAND = {"command": "/ask", "team_id": TEAM, "user_id": "U1", "text": '{"team_id": "T0OTHER"}', "api_app_id": "A1"}


def signed(body: bytes, *, secret: str = SECRET, at: float = 0) -> dict[str, str]:
    """The headers of a body that was signed so many seconds from now."""
    stamp = str(int(time.time() + at))
    signature = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {"X_Slack_Request_Timestamp": stamp, "X_Slack_Signature": f"v0={signature}"}


def raw(told: Any, *, form: bool = False) -> bytes:
    return urlencode(told).encode() if form else json.dumps(told, ensure_ascii=False).encode()


@pytest.fixture(scope="module")
def at(tmp_path_factory):
    """An application of Slack's, served."""

    async def events(request: Request) -> JSONResponse:
        body = await request.body()
        told = {"tenant": current_tenant(request).key, "user": current_caller(request).user}
        return JSONResponse({**told, "body": hashlib.sha256(body).hexdigest()})

    with Store(f"sqlite:///{tmp_path_factory.mktemp('slack')}/slack.db") as store:
        for key in (TEAM, OTHER, ORGANISATION):
            store.tenants.ensure(f"slack:{key}")
        guard = Middleware(TenantMiddleware, store=store, who=SlackSignature(SecretStr(SECRET)))
        with served(Starlette(routes=[Route("/", events, methods=["POST", "GET"])], middleware=[guard])) as one:
            yield one


ORG_WIDE = {"enterprise_id": ORGANISATION, "team_id": None, "is_enterprise_install": True}
INSTALLED = [
    ("an event", EVENT, False, TEAM, "U1"),
    ("an older event, without authorizations", {"team_id": TEAM, "event": {"user": {"id": "U1"}}}, False, TEAM, "U1"),
    (
        "an event in a channel that another workspace shares",
        {**EVENT, "team_id": OTHER, "enterprise_id": ORGANISATION},
        False,
        TEAM,
        "U1",
    ),
    (
        "an event of a workspace in an organisation",
        {**EVENT, "enterprise_id": ORGANISATION, "authorizations": [{**ORG_WIDE, "team_id": TEAM}]}
        | {"authorizations": [{"enterprise_id": ORGANISATION, "team_id": TEAM, "is_enterprise_install": False}]},
        False,
        TEAM,
        "U1",
    ),
    (
        "an event where the organisation installed the app",
        {**EVENT, "enterprise_id": ORGANISATION, "is_enterprise_install": False, "authorizations": [ORG_WIDE]},
        False,
        ORGANISATION,
        "U1",
    ),
    ("an event of nobody's", {**EVENT, "event": {"type": "channel_archive"}}, False, TEAM, None),
    ("a command", COMMAND, True, TEAM, "U1"),
    (
        "a command where the organisation installed the app",
        {**COMMAND, "is_enterprise_install": "true", "enterprise_id": ORGANISATION},
        True,
        ORGANISATION,
        "U1",
    ),
    (
        "a command of a workspace in an organisation",
        {**COMMAND, "is_enterprise_install": "false", "enterprise_id": ORGANISATION},
        True,
        TEAM,
        "U1",
    ),
    (
        "a click",
        {
            "payload": json.dumps(
                {"type": "block_actions", "team": {"id": TEAM}, "user": {"id": "U1", "team_id": OTHER}}
            )
        },
        True,
        TEAM,
        "U1",
    ),
    (
        "a click where the organisation installed the app",
        {
            "payload": json.dumps(
                {"team": None, "enterprise": {"id": ORGANISATION}, "is_enterprise_install": True, "user": {"id": "U1"}}
            )
        },
        True,
        ORGANISATION,
        "U1",
    ),
    (
        "a modal that was opened from another workspace",
        {
            "payload": json.dumps(
                {"team": {"id": OTHER}, "view": {"app_installed_team_id": TEAM}, "user": {"id": "U1"}, "type": "x"}
            )
        },
        True,
        TEAM,
        "U1",
    ),
]


@pytest.mark.parametrize(
    ("told", "form", "installation", "user"), [one[1:] for one in INSTALLED], ids=[one[0] for one in INSTALLED]
)
def test_the_tenant_is_the_installation_that_the_signed_body_names(at, told, form, installation, user):
    body = raw(told, form=form)
    for kind in ("application/json", "application/x-www-form-urlencoded", "text/plain"):  # what is not signed
        answer = at.ask("/", "POST", body, Content_Type=kind, X_Tenant=f"slack:{OTHER}", **signed(body))
        found = json.loads(answer.body)
        assert (answer.status, found["tenant"], found["user"]) == (200, f"slack:{installation}", user)
        assert found["body"] == hashlib.sha256(body).hexdigest()


def test_a_signature_in_slacks_documentation_holds(monkeypatch):
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&"
        b"channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&"
        b"response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&"
        b"trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    monkeypatch.setattr(slack.time, "time", lambda: 1531420618)
    assert ask_alone(body, ("1531420618", signature)) == "slack:T1DC2JH3J"
    assert ask_alone(body + b"&", ("1531420618", signature)) == 401


def ask_alone(body: bytes, *headers: tuple[str, str], most: int = 1_000_000) -> Any:
    """What SlackSignature itself says to a request with these stamps and signatures: a tenant, a status or None."""
    import asyncio

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    pairs = [
        pair
        for stamp, signature in headers
        for pair in (
            (b"x-slack-request-timestamp", stamp.encode()),
            (b"x-slack-signature", signature.encode("latin-1")),
        )
    ]
    found = asyncio.run(SlackSignature(SECRET, most=most)(Request({"type": "http", "headers": pairs}, receive)))
    return found if found is None else getattr(found, "tenant", None) or found.status_code


BODY = raw(EVENT)
STALE = 301


@pytest.mark.parametrize(
    "headers",
    [
        signed(BODY, secret="somebody else's"),
        signed(BODY.replace(TEAM.encode(), OTHER.encode())),
        signed(BODY + b" "),
        signed(BODY, at=-STALE - 1),
        signed(BODY, at=STALE + 60),
        {**signed(BODY), "X_Slack_Request_Timestamp": str(int(time.time()) - 1)},
        {**signed(BODY, at=-10_000), "X_Slack_Request_Timestamp": str(int(time.time()))},
        {"X_Slack_Request_Timestamp": str(int(time.time()))},
        {"X_Slack_Signature": signed(BODY)["X_Slack_Signature"]},
        {**signed(BODY), "X_Slack_Signature": ""},
        {**signed(BODY), "X_Slack_Signature": "v0="},
        {**signed(BODY), "X_Slack_Signature": signed(BODY)["X_Slack_Signature"][:-1]},
        {**signed(BODY), "X_Slack_Signature": signed(BODY)["X_Slack_Signature"].replace("v0", "v1")},
        {**signed(BODY), "X_Slack_Signature": "v0=" + "é" * 64},
        {**signed(BODY), "X_Slack_Request_Timestamp": "now"},
        {**signed(BODY), "X_Slack_Request_Timestamp": "-1"},
        {**signed(BODY), "X_Slack_Request_Timestamp": "9" * 5000},
        {**signed(BODY), "X_Slack_Request_Timestamp": f"{time.time():.0f}.0"},
        {},
        {"X_Tenant": f"slack:{TEAM}", "X_Slack_Team_Id": TEAM},
    ],
)  # fmt: skip
def test_what_slack_did_not_sign_now_is_answered_401(at, headers):
    answer = at.ask("/", "POST", BODY, **headers)
    assert (answer.status, answer.headers["Content-Type"]) == (401, "application/problem+json")
    assert json.loads(answer.body)["status"] == 401
    assert SECRET.encode() not in answer.body


def test_two_signatures_are_none():
    good = signed(BODY)
    pair = (good["X_Slack_Request_Timestamp"], good["X_Slack_Signature"])
    assert ask_alone(BODY, pair) == f"slack:{TEAM}"
    assert ask_alone(BODY, pair, pair) == 401


def test_a_recording_is_refused_when_five_minutes_have_passed(at):
    recorded = signed(BODY, at=-295)
    assert at.ask("/", "POST", BODY, **recorded).status == 200
    assert at.ask("/", "POST", BODY, **signed(BODY, at=-STALE)).status == 401


def test_control_without_the_window_a_recording_passes(at, monkeypatch):
    monkeypatch.setattr(slack, "_WINDOW", 10**9)
    assert at.ask("/", "POST", BODY, **signed(BODY, at=-10_000)).status == 200


def test_control_without_the_comparison_a_forgery_passes(at, monkeypatch):
    monkeypatch.setattr(slack.hmac, "compare_digest", lambda *_: True)
    assert at.ask("/", "POST", BODY, **signed(BODY, secret="somebody else's")).status == 200


def test_the_comparison_takes_the_same_time_wherever_the_first_difference_is(monkeypatch):
    asked = []
    whole = hmac.compare_digest
    monkeypatch.setattr(slack.hmac, "compare_digest", lambda *pair: asked.append(pair) or whole(*pair))
    good = signed(BODY)
    assert ask_alone(BODY, (good["X_Slack_Request_Timestamp"], "v0=" + "0" * 64)) == 401
    assert [len(one) for one in asked[0]] == [67, 67]


def test_slacks_own_checks_are_answered_when_they_are_signed(at):
    challenge = raw({"type": "url_verification", "token": "x", "challenge": "3eZbrw1aB"})
    answer = at.ask("/", "POST", challenge, **signed(challenge))
    assert (answer.status, json.loads(answer.body)) == (200, {"challenge": "3eZbrw1aB"})
    assert at.ask("/", "POST", challenge).status == 401
    check = b"ssl_check=1&token=x"
    answer = at.ask("/", "POST", check, **signed(check))
    assert (answer.status, answer.body) == (200, b"")


def test_a_workspace_that_did_not_install_the_app_is_answered_404(at):
    body = raw({**EVENT, "authorizations": [], "team_id": "T0STRANGER"})
    assert at.ask("/", "POST", body, **signed(body)).status == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"payload=",
        b"payload=[]",
        b"team_id",
        raw({"type": "event_callback"}),
        raw({"team_id": 7}),
        raw({"team_id": ["T1"]}),
        raw({"authorizations": {"team_id": TEAM}, "team_id": TEAM}),
        raw({"authorizations": [TEAM], "team_id": TEAM}),
        raw({"is_enterprise_install": True, "team_id": TEAM}),
        raw({"is_enterprise_install": [], "team_id": TEAM}),
        raw({"event": "x", "team_id": TEAM}),
        b"{" * 100_000,
    ],
)
def test_a_signed_body_that_names_no_installation_is_answered_400(at, body):
    answer = at.ask("/", "POST", body, **signed(body))
    assert (answer.status, json.loads(answer.body)["code"]) == (400, "input.invalid")


NAMES = ["team", "team_id", "authorizations", "view", "event", "user", "enterprise", "id"]
NAMES += ["is_enterprise_install", "app_installed_team_id"]
LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3) | st.just(TEAM)


@given(
    st.recursive(
        LEAVES, lambda one: st.lists(one, max_size=2) | st.dictionaries(st.sampled_from(NAMES), one, max_size=4)
    )
)
def test_no_body_breaks_it(told):
    found = slack._caller(raw(told))
    assert (found.status_code in {200, 400}) if not isinstance(found, Caller) else found.tenant.startswith("slack:")


def test_a_body_that_is_too_large_is_not_read_to_its_end():
    body = b"x" * 101
    good = signed(body)
    pair = (good["X_Slack_Request_Timestamp"], good["X_Slack_Signature"])
    assert ask_alone(body, pair, most=100) == 413
    assert ask_alone(body, pair, most=101) == 400
    assert ask_alone(body, ("0", "v0=")) == 401


def test_a_secret_is_needed_and_not_shown():
    for empty in ("", "  ", SecretStr("")):
        with pytest.raises(errors.ConfigurationError, match="signing secret"):
            SlackSignature(empty)
    assert SECRET not in repr(SlackSignature(SECRET))
