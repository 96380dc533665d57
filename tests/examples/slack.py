"""A stand-in of Slack: its Web API over HTTP, and events that it delivers with its signature."""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, Self
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlencode, urlsplit
from urllib.request import Request, urlopen

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
PATIENCE = 20  # seconds


@dataclass
class Call:
    """What a bot asked of Slack."""

    method: str
    token: str
    given: dict[str, Any]


@dataclass
class Slack:
    """Some workspaces, each with the token of the bot that is installed in it."""

    teams: Mapping[str, str]
    calls: list[Call] = field(default_factory=list)
    limited: int = 0
    """How many of the next messages are answered 429."""

    def __enter__(self) -> Self:
        self._changed = threading.Condition()
        self._numbers = count(1)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/api/"

    def token(self, team: str) -> str:
        return next(token for token, one in self.teams.items() if one == team)

    def said(self, team: str | None = None) -> list[dict[str, Any]]:
        """What was posted, in one workspace or in all."""
        with self._changed:
            return [call.given for call in self.calls if call.method in {"chat.postMessage", "response"}
                    and team in {None, self.teams.get(call.token)}]  # fmt: skip

    def wait(self, messages: int) -> list[dict[str, Any]]:
        """Wait until so many messages were posted."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.said()) >= messages, PATIENCE), self.calls
        return self.said()

    def deliver(
        self,
        address: str,
        body: Mapping[str, Any],
        *,
        form: bool = False,
        retry: int = 0,
        secret: str = SECRET,
        sent_at: float | None = None,
    ) -> int:
        """Send an event or, as a form, a command; returns the status of the answer."""
        raw = (urlencode(body) if form else json.dumps(body)).encode()
        stamp = str(int(time.time() if sent_at is None else sent_at))
        signature = hmac.new(secret.encode(), b":".join([b"v0", stamp.encode(), raw]), hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/x-www-form-urlencoded" if form else "application/json",
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": f"v0={signature}",
        }
        if retry:
            headers |= {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": "http_timeout"}
        try:
            with urlopen(Request(address, raw, headers), timeout=PATIENCE) as answer:
                return answer.status
        except HTTPError as refused:
            with refused:
                return refused.code

    def answer(self, method: str, token: str, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer a call as Slack documents it."""
        with self._changed:
            if method == "chat.postMessage" and self.limited:
                self.limited -= 1
                return 429, {"ok": False, "error": "ratelimited"}
            self.calls.append(Call(method, token, given))
            self._changed.notify_all()
        team = self.teams.get(token)
        told: dict[str, Any] = {"ok": True}
        match method:
            case "response":
                pass  # its address is the secret
            case _ if team is None:
                told = {"ok": False, "error": "invalid_auth"}
            case "auth.test":
                told |= {"url": "https://acme.slack.com/", "team": "Acme", "team_id": team, "user": "sqlbot"}
                told |= {"user_id": f"UBOT{team}", "bot_id": f"B{team}"}
            case "users.info":
                user = {"id": given["user"], "team_id": team, "name": given["user"].lower(), "is_bot": False}
                told |= {"user": {**user, "profile": {}}}
            case "chat.postMessage" if not (given.get("channel") and given.get("text")):
                told = {"ok": False, "error": "no_text" if given.get("channel") else "channel_not_found"}
            case "chat.postMessage":
                stamp = f"1700000000.{next(self._numbers):06}"
                message = {"type": "message", "text": given["text"], "user": f"UBOT{team}", "ts": stamp}
                told |= {"channel": given["channel"], "ts": stamp, "message": message}
            case _:
                told = {"ok": False, "error": "unknown_method", "req_method": method}
        return 200, told


def _handler(slack: Slack) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(dict(parse_qsl(urlsplit(self.path).query)))

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            is_json = self.headers.get("Content-Type", "").startswith("application/json")
            self._answer(json.loads(raw or "{}") if is_json else dict(parse_qsl(raw)))

        def _answer(self, given: dict[str, Any]) -> None:
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            status, told = slack.answer(urlsplit(self.path).path.rpartition("/")[2], token, given)
            body = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            if status == 429:
                self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
