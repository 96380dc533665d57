"""A slice for the tests of live changes: names that are remembered, and a feed of their changes.

A change is a user whose id counts the versions of the topic, so nothing else is needed beside the tables there are.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import bindparam, func, select

from tests.colours import Driven
from undercroft.core.live import feed, remembered
from undercroft.core.operation import C, Page, Slice, gathered, operation
from undercroft.core.tx import Tx
from undercroft.users import ops as users
from undercroft.users.models import User

TOPIC = "names"
_NAME = select(User.name).where(User.tenant_id == bindparam("tenant_id"), User.native_id == bindparam("user"))
_COUNT = select(func.count()).select_from(User).where(User.tenant_id == bindparam("tenant_id"))
_AFTER = (
    select(User.native_id, User.name)
    .where(User.tenant_id == bindparam("tenant_id"), User.native_id > bindparam("after"))
    .where(User.native_id < "v~")
    .order_by(User.native_id)
    .limit(3)
)
_LAST = select(func.max(User.native_id)).where(User.tenant_id == bindparam("tenant_id"), User.native_id < "v~")

loads: list[Any] = []
"""What was read from the database."""
begun = threading.Event()
"""Set once a feed has noted where it begins."""
_hold: tuple[threading.Event, threading.Event] | None = None


def rename(tx: Tx, user: str, name: str, *, fail: bool = False) -> int:
    """Change a name, and note the change."""
    version = tx.announce(TOPIC)
    users.ensure(tx, user, name=name)
    users.ensure(tx, f"v{version:012}", name=name)
    if fail:
        raise ZeroDivisionError
    return version


def rename_unannounced(tx: Tx, user: str, name: str) -> None:
    users.ensure(tx, user, name=name)


def announce(tx: Tx) -> int:
    return tx.announce(TOPIC)


def number(tx: Tx, user: str) -> int:
    """Rename somebody to the version of the change."""
    version = tx.announce(TOPIC)
    users.ensure(tx, user, name=str(version))
    return version


def load(tx: Tx, user: str) -> str | None:
    loads.append(user)
    name: str | None = tx.value(_NAME, {"user": user})
    if _hold is not None:
        _hold[0].set()
        _hold[1].wait(10)
    return name


def greet(name: str | None, user: str, *, default: str = "nobody") -> str:
    return f"Hello {name or default}"


def count(tx: Tx, offset: float = 0) -> float:
    loads.append(offset)
    return int(tx.value(_COUNT)) + offset


def as_list(tx: Tx) -> list[str]:
    del tx
    return []


def changes(tx: Tx, after: str | None) -> Page[str]:
    if after is None:
        last = tx.value(_LAST) or "v"
        begun.set()
        return Page([], last)
    found = tx.rows(_AFTER, {"after": after})
    return Page([name for _, name in found], found[-1][0] if found else None)


def _pair(user: str, name: str) -> tuple[str, str]:
    return user, name


def _rename_many(tx: Tx, items: Any) -> list[int]:
    return [rename(tx, *item) for item in items]


class Names(Slice[C]):
    rename = operation(rename)
    number = operation(number)
    rename_unannounced = operation(rename_unannounced)
    announce_alone = operation(announce, access="append")
    announce = operation(announce)
    rename_together = gathered(_pair, _rename_many, single="write")
    get = remembered(load, topic=TOPIC)
    greet = remembered(load, topic=TOPIC, answer=greet)
    count = remembered(count, topic=TOPIC)
    as_list = remembered(as_list, topic=TOPIC)
    watch = feed(changes, topic=TOPIC)


def names_of(tenant: Any) -> Any:
    """The slice of a tenant, or of a transaction in it, with the blocking interface."""
    inner = tenant._object if isinstance(tenant, Driven) else tenant
    names: Any = Names(inner._runner, inner._scope)
    return Driven(names, tenant._thread) if isinstance(tenant, Driven) else names


def place_of(names: Any) -> Any:
    """The database of the slice's store."""
    return (names._object if isinstance(names, Driven) else names)._runner.place


def memory_of(names: Any) -> Any:
    """What the slice's store remembers."""
    return place_of(names).memory


def listening(names: Any) -> Any:
    """Wait until the slice's store hears of changes."""
    names.get("nobody")
    assert until(lambda: memory_of(names).alive)
    return names


def hearing(names: Any) -> list[str]:
    """Note what the slice's store hears from now on."""
    memory, heard = memory_of(names), []
    hear = memory.hear

    def note(notice: str) -> None:
        hear(notice)
        heard.append(notice)

    memory.hear = note
    return heard


@contextmanager
def hushed(names: Any) -> Iterator[None]:
    """Have the slice's store hear nothing, and know it."""
    memory_of(names).lose()
    yield
    memory_of(names).regain()


@contextmanager
def held() -> Iterator[tuple[threading.Event, threading.Event]]:
    """Hold up what is loaded, after it was read (the first event tells) and until the second event."""
    global _hold  # noqa: PLW0603 - the functions of a slice have nobody else to ask
    _hold = threading.Event(), threading.Event()
    try:
        yield _hold
    finally:
        _hold[1].set()
        _hold = None


def loaded(call: Callable[[], object]) -> int:
    """Make a call and return how often the database was asked."""
    before = len(loads)
    call()
    return len(loads) - before


def until(condition: Callable[[], object], seconds: float = 10.0) -> bool:
    """Wait until something holds, and tell whether it does."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True
