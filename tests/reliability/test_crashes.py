"""All processes of the server are killed under 32 writers: what was acknowledged is there, and it is there once."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import psycopg
import pytest

from tests import databases, servers
from undercroft import AsyncStore, Settings, Store, errors

WRITERS = 16
"""In each colour."""
TENANT = "slack:T1"


@dataclass
class Ledger:
    """What the writers were told of each call, by its number."""

    acknowledged: set[str] = field(default_factory=set)
    ambiguous: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    surprises: list[BaseException] = field(default_factory=list)
    last: float = 0.0
    """When a call that began after the last crash was acknowledged, in seconds of `time.monotonic`."""
    numbers: Iterator[int] = field(default_factory=count)
    done: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def call(self) -> Iterator[str]:
        """One call; its outcome is written down, nothing is raised."""
        name = f"n{next(self.numbers)}"
        began = time.monotonic()
        try:
            yield name
        except errors.CommitUnknown:
            self.ambiguous.add(name)
        except errors.DatabaseError:
            self.failed.add(name)
        except BaseException as error:  # noqa: BLE001 - the test shows it
            self.surprises.append(error)
        else:
            self.acknowledged.add(name)
            self.last = max(self.last, began)


def write(store: Store, ledger: Ledger) -> None:
    tenant = store.tenant(TENANT)
    while not ledger.done.is_set():
        with ledger.call() as name:
            tenant.audit.log("a.b", data={"n": name})
        with ledger.call() as name:
            tenant.users.ensure(name)
        time.sleep(0.01 * (name in ledger.failed))


async def write_too(store: AsyncStore, ledger: Ledger) -> None:
    tenant = store.tenant(TENANT)
    while not ledger.done.is_set():
        with ledger.call() as name:
            await tenant.audit.log("a.b", data={"n": name})
        with ledger.call() as name:
            await tenant.users.ensure(name)
        await asyncio.sleep(0.01 * (name in ledger.failed))


def write_in_a_loop(settings: Settings, ledger: Ledger) -> None:
    async def main() -> None:
        async with AsyncStore(settings=settings) as store, asyncio.TaskGroup() as tasks:
            for _ in range(WRITERS):
                tasks.create_task(write_too(store, ledger))

    asyncio.run(main())


def crash(kills: int, *, pause: float = 0.7, **server_settings: Any) -> tuple[Ledger, Counter[str], list[float]]:
    """Kill the server so often; returns the ledger, how often each call is stored, and the seconds until it went on."""
    ledger, waits = Ledger(), []
    with servers.own_postgresql(**server_settings) as server:
        url = databases.migrated(server.url, server.url)
        settings = Settings.load(url, pool_size=WRITERS, connect_timeout=5)
        with Store(settings=settings) as store:
            store.tenants.ensure(TENANT)
            with databases.administrator(server.url) as run:
                run("CHECKPOINT")  # the tenant itself is not what is lost
            threads = [threading.Thread(target=write, args=(store, ledger)) for _ in range(WRITERS)]
            threads.append(threading.Thread(target=write_in_a_loop, args=(settings, ledger)))
            for thread in threads:
                thread.start()
            try:
                for _ in range(kills):
                    time.sleep(pause)
                    killed = time.monotonic()
                    server.kill()
                    server.start()
                    while ledger.last < killed and time.monotonic() < killed + 60:
                        time.sleep(0.01)
                    waits.append(time.monotonic() - killed)
            finally:
                ledger.done.set()
                for thread in threads:
                    thread.join()
        with psycopg.connect(server.url) as connection:
            return ledger, Counter(name for (name,) in connection.execute(_STORED)), waits


_STORED = """
SELECT data->>'n' FROM undercroft.audit_events UNION ALL SELECT native_id FROM undercroft.users
"""


def check(kills: int) -> None:
    ledger, stored, waits = crash(kills)
    assert ledger.surprises == []
    assert ledger.acknowledged - stored.keys() == set()
    assert [name for name, times in stored.items() if times > 1] == []
    assert ledger.failed & stored.keys() == set()
    assert stored.keys() - ledger.acknowledged - ledger.ambiguous == set()
    assert len(ledger.acknowledged) > 100 * kills
    assert max(waits) <= 10


def test_nothing_acknowledged_is_lost_and_nothing_is_there_twice():
    check(kills=2)


@pytest.mark.soak
def test_nothing_acknowledged_is_lost_and_nothing_is_there_twice_at_length(soak_share):
    check(kills=int(20 * soak_share))


def test_control_a_server_that_acknowledges_too_early_is_caught():
    ledger, stored, _ = crash(1, synchronous_commit="off", wal_writer_delay="10s")
    assert ledger.acknowledged - stored.keys() != set()
