"""Sessions: one active for a user and channel, kept over restarts."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from undercroft import errors
from undercroft.core import ids, tx as tx_module


def test_a_session_is_started_found_touched_and_ended(tenant):
    begun = tenant.sessions.start(
        "U1", channel="C1", team="T1", current_database="SALES", preferences={"theme": "dark"}
    )
    assert (begun.user, begun.channel, begun.team, begun.current_database) == ("U1", "C1", "T1", "SALES")
    assert (begun.preferences, begun.ended_at) == ({"theme": "dark"}, None)
    assert tenant.sessions.active("U1", channel="C1") == begun == tenant.sessions.get(begun.id)
    touched = tenant.sessions.touch(begun.id)
    assert touched.last_activity_at > begun.last_activity_at
    assert tenant.sessions.end(begun.id) is True
    assert tenant.sessions.end(begun.id) is False
    assert tenant.sessions.active("U1", channel="C1") is None
    assert tenant.sessions.get(begun.id).ended_at is not None


def test_starting_again_goes_on_with_the_active_one(tenant):
    begun = tenant.sessions.start("U1", channel="C1", team="T1", current_database="A", preferences={"a": 1, "b": 1})
    again = tenant.sessions.start("U1", channel="C1", current_database="B", preferences={"b": 2, "c": {"d": None}})
    assert (again.id, again.started_at, again.team, again.current_database) == (begun.id, begun.started_at, "T1", "B")
    assert again.preferences == {"a": 1, "b": 2, "c": {"d": None}}
    assert again.last_activity_at > begun.last_activity_at
    assert tenant.sessions.start("U1", channel="C2").id != begun.id
    assert tenant.sessions.start("U2", channel="C1").id != begun.id
    tenant.sessions.end(begun.id)
    assert tenant.sessions.start("U1", channel="C1").id != begun.id


def test_the_context_survives_a_restart(tenant, open_store, colour, database_url):
    begun = tenant.sessions.start("U1", channel="C1", preferences={"n": 2**53, "words": ["ä", "☃"]})
    saved = tenant.sessions.save(begun.id, current_database="SALES", preferences={"tz": "CET"})
    with open_store(colour, database_url) as other:
        assert other.tenant(tenant.key).sessions.active("U1", channel="C1") == saved
    assert saved.preferences == {"n": 2**53, "words": ["ä", "☃"], "tz": "CET"}


def test_what_two_save_at_once_is_kept(tenant):
    begun = tenant.sessions.start("U1")

    def save(name: str) -> None:
        tenant.sessions.save(begun.id, preferences={name: True})

    threads = [threading.Thread(target=save, args=(f"p{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tenant.sessions.get(begun.id).preferences == {f"p{n}": True for n in range(8)}


def test_only_one_of_many_at_once_starts_it(tenant):
    found = []
    threads = [threading.Thread(target=lambda: found.append(tenant.sessions.start("U1").id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_idle_sessions_are_ended_once(tenant, monkeypatch):
    now = datetime.now(UTC)
    monkeypatch.setattr(tx_module, "utc_now", lambda: now - timedelta(hours=25))
    idle = tenant.sessions.start("U1")
    kept = tenant.sessions.start("U2")
    monkeypatch.undo()
    tenant.sessions.touch(kept.id)
    assert tenant.sessions.cleanup(hours=26) == 0
    assert tenant.sessions.cleanup(hours=24) == 1
    assert tenant.sessions.cleanup(hours=24) == 0
    assert [session.id for session in tenant.sessions.list(active=True)] == [kept.id]
    assert tenant.sessions.get(idle.id).ended_at is not None


def test_list_by_filter_and_page(tenant):
    for number in range(6):
        begun = tenant.sessions.start(f"U{number % 2}", channel=f"C{number}")
        if number < 2:
            tenant.sessions.end(begun.id)
    assert [session.channel for session in tenant.sessions.list()] == [f"C{n}" for n in reversed(range(6))]
    assert [session.channel for session in tenant.sessions.list(user="U1", active=True)] == ["C5", "C3"]
    assert [session.channel for session in tenant.sessions.list(channel="C0")] == ["C0"]
    page = tenant.sessions.list(limit=4)
    assert [session.channel for session in tenant.sessions.list(before=page[-1].id)] == ["C1", "C0"]


def test_a_tenant_has_its_own_sessions(new_tenant):
    one, other = new_tenant(), new_tenant()
    begun = one.sessions.start("U1", channel="C1")
    assert other.sessions.active("U1", channel="C1") is None
    for call in (other.sessions.get, other.sessions.touch, other.sessions.save):
        with pytest.raises(errors.NotFound):
            call(begun.id)
    assert other.sessions.end(begun.id) is False
    assert one.sessions.active("U1", channel="C1") == begun


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda sessions: sessions.start(""), errors.InvalidInput),
        (lambda sessions: sessions.start("U\0"), errors.InvalidInput),
        (lambda sessions: sessions.start("U1", preferences={"x": float("nan")}), errors.InvalidInput),
        (lambda sessions: sessions.cleanup(hours=0), errors.InvalidInput),
        (lambda sessions: sessions.list(limit=0), errors.InvalidInput),
        (lambda sessions: sessions.get(ids.new()), errors.NotFound),
        (lambda sessions: sessions.touch(ids.new()), errors.NotFound),
        (lambda sessions: sessions.save(ids.new(), preferences={}), errors.NotFound),
    ],
    ids=["no user", "NUL", "NaN", "no period", "empty page", "unknown", "touch unknown", "save unknown"],
)
def test_wrong_calls_are_refused_and_change_nothing(tenant, wrong, error):
    with pytest.raises(error):
        wrong(tenant.sessions)
    assert tenant.sessions.list() == []


def test_an_ended_session_is_neither_touched_nor_saved(tenant):
    begun = tenant.sessions.start("U1")
    tenant.sessions.end(begun.id)
    for call in (tenant.sessions.touch, tenant.sessions.save):
        with pytest.raises(errors.NotFound):
            call(begun.id)
