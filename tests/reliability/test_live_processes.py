"""Live changes between processes: how soon they are known, and that nothing stale is answered after the notice."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.live import Names, listening, loaded, memory_of, names_of, until
from undercroft import AsyncStore

ROOT = Path(__file__).parent.parent.parent
SOON = 0.2
"""Seconds within which another process ought to know."""

WRITER = """
import sys, time
from tests.live import names_of
from undercroft import Store
url, tenant, changes, pause = sys.argv[1:]
with Store(url) as store:
    names = names_of(store.tenant(tenant))
    for _ in range(int(changes)):
        version = names.number("U1")
        print(version, time.monotonic(), flush=True)  # the same clock for all processes of a machine
        time.sleep(float(pause))
"""


@contextmanager
def writer(database_url: str, tenant: Any, changes: int, pause: float) -> Iterator[Callable[[], dict[int, float]]]:
    """Another process that makes changes; gives what returns, at its end, when each was committed."""
    line = [sys.executable, "-c", WRITER, database_url, tenant.key, str(changes), str(pause)]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:

        def committed() -> dict[int, float]:
            out, _ = process.communicate(timeout=300)
            assert process.returncode == 0
            return {int(version): float(moment) for version, moment in map(str.split, out.splitlines())}

        yield committed


def delays(database_url: str, tenant: Any, names: Any, changes: int) -> list[float]:
    """How long after each commit of another process this one had the notice; sorted."""
    heard: dict[int, float] = {}
    memory = memory_of(names)
    hear = memory.hear

    def note(notice: str) -> None:
        hear(notice)
        heard.setdefault(int(notice.rpartition(":")[2]), time.monotonic())

    memory.hear = note
    with writer(database_url, tenant, changes, 0.01) as committed:
        moments = committed()
    assert until(lambda: max(moments) in heard)
    later = sorted(heard)
    return sorted(heard[next(one for one in later if one >= version)] - moment for version, moment in moments.items())


def test_another_process_knows_soon(database_url, tenant):
    found = delays(database_url, tenant, listening(names_of(tenant)), 100)
    assert found[len(found) // 2] <= SOON  # the rest of it on a machine that has nothing else to do


@pytest.mark.soak
def test_another_process_knows_within_a_fifth_of_a_second(database_url, tenant, soak_share):
    found = delays(database_url, tenant, listening(names_of(tenant)), int(5000 * soak_share))
    assert found[len(found) * 99 // 100] <= SOON


class Reading:
    """Callers who read all the time, and what was stale after the notice of what came after it."""

    def __init__(self, names: Any) -> None:
        self.names = names
        self.reads = self.stale = 0
        self.floor = 0
        memory = memory_of(names)
        hear = memory.hear

        def note(notice: str) -> None:
            hear(notice)
            self.floor = max(self.floor, int(notice.rpartition(":")[2]))

        memory.hear = note

    def read(self) -> None:
        """Read once."""
        floor = self.floor
        name = self.names.get("U1")
        self.reads += 1
        self.stale += floor > int(name or 0)

    def until(self, ended: threading.Event) -> None:
        """Read until the event, from several threads."""

        def go() -> None:
            while not ended.is_set():
                self.read()
                time.sleep(0)

        threads = [threading.Thread(target=go, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def stale_reads(database_url: str, tenant: Any, names: Any, changes: int) -> tuple[int, int]:
    """How many reads there were while another process made changes, and how many of them were stale."""
    reading, ended = Reading(names), threading.Event()
    with writer(database_url, tenant, changes, 0.005) as committed:
        reader = threading.Thread(target=reading.until, args=(ended,), daemon=True)
        reader.start()
        last = max(committed())
        assert until(lambda: reading.floor >= last) or memory_of(names).closed
        for _ in range(100):
            reading.read()
        ended.set()
        reader.join()
    return reading.reads, reading.stale


def test_no_read_is_stale_after_the_notice(database_url, tenant):
    reads, stale = stale_reads(database_url, tenant, listening(names_of(tenant)), 150)
    assert reads > 1000
    assert stale == 0


@pytest.mark.soak
def test_no_read_of_many_is_stale_after_the_notice(database_url, tenant, soak_share):
    names = listening(names_of(tenant))
    reads = 0
    while reads < 100_000 * soak_share:
        more, stale = stale_reads(database_url, tenant, names, 1000)
        assert stale == 0
        reads += more


def test_control_where_nothing_is_forgotten_reads_are_stale(database_url, tenant, monkeypatch):
    names = listening(names_of(tenant))
    monkeypatch.setattr(type(memory_of(names)), "_forget", lambda *_: None)
    _, stale = stale_reads(database_url, tenant, names, 50)
    assert stale > 0


# -- the listener's own life ------------------------------------------------------------------------------------------


def test_a_child_process_starts_with_an_empty_memory(database_url, tenant):
    names = listening(names_of(tenant))
    names.get("U1")
    memory = memory_of(names)
    child = os.fork()
    if child == 0:  # no more than a look: connections are the parent's
        empty = not memory.alive and not any(shelf.entries or shelf.answers for shelf in memory._shelves.values())
        os._exit(0 if empty else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert loaded(lambda: names.get("U1")) == 0


LEAVING = """
import sys
from tests.live import listening, names_of
from undercroft import Store
names = listening(names_of(Store(sys.argv[1]).tenant(sys.argv[2])))
"""


@pytest.mark.parametrize("colour", ["sync"], indirect=True)
def test_a_program_that_closes_nothing_ends_at_once(database_url, tenant):
    line = [sys.executable, "-W", "ignore::ResourceWarning", "-c", LEAVING, database_url, tenant.key]
    ended = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_closing_ends_the_thread(database_url, open_store, colour, tenant):
    store = open_store(colour, database_url)
    names = listening(names_of(store.tenant(tenant.key)))
    thread = getattr(names, "_object", names)._runner.place.listener._thread
    store.close()
    assert not thread.is_alive()
    assert memory_of(names).closed


# -- cancellation -----------------------------------------------------------------------------------------------------


def awaited(database_url: str, body: Callable[[Any, Any], Any]) -> None:
    """Run a coroutine function of a tenant and its names on a store of its own."""

    async def main() -> None:
        async with AsyncStore(database_url) as store:
            key = f"slack:T{uuid4().hex}"
            await store.tenants.ensure(key)
            tenant = store.tenant(key)
            await body(tenant, Names(tenant._runner, tenant._scope))

    asyncio.run(main())


@pytest.mark.parametrize("colour", ["async"], indirect=True)
def test_reads_that_are_cancelled_leave_nothing_wrong_behind(database_url, colour):
    async def body(tenant: Any, names: Any) -> None:
        for round_ in range(50):
            version = await names.number("U1")
            task = asyncio.create_task(names.get("U1"))
            await asyncio.sleep(round_ * 0.0001)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await names.get("U1") == str(version)

    awaited(database_url, body)


@pytest.mark.parametrize("ticks", range(6))
@pytest.mark.parametrize("colour", ["async"], indirect=True)
def test_a_feed_that_is_cancelled_while_it_wakes_is_cancelled(database_url, colour, ticks):
    async def body(tenant: Any, names: Any) -> None:
        subject = tenant._runner.place.memory.subject(tenant.id, "names")

        async def follow() -> None:
            async for _ in names.watch():
                pass

        await names.number("U1")  # so that it has nothing to begin with
        task = asyncio.create_task(follow())
        await asyncio.sleep(0.2)
        for wake in list(subject.waiters):
            wake()
        for _ in range(ticks):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5)
        assert done

    awaited(database_url, body)


@pytest.mark.parametrize("colour", ["async"], indirect=True)
def test_a_feed_that_is_cancelled_waits_no_more(database_url, colour):
    async def body(tenant: Any, names: Any) -> None:
        subject = tenant._runner.place.memory.subject(tenant.id, "names")

        async def follow() -> None:
            async for _ in names.watch():
                pass

        for round_ in range(20):
            task = asyncio.create_task(follow())
            await asyncio.sleep(round_ * 0.005)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        assert await names.get("U1") is None
        await asyncio.sleep(0)
        assert subject.waiters == set()

    awaited(database_url, body)
