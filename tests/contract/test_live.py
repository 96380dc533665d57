"""Live changes: what is remembered, what is forgotten and when, and feeds; in both colours on every engine."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tests import live, servers
from tests.live import hushed, listening, loaded, memory_of, names_of, until
from undercroft import errors

DIRECT = [*servers.names("postgresql"), pytest.param("sealed-postgresql", marks=pytest.mark.soak)]


@pytest.fixture
def names(tenant):
    """The slice, whose store listens already."""
    return listening(names_of(tenant))


@pytest.fixture
def others(tenant, open_store, colour, database_url):
    """The same in another store, which knows of the first one's changes by what it hears alone."""
    return listening(names_of(open_store(colour, database_url).tenant(tenant.key)))


def test_an_answer_is_remembered_until_it_changes(names):
    names.rename("U1", "ada")
    assert names.get("U1") == "ada"
    assert loaded(lambda: names.get("U1")) == 0
    names.rename("U1", "grace")
    assert names.get("U1") == "grace"
    assert loaded(lambda: names.get("U1")) == 0


def test_control_what_is_not_announced_is_not_forgotten(names):
    assert names.get("U1") is None
    names.rename_unannounced("U1", "ada")
    assert names.get("U1") is None


def test_another_store_hears_of_it(names, others):
    for name in ("ada", "grace"):
        names.rename("U1", name)
        assert until(lambda name=name: others.get("U1") == name)
        assert until(lambda: loaded(lambda: others.get("U1")) == 0)


def test_control_a_store_that_hears_nothing_is_stale(names, others, monkeypatch):
    monkeypatch.setattr(memory_of(others), "hear", lambda _: None)
    others.get("U1")
    names.rename("U1", "ada")
    assert not until(lambda: others.get("U1") == "ada", 0.5)


def test_tenants_and_topics_are_apart(names, others, new_tenant):
    neighbour = listening(names_of(new_tenant()))
    neighbour.rename("U1", "grace")
    names.rename("U1", "ada")
    neighbour.get("U1")
    assert loaded(lambda: neighbour.get("U1")) == 0
    others.get("U1")
    heard = live.hearing(others)
    assert until(lambda: heard or others.get("U1") == "ada")
    time.sleep(0.3)
    others.get("U1")
    heard.clear()
    neighbour.rename("U1", "mary")
    assert until(lambda: heard)
    assert loaded(lambda: others.get("U1")) == 0


def test_arguments_are_told_apart(names):
    assert names.count(1) + names.count(True) + names.count(1.0) == 3
    assert [type(names.count(1)), type(names.count(1.0))] == [int, float]
    assert loaded(lambda: [names.count(1), names.count(True), names.count(1.0)]) == 0
    assert names.count() == 0
    assert names.get("U1") is None
    assert loaded(lambda: names.get(user="U1")) == 0


def test_an_answer_is_made_for_each_caller_of_what_is_remembered(names):
    assert names.greet("U1") == "Hello nobody"
    assert loaded(lambda: names.greet("U1", default="you")) == 0
    assert names.greet("U1", default="you") == names.greet(user="U1", default="you") == "Hello you"
    names.rename("U1", "ada")
    assert names.greet("U1", default="you") == "Hello ada"


def test_what_could_be_changed_by_whoever_gets_it_is_refused(names):
    with pytest.raises(TypeError):
        names.as_list()


def test_the_oldest_is_forgotten_first(names):
    memory_of(names).most = 3
    for user in ("U1", "U2", "U3", "U4"):
        names.get(user)
    assert loaded(lambda: [names.get(user) for user in ("U2", "U3", "U4")]) == 0
    assert loaded(lambda: names.get("U1")) == 1


def test_a_transaction_reads_the_database_and_announces_at_its_commit(names, others, tenant):
    names.get("U1")
    others.get("U1")
    with tenant.transaction() as tx:
        inside = names_of(tx)
        inside.rename("U1", "ada")
        assert (inside.get("U1"), inside.greet("U1")) == ("ada", "Hello ada")
        assert loaded(lambda: names.get("U1")) == 0
    assert names.get("U1") == "ada"
    assert until(lambda: others.get("U1") == "ada")


def test_what_is_rolled_back_is_not_announced(names, others, tenant):
    heard = live.hearing(others)
    version = names.rename("U1", "ada")
    assert until(lambda: heard)
    heard.clear()
    names.get("U1")
    with pytest.raises(ZeroDivisionError):
        names.rename("U1", "grace", fail=True)
    with suppress(ZeroDivisionError), tenant.transaction() as tx:
        names_of(tx).rename("U1", "grace")
        raise ZeroDivisionError
    with tenant.transaction() as tx, suppress(ZeroDivisionError), tx.transaction() as inner:
        names_of(inner).rename("U1", "grace")
        raise ZeroDivisionError
    assert loaded(lambda: names.get("U1")) == 0
    time.sleep(0.3)
    assert heard == []
    assert names.rename("U1", "mary") == version + 1
    assert until(lambda: heard)


def test_a_savepoint_that_stays_announces(names, others, tenant):
    names.get("U1")
    with tenant.transaction() as tx:
        with suppress(ZeroDivisionError), tx.transaction() as inner:
            names_of(inner).rename("U2", "grace")
            raise ZeroDivisionError
        with tx.transaction() as inner:
            names_of(inner).rename("U1", "ada")
    assert names.get("U1") == "ada"
    assert until(lambda: others.get("U1") == "ada")


def test_appends_that_share_a_commit_announce_each_for_itself(names, others):
    names.get("U1")
    together(lambda n: names.rename_together(f"U{n}", f"name {n}"), 8)
    assert [names.get(f"U{n}") for n in range(8)] == [f"name {n}" for n in range(8)]
    assert until(lambda: others.get("U7") == "name 7")


def test_writers_that_share_a_commit_announce_each_for_himself(names):
    """On SQLite an AsyncStore commits them together; a failing one takes nobody with it."""
    names.get("U1")

    def rename(n: int) -> None:
        with suppress(ZeroDivisionError):
            names.rename(f"U{n}", f"name {n}", fail=n % 2 == 0)

    together(rename, 8)
    assert [names.get(f"U{n}") for n in range(8)] == [None if n % 2 == 0 else f"name {n}" for n in range(8)]


def test_versions_are_committed_in_their_order(names):
    seen: list[int] = []
    together(lambda n: seen.append(names.rename(f"U{n}", "x")), 8)
    assert len(set(seen)) == 8
    assert names.rename("U1", "y") > max(seen)


@pytest.mark.parametrize("engine", DIRECT, indirect=True)  # elsewhere every write is a transaction
def test_an_append_of_its_own_cannot_announce(names):
    with pytest.raises(TypeError):
        names.announce_alone()


def test_under_a_key_and_where_it_may_be_stale_the_database_is_asked(names, tenant):
    names.get("U1")
    for scope in (tenant.idempotent("k1"), tenant.stale()):
        assert loaded(lambda scope=scope: names_of(scope).get("U1")) == 1


def test_nothing_is_kept_while_nothing_is_heard(names):
    with hushed(names):
        assert loaded(lambda: [names.get("U1"), names.get("U1")]) == 2
    assert loaded(lambda: [names.get("U1"), names.get("U1")]) == 1


def test_a_change_while_an_answer_is_on_its_way_keeps_it_out(names, change_during_load):
    assert change_during_load() is None
    assert names.get("U1") == "ada"


def test_control_without_the_generation_it_stays(names, change_during_load, monkeypatch):
    memory = memory_of(names)
    keep = memory.keep
    unchecked = lambda shelf, key, value, _: keep(shelf, key, value, shelf.subject.generation)  # noqa: E731
    monkeypatch.setattr(memory, "keep", unchecked)
    assert change_during_load() is None
    assert names.get("U1") is None


@pytest.fixture
def change_during_load(names, tenant, open_store, database_url):
    """Gives what a caller gets whose answer was read before a change, and comes after the notice of it."""
    writer = names_of(open_store("sync", database_url).tenant(tenant.key))

    def change() -> Any:
        heard, got = live.hearing(names), []
        with live.held() as (read, released):
            reader = threading.Thread(target=lambda: got.append(names.get("U1")), daemon=True)
            reader.start()
            assert read.wait(10)
            writer.rename("U1", "ada")
            assert until(lambda: heard)
            released.set()
            reader.join(10)
        return got[0]

    return change


@pytest.mark.parametrize("noticed", ["here", "elsewhere"])
def test_a_deleted_tenant_is_answered_from_no_memory(names, others, store, tenant, noticed):
    names.rename("U1", "ada")
    assert names.get("U1") == "ada"
    assert until(lambda: others.get("U1") == "ada")
    assert until(lambda: loaded(lambda: others.get("U1")) == 0)
    time.sleep(0.3)
    others.get("U1")
    store.tenants.soft_delete(tenant.key)
    asked = names if noticed == "here" else others

    def refused() -> bool:
        try:
            asked.get("U1")
        except errors.TenantDeleted:
            return True
        return False

    assert refused() if noticed == "here" else until(refused)
    store.tenants.restore(tenant.key)
    assert asked.get("U1") == "ada"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_tenant_whose_rows_are_replaced_is_answered_from_no_memory(names, others, store, tenant, tmp_path):
    names.rename("U1", "ada")
    store.upkeep.backup(tmp_path / "t.backup", unauthenticated=True, tenant=tenant.key)
    for _ in range(2):
        names.rename("U1", "grace")
    assert until(lambda: others.get("U1") == "grace")
    time.sleep(0.3)
    others.get("U1")
    store.upkeep.restore(tmp_path / "t.backup", unauthenticated=True, tenant=tenant.key, replace=True)
    assert names.get("U1") == "ada"
    assert until(lambda: others.get("U1") == "ada")


def test_a_feed_gives_what_comes_and_waits_for_more(names, others):
    seen = Following(others)
    expected = [f"name {n}" for n in range(8)]
    for name in expected:
        names.rename("U1", name)
    assert until(lambda: seen.items == expected)
    names.rename("U1", "last")
    seen.thread.join(10)
    assert seen.items == [*expected, "last"]


def test_a_feed_makes_up_for_a_missed_notice(names, others, monkeypatch):
    monkeypatch.setattr("undercroft.core.runtime.feeding.HEAL", 0.3)
    seen = Following(others)
    monkeypatch.setattr(memory_of(others), "hear", lambda _: None)
    names.rename("U1", "last")
    seen.thread.join(10)
    assert seen.items == ["last"]


def told_unheard(names: Any, others: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What another store reads of a change that its feed has told of, and nobody else."""
    monkeypatch.setattr("undercroft.core.runtime.feeding.HEAL", 0.3)
    heard = live.hearing(others)
    version = names.rename("U1", "first")
    assert until(lambda: any(notice.endswith(f":{version}") for notice in heard))  # later, it would take "first" along
    assert until(lambda: others.get("U1") == "first")
    assert until(lambda: loaded(lambda: others.get("U1")) == 0)
    seen = Following(others)
    monkeypatch.setattr(memory_of(others), "hear", lambda _: None)
    names.rename("U1", "last")
    seen.thread.join(10)
    assert seen.items == ["last"]
    return others.get("U1")


def test_what_a_feed_has_told_of_is_read_no_older(names, others, monkeypatch):
    assert told_unheard(names, others, monkeypatch) == "last"


def test_control_without_forgetting_it_is_read_as_it_was(names, others, monkeypatch):
    monkeypatch.setattr(memory_of(others), "overtaken", lambda *_: None)
    assert told_unheard(names, others, monkeypatch) == "first"


def test_control_without_looking_now_and_then_it_waits_for_ever(names, others, monkeypatch):
    monkeypatch.setattr("undercroft.core.runtime.feeding.HEAL", 60)
    seen = Following(others)
    monkeypatch.setattr(memory_of(others), "hear", lambda _: None)
    names.rename("U1", "last")
    seen.thread.join(1)
    assert seen.items == []
    monkeypatch.undo()
    names.rename("U1", "last")
    seen.thread.join(10)


def test_a_feed_ends_when_its_store_is_closed(names, open_store, colour, database_url, tenant):
    store = open_store(colour, database_url)
    seen = Following(listening(names_of(store.tenant(tenant.key))))
    names.rename("U1", "ada")
    assert until(lambda: seen.items == ["ada"])
    store.close()
    seen.thread.join(5)
    assert not seen.thread.is_alive()
    assert seen.ended is None


def test_a_feed_of_a_deleted_tenant_raises(names, others, store, tenant):
    seen = Following(others)
    store.tenants.soft_delete(tenant.key)
    seen.thread.join(10)
    assert isinstance(seen.ended, errors.TenantDeleted)


def test_a_feed_is_no_part_of_a_transaction(names, tenant):
    with tenant.transaction() as tx, pytest.raises(errors.InvalidInput):
        names_of(tx).watch()
    with pytest.raises(errors.InvalidInput):
        names_of(tenant.idempotent("k")).watch()


class Following:
    """A thread that follows a feed from now on until it says ``last``."""

    def __init__(self, names: Any) -> None:
        self.items: list[str] = []
        self.ended: BaseException | None = None
        live.begun.clear()
        self.thread = threading.Thread(target=self._follow, args=(names,), daemon=True)
        self.thread.start()
        assert live.begun.wait(10)

    def _follow(self, names: Any) -> None:
        try:
            for name in names.watch():
                self.items.append(name)
                if name == "last":
                    break
        except errors.UndercroftError as error:
            self.ended = error


def together(call: Callable[[int], object], times: int) -> None:
    threads = [threading.Thread(target=call, args=(n,)) for n in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
