"""The listener on PostgreSQL: killed, hung, its server restarted, behind a pooler; and what a notice tells to whom."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests import databases, servers
from tests.colours import LoopThread
from tests.live import hearing, listening, loaded, memory_of, names_of, place_of, until
from tests.reliability.proxy import Proxy, proxy
from undercroft import Settings, errors
from undercroft.core.runtime.postgresql_notices import Notices, Poll, source

FIRST, *_ = servers.names("postgresql")
direct = pytest.mark.parametrize("engine", [FIRST], indirect=True)


def kind_of(names: Any) -> type:
    """How the slice's store listens."""
    return type(place_of(names).listener._current)


def settled(others: Any) -> None:
    """Let late notices come, and have the store answer from memory."""
    time.sleep(0.3)
    others.get("U1")
    assert loaded(lambda: others.get("U1")) == 0


def heals(names: Any, others: Any) -> bool:
    """Whether a change reaches another store, which answers from memory again after it."""
    name = uuid4().hex
    names.rename("U1", name)
    return until(lambda: others.get("U1") == name) and until(lambda: loaded(lambda: others.get("U1")) == 0)


@pytest.fixture
def names(tenant):
    return names_of(tenant)


@pytest.fixture
def open_others(open_store: Callable[..., Any], colour: str, tenant: Any) -> Callable[..., Any]:
    """Opens another store of the tenant's database."""

    def make(url: str, **settings: Any) -> Any:
        store = open_store(colour, settings=Settings.load(url, **settings))
        return listening(names_of(store.tenant(tenant.key)))

    return make


# -- killed -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def deaf(shared_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Any]:
    """Ends the connection that a store listens on, and keeps it from making another one until the end of the block."""
    admin = databases.changed(shared_database(FIRST), username="postgres", password="")

    def refuse(_: Any) -> None:
        time.sleep(0.2)
        raise errors.DatabaseUnavailable

    @contextmanager
    def until_the_end(names: Any) -> Iterator[None]:
        with monkeypatch.context() as patch, databases.administrator(admin) as run:
            patch.setattr(Notices, "open", refuse)
            run(f"SELECT pg_terminate_backend({place_of(names).listener._current._port.driver.info.backend_pid})")
            yield

    return until_the_end


@direct
def test_what_is_changed_while_the_listener_is_dead_is_not_answered_stale(names, open_others, database_url, deaf):
    others = open_others(database_url)
    names.rename("U1", "ada")
    assert until(lambda: others.get("U1") == "ada")
    with deaf(others):
        names.rename("U1", "grace")
        assert until(lambda: others.get("U1") == "grace", 5)
        assert not memory_of(others).alive
        assert loaded(lambda: [others.get("U1"), others.get("U1")]) == 2
    assert until(lambda: memory_of(others).alive)
    assert heals(names, others)


@direct
def test_control_a_store_that_keeps_what_it_had_is_stale(names, open_others, database_url, deaf, monkeypatch):
    others = open_others(database_url)
    names.rename("U1", "ada")
    assert until(lambda: others.get("U1") == "ada")
    settled(others)
    monkeypatch.setattr(memory_of(others), "lose", lambda: None)
    with deaf(others):
        time.sleep(0.5)
        names.rename("U1", "grace")
        assert not until(lambda: others.get("U1") == "grace", 1)


# -- hung -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def wire(database_url: str, loop_thread: LoopThread) -> Iterator[tuple[Proxy, str]]:
    with proxy(database_url, loop_thread) as made:
        yield made


@direct
def test_a_connection_that_hangs_is_known_within_seconds(names, open_others, database_url, wire):
    cut, around = wire
    others = open_others(database_url, listen_url=around)
    names.rename("U1", "ada")
    assert until(lambda: others.get("U1") == "ada")
    cut.hang()
    begun = time.monotonic()
    names.rename("U1", "grace")
    assert until(lambda: others.get("U1") == "grace", 20)
    assert time.monotonic() - begun < 15  # about 3 on a machine that has nothing else to do
    cut.cut()
    cut.heal()
    assert heals(names, others)


@direct
def test_control_without_a_heartbeat_it_is_not(names, open_others, database_url, wire, monkeypatch):
    monkeypatch.setattr("undercroft.core.runtime.postgresql_notices.HEARTBEAT", 3600)
    cut, around = wire
    others = open_others(database_url, listen_url=around)
    names.rename("U1", "ada")
    assert until(lambda: others.get("U1") == "ada")
    settled(others)
    cut.hang()
    time.sleep(0.1)
    names.rename("U1", "grace")
    assert not until(lambda: others.get("U1") == "grace", 5)
    cut.cut()
    cut.heal()


# -- the server restarted ---------------------------------------------------------------------------------------------


def test_a_server_that_dies_and_comes_back_is_listened_to_again(open_store, colour):
    with servers.own_postgresql(fsync="off") as server:
        url = databases.migrated(server.url, server.url)
        store, other = open_store(colour, url), open_store(colour, url)
        store.tenants.ensure("slack:T1")
        names, others = (listening(names_of(one.tenant("slack:T1"))) for one in (store, other))
        seen: list[str] = []

        def follow() -> None:
            seen.extend(others.watch())

        threading.Thread(target=follow, daemon=True).start()
        assert until(lambda: names.rename("U1", "ada") and seen, 20)  # it may begin late, and tells of what comes then
        assert until(lambda: others.get("U1") == "ada")
        server.kill()
        assert until(lambda: not memory_of(others).alive, 20)
        server.start()
        names.rename("U1", "grace")  # by a store that may not have noticed anything yet
        assert others.get("U1") == "grace"
        assert until(lambda: memory_of(others).alive, 30)
        assert heals(names, others)
        assert until(lambda: "grace" in seen, 20)


# -- behind a pooler --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", servers.names("pgbouncer"), indirect=True)
@pytest.mark.parametrize("around", [True, False], ids=["around the pooler", "through it"])
def test_behind_a_pooler_changes_are_heard_of(names, open_others, database_url, shared_database, around):
    url = shared_database(FIRST)
    others = open_others(database_url, **({"listen_url": url} if around else {}))
    assert kind_of(others) is (Notices if around else Poll)
    assert heals(names, others)
    heard = hearing(others)
    names.rename("U1", "ada")
    assert until(lambda: heard)


@direct
def test_a_pooler_that_no_setting_names_is_asked_and_not_listened_to(names):
    listening(names)
    place = place_of(names)
    assert kind_of(names) is type(source(place, place.address, threading.Event())) is Notices
    place.relayed = True  # found out when the store opened
    assert type(source(place, place.address, threading.Event())) is Poll


@pytest.mark.parametrize("engine", servers.names("pgbouncer"), indirect=True)
def test_a_transaction_that_takes_long_is_asked_for_when_it_has_ended(names, open_others, database_url, tenant):
    """What was begun before the last question, and is committed after it, has a lower number than what was seen."""
    others = open_others(database_url)
    names.get("U1")
    with tenant.transaction() as tx:
        names_of(tx).rename("U1", "ada")
        others.get("U1")
        time.sleep(0.5)
        assert others.get("U1") is None
    assert until(lambda: others.get("U1") == "ada")


# -- who learns what --------------------------------------------------------------------------------------------------


@direct
def test_a_notice_tells_nobody_whose_change_it_is(names, tenant, database_url, new_tenant):
    with psycopg.connect(database_url, autocommit=True) as stranger:
        stranger.execute("LISTEN undercroft")
        names.rename("U1", "ada")
        (notice,) = stranger.notifies(timeout=10, stop_after=1)
        scope, _, version = notice.payload.rpartition(":")
        assert (len(scope), version) == (32, "1")
        for word in (tenant.key, tenant.id.hex, "names", "U1", "ada"):
            assert word not in notice.payload
        neighbour = names_of(new_tenant())
        neighbour.rename("U1", "ada")
        (other,) = stranger.notifies(timeout=10, stop_after=1)
        assert other.payload.rpartition(":")[0] != scope
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            stranger.execute("SELECT secret FROM undercroft.change_key")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            stranger.execute("SELECT undercroft.scope_hash(%s, 'names')", (tenant.id,))
        for call in ("change_scope('names')", "announce('names')"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                stranger.execute(f"SELECT undercroft.{call}")
        snapshot, _ = stranger.execute("SELECT * FROM undercroft.changes(NULL)").fetchone()
        names.rename("U1", "grace")
        _, told = stranger.execute("SELECT * FROM undercroft.changes(%s::text)", (snapshot,)).fetchone()
        assert told == [f"{scope}:2"]


@direct
def test_a_forged_notice_costs_a_read_and_no_more(names, database_url):
    listening(names)
    names.rename("U1", "ada")
    names.get("U1")
    heard = hearing(names)
    with psycopg.connect(database_url, autocommit=True) as stranger:
        for payload in ("", "*", "*:1", "x:y:z", "undercroft"):
            stranger.execute("SELECT pg_notify('undercroft', %s)", (payload,))
    assert until(lambda: len(heard) == 5)
    assert memory_of(names).alive
    assert names.get("U1") == "ada"


def test_a_feed_of_an_unreachable_database_says_so(open_store, colour):
    store = open_store(colour, "postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(errors.DatabaseUnavailable):
        next(iter(names_of(store.tenant("slack:T1")).watch()))
