"""The audit trail: written once, read in several ways."""

import asyncio
import hashlib
import json
import time
from datetime import timedelta

import pytest

from undercroft import AsyncStore, errors
from undercroft.audit.rules import event_bytes, event_hash
from undercroft.core.clock import utc_now


def test_an_event_is_kept_as_it_was_told(tenant):
    before = utc_now()
    written = tenant.audit.log(
        "config.set",
        by="U1",
        description="greeting",
        resource_type="config",
        resource_id="greeting",
        ip="192.0.2.7",
        user_agent="bot/1",
        data={"old": None, "new": "Hej", "n": 3},
    )
    [read] = tenant.audit.recent()
    assert read == written
    assert (read.category, read.action, read.status) == ("config", "set", "success")
    assert before <= read.occurred_at <= utc_now()
    assert read.data == {"old": None, "new": "Hej", "n": 3}


def test_newest_first_and_by_page(tenant):
    for n in range(5):
        tenant.audit.log("step", data={"n": n})
    assert [event.data["n"] for event in tenant.audit.recent()] == [4, 3, 2, 1, 0]
    first = tenant.audit.search(limit=2)
    rest = tenant.audit.search(limit=5, before=first[-1].id)
    assert [event.data["n"] for event in first + rest] == [4, 3, 2, 1, 0]


def test_search_by_each_filter(tenant):
    start = utc_now()
    tenant.audit.log("config.set", by="U1", resource_type="config", resource_id="a")
    tenant.audit.log("config.set", by="U2", resource_type="config", resource_id="b", status="failure")
    tenant.audit.log("query.run", by="U1", category="data", status="denied")

    def types(**filters):
        return [event.event_type for event in tenant.audit.search(**filters)]

    assert types(by="U1") == ["query.run", "config.set"]
    assert types(event_type="config.set") == ["config.set", "config.set"]
    assert types(category="data") == ["query.run"]
    assert types(status="failure") == ["config.set"]
    assert types(resource_type="config", resource_id="b") == ["config.set"]
    assert types(since=start, until=start + timedelta(hours=1)) == ["query.run", "config.set", "config.set"]
    assert types(until=start - timedelta(seconds=1)) == []
    assert [event.status for event in tenant.audit.failures(hours=1)] == ["denied", "failure"]


@pytest.mark.parametrize(
    ("event_type", "fields", "field"),
    [
        ("", {}, "event_type"),
        ("a.b", {"status": "perhaps"}, "status"),
        ("a.b", {"data": {"x": float("nan")}}, "$.data.x"),
        ("a.b", {"data": {"x": 2**53}}, "$.data.x"),
        ("a.b", {"description": "a\0b"}, "$.description"),
    ],
)
def test_what_cannot_be_kept_exactly_is_refused_and_nothing_is_written(tenant, event_type, fields, field):
    with pytest.raises(errors.InvalidInput) as refused:
        tenant.audit.log(event_type, **fields)
    assert refused.value.field == field
    assert tenant.audit.recent() == []


def test_a_wrong_page_or_period_is_refused(tenant):
    for call in (
        lambda: tenant.audit.search(limit=0),
        lambda: tenant.audit.search(limit=1001),
        lambda: tenant.audit.failures(hours=0),
        lambda: tenant.audit.search(since=utc_now().replace(tzinfo=None)),
    ):
        with pytest.raises(errors.InvalidInput):
            call()


def test_the_bytes_of_an_event_are_frozen(tenant):
    written = tenant.audit.log("config.set", by="U1", data={"b": 1, "a": "ä"})
    moment = written.occurred_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    expected = (
        f'{{"action":"set","actor":"U1","category":"config","data":{{"a":"ä","b":1}},"description":"",'
        f'"event_type":"config.set","format":1,"id":"{written.id}","occurred_at":"{moment}",'
        f'"status":"success","tenant":"{tenant.id}"}}'
    ).encode()
    ours = {"format", "id", "tenant", "occurred_at"}
    told = {key: value for key, value in json.loads(expected).items() if key not in ours}
    assert event_bytes(tenant.id, written.id, written.occurred_at, told) == expected
    assert event_hash(expected) == hashlib.sha256(b"undercroft/audit-event/1\0" + expected).digest()
    assert written.event_hash == event_hash(expected)


def test_events_logged_at_once_are_gathered_and_each_caller_gets_his_own(database_url):
    """Of 200 concurrent calls one has data that only the database could refuse; every other is stored, once."""

    async def main() -> None:
        async with AsyncStore(database_url) as store:
            key = f"slack:T{time.time_ns()}"
            await store.tenants.ensure(key)
            audit = store.tenant(key).audit
            outcomes = await asyncio.gather(*(audit.log("step", data={"n": n}) for n in range(200)))
            assert [event.data["n"] for event in outcomes] == list(range(200))
            stored = {event.id: event for event in await audit.search(limit=1000)}
            assert stored == {event.id: event for event in outcomes}

    asyncio.run(main())


def test_a_failing_gathering_is_replayed_one_by_one(database_url, monkeypatch):
    from undercroft.audit import Audit

    append = Audit.log.many.fn
    batches = []

    def picky(tx, events):
        batches.append(len(events))
        if any(event.data["n"] == 7 for event, _ in events):
            raise errors.CheckViolation
        return append(tx, events)

    monkeypatch.setattr(Audit.log.many, "fn", picky)
    monkeypatch.setattr(Audit.log.single, "fn", picky)

    async def main() -> None:
        async with AsyncStore(database_url) as store:
            key = f"slack:T{time.time_ns()}"
            await store.tenants.ensure(key)
            audit = store.tenant(key).audit
            calls = (audit.log("step", data={"n": n}) for n in range(20))
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(one).__name__ for one in outcomes].count("CheckViolation") == 1
            assert isinstance(outcomes[7], errors.CheckViolation)
            assert len(await audit.search()) == 19

    asyncio.run(main())
    assert max(batches) > 1


def test_a_cancelled_waiter_does_not_disturb_the_others(database_url):
    async def main() -> None:
        async with AsyncStore(database_url) as store:
            key = f"slack:T{time.time_ns()}"
            await store.tenants.ensure(key)
            audit = store.tenant(key).audit
            tasks = [asyncio.create_task(audit.log("step", data={"n": n})) for n in range(50)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(not isinstance(one, BaseException) for one in outcomes[1::2])
            stored = {event.data["n"] for event in await audit.search()}
            assert set(range(1, 50, 2)) <= stored

    asyncio.run(main())
