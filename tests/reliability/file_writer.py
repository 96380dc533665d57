"""Processes that write to a SQLite file and say of each write, once it was answered, that it is there.

`python file_writer.py URL [WEAKNESS…]` makes one for each line of its input, `NAME COUNT blocking|awaiting`, by a fork:
to start Python for each would take longer than what they write. Lines of "kind name" are what is acknowledged; with
`UNDERCROFT_TEST_ACKNOWLEDGED` they go to that file. A weakness takes a guard out, for the controls.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from undercroft import AsyncStore, Store, TenantScope, UndercroftError

AT_ONCE = 8
"""Calls under way in an awaiting process."""
KINDS: dict[str, Callable[[Any, str], Any]] = {
    "user": lambda tenant, name: tenant.users.ensure(name),
    "message": lambda tenant, name: tenant.threads.append(name[:6], role="user", content=name),
    "metric": lambda tenant, name: tenant.metrics.log("written", 1, data={"n": name}),
    "goal": lambda tenant, name: tenant.goals.save(name, title="Write"),
    "event": lambda tenant, name: tenant.audit.log("a.b", data={"n": name}),
    "unit": lambda tenant, name: tenant.limits.consume("writes", by=name[:6]),
}
STORED = {
    "user": "SELECT native_id FROM users",
    "message": "SELECT content FROM thread_messages",
    "metric": "SELECT data->>'n' FROM metrics",
    "goal": "SELECT key FROM business_goals",
    "event": "SELECT data->>'n' FROM audit_events WHERE event_type = 'a.b'",
}
"""Of each kind the names that are there; of units only the number is."""
UNITS = "SELECT coalesce(sum(used), 0) FROM api_rate_limit_usage"


def prepare(url: str) -> None:
    """Make what the writers need; their first open makes the rest."""
    with Store(url) as store:
        store.default.limits.define("writes", 10**9, per="month", each="user")


def tell(line: str) -> None:
    os.write(_OUT, f"{line}\n".encode())  # in one piece, past every buffer


def calls(name: str, count: int) -> Iterator[tuple[str, str]]:
    kinds = list(KINDS)
    for number in range(count):
        yield kinds[number % len(kinds)], f"{name}-{number}"


@contextlib.contextmanager
def told(kind: str, name: str) -> Iterator[None]:
    try:
        yield
    except UndercroftError as error:
        tell(f"error {error.code}")
    else:
        tell(f"{kind} {name}")


def write(tenant: TenantScope[Any], name: str, count: int) -> None:
    for kind, one in calls(name, count):
        with told(kind, one):
            KINDS[kind](tenant, one)


def write_too_early(tenant: TenantScope[Any], name: str, count: int) -> None:
    """The control: what is acknowledged is not committed yet."""
    for number in range(count):
        with tenant.transaction() as tx:
            with told("user", f"{name}-{number}"):
                tx.users.ensure(f"{name}-{number}")
            time.sleep(0.002)


async def write_at_once(tenant: TenantScope[Any], name: str, count: int) -> None:
    asked = calls(name, count)

    async def some() -> None:
        for kind, one in asked:
            with told(kind, one):
                await KINDS[kind](tenant, one)

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))


def weaken(weaknesses: set[str]) -> None:
    """Take guards out."""
    from undercroft.core import retry
    from undercroft.core.dialects.sqlite_connection import FileConnection
    from undercroft.core.runtime import sqlite_file

    if "impatient" in weaknesses:
        retry.ATTEMPTS, sqlite_file.BUSY_TIMEOUT = 1, 0.0
    if "unsynced" in weaknesses:
        execute = FileConnection.execute

        def careless(self: Any, sql: str, *rest: Any) -> Any:
            return execute(self, sql.replace("synchronous=FULL", "synchronous=OFF"), *rest)

        FileConnection.execute = careless


def live(url: str, name: str, count: int, colour: str, weaknesses: set[str]) -> None:
    """Be a writer."""

    async def awaiting() -> None:
        async with AsyncStore(url) as store:
            await write_at_once(store.default, name, count)

    if colour == "awaiting":
        asyncio.run(awaiting())
        return
    with Store(url) as store:
        (write_too_early if "early" in weaknesses else write)(store.default, name, count)


def reap(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while (died := os.waitpid(-1, os.WNOHANG))[0]:
            os.write(1, f"died {died[0]} {os.waitstatus_to_exitcode(died[1])}\n".encode())


def main(url: str, weaknesses: set[str]) -> None:
    weaken(weaknesses)
    signal.signal(signal.SIGCHLD, reap)
    for line in sys.stdin:
        name, count, colour = line.split()
        child = os.fork()
        if child:
            os.write(1, f"born {child}\n".encode())
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        code = 1
        try:
            live(url, name, int(count), colour, weaknesses)
            code = 0
        except BaseException:  # noqa: BLE001 - the parent hears the code, the reader the trace
            traceback.print_exc()
        finally:
            os._exit(code)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            reap()


_OUT = 1

if __name__ == "__main__":
    where = os.environ.get("UNDERCROFT_TEST_ACKNOWLEDGED")
    if where:
        _OUT = os.open(where, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    main(sys.argv[1], set(sys.argv[2:]))
