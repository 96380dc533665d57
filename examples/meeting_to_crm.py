"""A worker that brings meetings into the CRM: transcribed, summarised, and pushed once, whatever dies in between.

    export HUBSPOT_KEY=...   # where the tenant's connection says that its secret lies
    python examples/meeting_to_crm.py slack:T024BE7LD https://crm.example.com/notes

Whoever hears of a meeting calls `tenant.meetings.start(...)`; twice does no harm. `transcribe` and `summarise` are to
be your services, `note` your CRM. Run as many workers as you like; docs/meetings.md tells what happens when one dies.
"""

import json
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.request import Request, urlopen

from undercroft import Blocking, Meeting, Push, Store, TenantScope
from undercroft.errors import AttemptsExhausted, UndercroftError

ATTEMPTS, PAUSE = 5, 5  # how often a step is tried, and the seconds that an idle worker waits
logger = logging.getLogger(__name__)


def transcribe(meeting: Meeting) -> str:
    """Return the transcript, or where it lies: here, it came with the meeting."""
    if meeting.transcript is None:
        message = "the meeting came without a transcript"
        raise ValueError(message)
    return meeting.transcript


def summarise(meeting: Meeting) -> tuple[str, list[str]]:
    """Return a summary and what is to be done: here, the first line, and those that begin with TODO."""
    lines = (meeting.transcript or "").splitlines()
    return "".join(lines[:1]), [line.removeprefix("TODO ") for line in lines if line.startswith("TODO ")]


def note(url: str, secret: str, push: Push, account: str | None) -> str:
    """Make a note in the CRM and return its id there; the CRM knows a note that it has by the key."""
    meeting = push.meeting
    told = {"account": account, "title": meeting.title, "text": meeting.summary, "todo": meeting.action_items}
    headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": push.idempotency_key}
    request = Request(url, json.dumps(told).encode(), {**headers, "Content-Type": "application/json"})  # noqa: S310
    with urlopen(request, timeout=20) as answer:  # noqa: S310 - the address is the operator's
        return str(json.load(answer)["id"])


@dataclass
class Worker:
    """Brings the meetings of one tenant on; ``seconds`` is the longest that one step of one meeting may take."""

    tenant: TenantScope[Blocking]
    url: str
    transcribe: Callable[[Meeting], str] = transcribe
    summarise: Callable[[Meeting], tuple[str, list[Any]]] = summarise
    note: Callable[[str, str, Push, str | None], str] = note
    seconds: float = 60

    def step(self) -> bool:
        """Bring one meeting one state on, the furthest first; tells whether there was one."""
        meeting = self._claim()
        if meeting is None:
            return False
        try:
            match meeting.state:
                case "received":
                    told: dict[str, Any] = {"transcript": self.transcribe(meeting)}
                    self.tenant.meetings.advance(meeting.id, "transcribed", lease=meeting.held_by, **told)
                case "transcribed":
                    summary, todo = self.summarise(meeting)
                    told = {"summary": summary, "action_items": todo}
                    self.tenant.meetings.advance(meeting.id, "summarised", lease=meeting.held_by, **told)
                case _:
                    self._push(meeting)
        except UndercroftError as error:  # it took too long, and another worker has it; or the database is gone
            logger.warning("meeting %s is left to the next worker: %s", meeting.id, error)
        except Exception as error:
            logger.exception("meeting %s has failed", meeting.id)
            if meeting.state != "summarised":  # `pushing` writes it down by itself
                self.tenant.meetings.fail(meeting.id, f"{type(error).__name__}: {error}", lease=meeting.held_by)
        return True

    def retry(self) -> None:
        """Bring what failed back to where it failed, unless it did so too often."""
        for meeting in self.tenant.meetings.list(state="failed"):
            try:
                self.tenant.meetings.retry(meeting.id, attempts=ATTEMPTS)
            except AttemptsExhausted:
                continue  # `undercroft meetings list --state failed` shows it to somebody

    def _claim(self) -> Meeting | None:
        claim = self.tenant.meetings.claim
        for state in ("summarised", "transcribed"):
            if (meeting := claim(state, for_seconds=self.seconds)) is not None:
                return meeting
        return claim("received", for_seconds=self.seconds)

    def _push(self, meeting: Meeting) -> None:
        connection = self.tenant.crm.default()
        with self.tenant.meetings.pushing(meeting.id, lease=meeting.held_by, for_seconds=self.seconds) as push:
            secret = self.tenant.crm.credentials().get_secret_value()
            push.connection = None if connection is None else connection.id
            push.external_id = self.note(self.url, secret, push, self._account(meeting))

    def _account(self, meeting: Meeting) -> str | None:
        """Return the CRM's account of whoever met us: here, its source tells their address as the meeting's user."""
        if "@" not in (meeting.user or ""):
            return None
        found = self.tenant.crm.find_account(str(meeting.user))
        return None if found is None else found.account_id


if __name__ == "__main__":
    if len(sys.argv) != 3:  # noqa: PLR2004 - the program, the tenant, the address
        sys.exit(__doc__)
    with Store() as store:
        worker = Worker(store.tenant(sys.argv[1]), sys.argv[2])
        while True:
            if not worker.step():
                worker.retry()
                time.sleep(PAUSE)
