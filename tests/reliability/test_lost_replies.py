"""The answer to COMMIT is lost after the server has committed: nobody repeats what is done, and a key makes it safe."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests import servers
from tests.colours import LoopThread
from tests.reliability.proxy import Proxy, proxy
from undercroft import errors

pytestmark = pytest.mark.parametrize("engine", servers.names("postgresql")[:1], indirect=True)


@pytest.fixture
def wire(database_url: str, loop_thread: LoopThread) -> Iterator[tuple[Proxy, str]]:
    with proxy(database_url, loop_thread) as made:
        yield made


@pytest.fixture
def store(colour: str, wire: tuple[Proxy, str], open_store: Callable[..., Any]) -> Any:
    return open_store(colour, wire[1])


@pytest.fixture
def losing(wire: tuple[Proxy, str]) -> Callable[[Callable[[], Any]], Any]:
    """Calls something whose next confirmed commit the proxy loses."""

    def call(fn: Callable[[], Any]) -> Any:
        made, lost = wire[0], wire[0].lost
        made.lose = 1
        try:
            return fn()
        finally:
            assert (made.lose, made.lost) == (0, lost + 1), "no reply was lost"

    return call


def logged(tenant: Any) -> list[int]:
    return sorted(event.data["n"] for event in tenant.audit.recent(limit=1000))


def append(tenant: Any, n: int) -> None:
    tenant.audit.log("a.b", data={"n": n})


def write(tenant: Any, n: int) -> None:
    tenant.users.ensure(f"U{n}")


def transaction(tenant: Any, n: int) -> None:
    with tenant.transaction() as tx:
        tx.audit.log("a.b", data={"n": n})
        tx.users.ensure(f"U{n}")


def door(tenant: Any, n: int) -> None:
    tenant.db.execute("UPDATE undercroft.users SET name = name || $1", "x")
    tenant.db.execute_in_transaction([("UPDATE undercroft.users SET name = name || $1", ["x"])])


@pytest.mark.parametrize("call", [append, write, transaction, door], ids=lambda call: call.__name__)
def test_it_raises_commit_unknown_and_has_been_done_once(tenant, wire, losing, call):
    tenant.users.ensure("U0", name="x")
    before = wire[0].commits
    with pytest.raises(errors.CommitUnknown):
        losing(lambda: call(tenant, 1))
    assert wire[0].commits == before + 1
    if call is door:
        assert tenant.users.get("U0").name == "xx"
    else:
        assert logged(tenant) == ([1] if call is not write else [])
        assert len(tenant.users.list()) == (2 if call is not append else 1)


def many(tenant: Any, losing: Callable[..., Any], number: int, call: Callable[[int], Any]) -> None:
    for n in range(number):
        losing(lambda n=n: call(n))


def never(tenant: Any, n: int) -> None:
    with suppress(errors.CommitUnknown):
        append(tenant, n)


def naively(tenant: Any, n: int) -> None:
    """What our runner must never do."""
    while True:
        with suppress(errors.CommitUnknown):
            return append(tenant, n)


def keyed(tenant: Any, n: int) -> None:
    """As a caller does who retries: the runner asks again by itself while it has retries left."""
    while True:
        with suppress(errors.CommitUnknown):
            return append(tenant.idempotent(f"call {n}"), n)


def test_nothing_is_done_twice(tenant, losing):
    many(tenant, losing, 30, lambda n: never(tenant, n))
    assert logged(tenant) == list(range(30))


def test_under_a_key_a_lost_answer_is_asked_for_again_by_itself(tenant, losing):
    for n in range(30):
        event = losing(lambda n=n: tenant.idempotent(f"call {n}").audit.log("a.b", data={"n": n}))
        assert event == tenant.audit.recent(limit=1)[0]
    assert logged(tenant) == list(range(30))


def test_control_a_naive_retry_does_everything_twice(tenant, losing):
    many(tenant, losing, 30, lambda n: naively(tenant, n))
    assert logged(tenant) == sorted([*range(30), *range(30)])


@pytest.mark.soak
def test_nothing_is_done_twice_at_length(tenant, losing, soak_share):
    number = int(500 * soak_share)
    many(tenant, losing, number, lambda n: never(tenant, n))
    many(tenant, losing, number, lambda n: keyed(tenant, number + n))
    assert logged(tenant) == list(range(2 * number))
