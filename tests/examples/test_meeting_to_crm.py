"""The worker that brings meetings into the CRM, alone, in a crowd, and killed again and again."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from examples import meeting_to_crm
from examples.meeting_to_crm import Worker
from tests.examples.crm import CRM

EXAMPLE = Path(meeting_to_crm.__file__)
SAID = "Ada wants twenty seats.\nWe talked about prices.\nTODO send the offer\nTODO call Bob"


@pytest.fixture
def colour() -> str:
    return "sync"


@pytest.fixture
def crm(monkeypatch: pytest.MonkeyPatch) -> Iterator[CRM]:
    monkeypatch.setenv("CRM_KEY", "s3cret")
    with CRM() as one:
        yield one


@pytest.fixture
def connected(tenant: Any) -> Any:
    tenant.crm.connect("hubspot", credentials="env:CRM_KEY")
    tenant.crm.map_account("acme.example", "A1", verified=True)
    return tenant


def run(worker: Worker) -> None:
    while worker.step():
        pass


def test_a_meeting_becomes_a_note_in_the_crm(connected, crm, caplog):
    meeting = connected.meetings.start("m1", source="zoom", user="ada@eu.acme.example", title="Seats", transcript=SAID)
    run(Worker(connected, crm.url))
    done = connected.meetings.get(meeting.id)
    assert (done.state, done.summary, done.action_items) == (
        "pushed",
        "Ada wants twenty seats.",
        ["send the offer", "call Bob"],
    )
    assert done.crm_connection_id == connected.crm.default().id
    [note] = crm.notes.values()
    assert note == {
        "id": done.crm_external_id,
        "account": "A1",
        "title": "Seats",
        "text": done.summary,
        "todo": done.action_items,
    }
    assert "s3cret" not in caplog.text


def test_what_fails_is_written_down_and_tried_again(connected, crm):
    connected.meetings.start("silent", transcript=None)
    loud = connected.meetings.start("loud", transcript=SAID)
    crm.broken = 2
    worker = Worker(connected, crm.url)
    for _ in range(meeting_to_crm.ATTEMPTS + 1):
        run(worker)
        worker.retry()
    assert connected.meetings.stats()["pushed"] == 1
    [silent] = connected.meetings.list(state="failed")
    assert (silent.error, silent.attempts) == ("ValueError: the meeting came without a transcript", 5)
    assert [one.error for one in connected.meetings.history(loud.id) if one.state == "failed"] == [
        "HTTPError: HTTP Error 503: Service Unavailable"
    ] * 2
    assert list(crm.asked.values()) == [3]


def test_many_workers_push_each_meeting_once(connected, crm):
    for number in range(12):
        connected.meetings.start(f"m{number}", transcript=SAID)
    threads = [threading.Thread(target=run, args=[Worker(connected, crm.url)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run(Worker(connected, crm.url))
    assert connected.meetings.stats()["pushed"] == 12
    assert sorted(crm.asked.values()) == [1] * 12


# -- killed -----------------------------------------------------------------------------------------------------------

# Workers in processes of their own, forked from one that has imported everything: a worker for each line it is given.
# Their leases are short, and they take a while to store what the CRM has answered.
KILLED = """
import os, sys, time
from examples.meeting_to_crm import Worker, note
from undercroft import Settings, Store

def slow(*given):
    answer = note(*given)
    print("answered", flush=True)
    time.sleep(0.2)
    return answer

def work():
    with Store(settings=Settings.load(sys.argv[1], env_file=None)) as store:
        worker = Worker(store.tenant(sys.argv[2]), sys.argv[3], note=slow, seconds=0.5)
        print("ready", os.getpid(), flush=True)
        while True:
            worker.step() or time.sleep(0.01)

for _ in sys.stdin:
    if not os.fork():
        work()
    os.wait()
"""


def killed(tenant: Any, crm: CRM, url: str, kills: int) -> None:
    """Start a worker and kill it, so often, while meetings come in; then let one work to the end."""
    chance = random.Random(7)
    arguments = [sys.executable, "-c", KILLED, url, tenant.key, crm.url]
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, cwd=EXAMPLE.parent.parent, stdin=pipe, stdout=pipe, bufsize=0) as workers:
        for number in range(kills):
            for one in range(2):
                tenant.meetings.start(f"m{number}.{one}", transcript=SAID)
            workers.stdin.write(b"\n")
            pid = int(_line(workers, b"ready"))
            if number % 2:
                time.sleep(chance.uniform(0.005, 0.15))
            else:  # between the CRM's answer and our commit
                _line(workers, b"answered")
            os.kill(pid, signal.SIGKILL)
    last = Worker(tenant, crm.url)
    end = time.monotonic() + 60 + kills
    while tenant.meetings.stats()["pushed"] < 2 * kills and time.monotonic() < end:
        if not last.step():
            time.sleep(0.05)  # the leases of the dead end


def _line(workers: Any, word: bytes) -> bytes:
    """Read on to a line that begins with a word, and return the rest of it."""
    for line in iter(workers.stdout.readline, b""):
        if line.startswith(word):
            return line.removeprefix(word).strip()
    raise AssertionError(f"no worker says {word!r}")


def check_each_is_pushed_once(tenant: Any, crm: CRM, count: int) -> None:
    assert tenant.meetings.stats() == dict.fromkeys(tenant.meetings.stats(), 0) | {"pushed": count}
    assert max(crm.asked.values()) > 1  # or nobody died between the CRM's answer and our commit
    meetings = tenant.meetings.list(limit=1000)
    assert {one.crm_external_id for one in meetings} == {note["id"] for note in crm.notes.values()}
    assert len(crm.notes) == count == len({one.crm_external_id for one in meetings})
    for one in meetings:
        states = [change.state for change in tenant.meetings.history(one.id)]
        assert states == ["received", "transcribed", "summarised", "pushed"]


def test_workers_that_are_killed_leave_each_meeting_pushed_once(connected, crm, database_url):
    killed(connected, crm, database_url, kills=2)
    check_each_is_pushed_once(connected, crm, 4)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_workers_that_are_killed_leave_each_meeting_pushed_once_at_length(connected, crm, database_url, soak_share):
    kills = int(100 * soak_share)
    killed(connected, crm, database_url, kills)
    check_each_is_pushed_once(connected, crm, 2 * kills)


@pytest.mark.parametrize("keyed", [True, False], ids=["with the key", "control: without it"])
def test_a_death_after_the_answer_makes_one_note_by_the_key_and_two_without(connected, crm, keyed):
    meeting = connected.meetings.start("m1")
    connected.meetings.advance(meeting.id, "summarised")
    for dies in (True, False):
        with suppress(SystemExit), connected.meetings.pushing(meeting.id) as push:
            _, answer = crm.note(push.idempotency_key if keyed else uuid4().hex, {})
            push.external_id = answer["id"]
            if dies:
                raise SystemExit
    assert connected.meetings.get(meeting.id).state == "pushed"
    assert len(crm.notes) == (1 if keyed else 2)


def test_the_program_says_how_it_is_called():
    ended = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "python examples/meeting_to_crm.py slack:" in ended.stderr
