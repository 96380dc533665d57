"""A stand-in of a CRM: it makes notes over HTTP, and knows one that it has by its idempotency key."""

import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass
class CRM:
    """``notes`` are by key, ``asked`` counts how often each was sent."""

    secret: str = "s3cret"
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    """How many of the next requests are answered 503."""

    def __enter__(self) -> Self:
        self._changing = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/notes"

    def note(self, key: str, said: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Make a note, unless there is one by this key."""
        with self._changing:
            self.asked[key] += 1
            if self.broken:
                self.broken -= 1
                return 503, {"error": "later"}
            self.notes.setdefault(key, {"id": f"note-{len(self.notes) + 1}", **said})
            return 200, {"id": self.notes[key]["id"]}


def _handler(crm: CRM) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.headers["Authorization"] != f"Bearer {crm.secret}":
                status, answer = 401, {"error": "who are you?"}
            else:
                status, answer = crm.note(self.headers["Idempotency-Key"], said)
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
