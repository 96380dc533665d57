"""Conversations: every message, in order, at a cost that does not grow; windows, forks, expiry."""

import json
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests import servers
from undercroft import errors
from undercroft.core import tx as tx_module
from undercroft.threads import NewMessage, changes, ops, statements

KEY = "C123:1700000000.000100"
CALLS = [{"id": "call_1", "type": "function", "function": {"name": "sql", "arguments": "{}"}}]
PARTS = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "https://x/ä.png"}}]


def said(messages):
    return [message.content for message in messages]


def positions(messages):
    return [message.position for message in messages]


def filled(tenant, count, key=KEY):
    tenant.threads.save(key, [NewMessage("user", f"m{number}") for number in range(1, count + 1)])


def test_what_is_appended_comes_back_as_it_was(tenant):
    threads = tenant.threads
    appended = [
        threads.append(
            KEY, role="user", content="Sales in May? ☃ \u2028", user="U1", metadata={"ts": "1.2", "n": None}
        ),
        threads.append(KEY, role="assistant", tool_calls=CALLS),
        threads.append(KEY, role="tool", content="", tool_call_id="call_1"),
        threads.append(KEY, role="user", content=PARTS, user="U2"),
    ]
    assert threads.messages(KEY) == appended
    assert positions(appended) == [1, 2, 3, 4]
    assert (appended[0].user, appended[0].metadata) == ("U1", {"ts": "1.2", "n": None})
    assert (appended[1].content, appended[1].tool_calls) == (None, CALLS)
    assert (appended[2].content, appended[2].tool_call_id) == ("", "call_1")
    assert appended[3].content == PARTS
    found = threads.get(KEY)
    assert (found.key, found.owner, found.messages) == (KEY, "U1", 4)
    assert found.last_activity_at == appended[-1].created_at >= found.created_at


def test_a_turn_appends_and_returns_the_window_with_it(tenant):
    threads = tenant.threads
    assert said(threads.turn(KEY, role="user", content="m1")) == ["m1"]
    for number in range(2, 24):
        window = threads.turn(KEY, role="user", content=f"m{number}", user="U9", last=5)
        assert said(window) == [f"m{n}" for n in range(max(1, number - 4), number + 1)]
    assert window == threads.messages(KEY, last=5)
    assert positions(threads.turn(KEY, role="assistant", content="m24")) == list(range(5, 25))
    assert positions(threads.turn(KEY, role="assistant", content="m25", last=1)) == [25]


def test_the_last_messages_and_those_before_them(tenant):
    filled(tenant, 60)
    page = tenant.threads.messages(KEY)
    assert positions(page) == list(range(41, 61))
    assert positions(tenant.threads.messages(KEY, last=3, before=41)) == [38, 39, 40]
    assert positions(tenant.threads.messages(KEY, before=4)) == [1, 2, 3]
    assert tenant.threads.messages(KEY, before=1) == []
    assert positions(tenant.threads.messages(KEY, last=1000, before=1000)) == list(range(1, 61))
    assert tenant.threads.messages("C1:nothing") == []


def test_a_window_of_tokens(tenant):
    filled(tenant, 300)
    threads = tenant.threads
    assert positions(threads.messages(KEY, max_tokens=250, counter=lambda _: 1)) == list(range(51, 301))
    assert positions(threads.messages(KEY, max_tokens=10**9, counter=lambda _: 0)) == list(range(1, 301))
    assert positions(threads.messages(KEY, max_tokens=25, counter=lambda m: int(m.content[1:]))) == []
    assert positions(threads.messages(KEY, max_tokens=9, counter=lambda _: 4, before=10)) == [8, 9]
    assert positions(threads.messages(KEY, max_tokens=1000, counter=lambda _: 1, last=7)) == list(range(294, 301))
    assert positions(threads.messages(KEY, max_tokens=13)) == [299, 300]
    threads.append(KEY, role="assistant", tool_calls=CALLS)
    threads.append(KEY, role="tool", content="1", tool_call_id="call_1")
    threads.append(KEY, role="user", content="Thanks")
    assert positions(threads.messages(KEY, max_tokens=2, counter=lambda _: 1)) == [303]
    assert positions(threads.messages(KEY, max_tokens=3, counter=lambda _: 1)) == [301, 302, 303]


def test_describe_tells_what_it_is_about_and_keeps_what_is_not_given(tenant):
    threads = tenant.threads
    made = threads.describe(KEY, title="Sales", owner="U1", metadata={"channel": "C123"})
    assert (made.messages, made.title, made.owner, made.metadata) == (0, "Sales", "U1", {"channel": "C123"})
    threads.append(KEY, role="user", content="hello", user="U2")
    again = threads.describe(KEY, expires_after=timedelta(minutes=1, microseconds=1))
    assert (again.id, again.title, again.owner, again.messages) == (made.id, "Sales", "U1", 1)
    assert again.expires_after == timedelta(seconds=61)
    assert threads.describe(KEY, title="Costs", expires_after=timedelta()).expires_after is None
    found = threads.get(KEY)
    assert (found.title, found.metadata) == ("Costs", {"channel": "C123"})
    assert found.last_activity_at == again.last_activity_at  # a title is no activity


def test_the_list_begins_with_the_newest_activity(tenant):
    threads = tenant.threads
    for number in range(6):
        threads.append(f"C1:{number}", role="user", content="hi", user=f"U{number % 2}")
    time.sleep(0.003)  # SQLite's clock knows milliseconds
    threads.append("C1:2", role="assistant", content="hello")
    listed = threads.list()
    assert [thread.key for thread in listed] == ["C1:2", "C1:5", "C1:4", "C1:3", "C1:1", "C1:0"]
    assert listed[0].messages == 2
    assert [thread.key for thread in threads.list(owner="U1")] == ["C1:5", "C1:3", "C1:1"]
    page = threads.list(limit=4)
    assert page == listed[:4]
    assert threads.list(before=page[-1]) == listed[4:]


def test_threads_of_one_moment_are_paged_without_loss(tenant):
    with tenant.transaction() as tx:
        for number in range(7):
            tx.threads.append(f"C1:{number}", role="user", content="hi")
    listed, before = [], None
    while page := tenant.threads.list(limit=2, before=before):
        listed += page
        before = page[-1]
    assert sorted(thread.key for thread in listed) == [f"C1:{n}" for n in range(7)]


def test_save_replaces_every_message(tenant):
    threads = tenant.threads
    filled(tenant, 5)
    threads.describe(KEY, title="Sales")
    kept = threads.messages(KEY, last=2)
    saved = threads.save(KEY, [*kept, NewMessage("assistant", "new", metadata={"a": 1})])
    assert (saved.title, saved.messages) == ("Sales", 3)
    assert said(threads.messages(KEY)) == ["m4", "m5", "new"]
    assert said(threads.turn(KEY, role="user", content="more")) == ["m4", "m5", "new", "more"]
    assert threads.save(KEY, []).messages == 0
    assert threads.messages(KEY) == []
    assert said(threads.turn(KEY, role="user", content="again")) == ["again"]


def test_a_fork_goes_on_by_itself(tenant):
    threads = tenant.threads
    filled(tenant, 5)
    threads.describe(KEY, title="Sales", owner="U1", metadata={"a": 1}, expires_after=timedelta(hours=1))
    made = threads.fork(KEY, "C1:copy", at=3)
    assert (made.title, made.owner, made.metadata, made.expires_after) == ("Sales", "U1", {"a": 1}, timedelta(hours=1))
    assert made.messages == 3
    assert said(threads.turn("C1:copy", role="user", content="other")) == ["m1", "m2", "m3", "other"]
    assert said(threads.turn(KEY, role="user", content="m6")) == [f"m{n}" for n in range(1, 7)]
    assert threads.messages("C1:copy", last=4)[:3] == threads.messages(KEY, before=4)
    assert said(threads.messages(threads.fork(KEY, "C1:whole").key)) == said(threads.messages(KEY))


def test_what_is_deleted_is_gone_and_may_begin_anew(tenant):
    threads = tenant.threads
    filled(tenant, 3)
    assert threads.delete(KEY) is True
    assert threads.delete(KEY) is False
    assert threads.messages(KEY) == []
    assert threads.list() == []
    assert positions(threads.turn(KEY, role="user", content="hi")) == [1]


def test_idleness_is_measured_by_the_databases_clock(tenant, monkeypatch):
    threads = tenant.threads
    for key in (KEY, "C1:left"):
        filled(tenant, 3, key)
        threads.describe(key, title="Sales", owner="U1", expires_after=timedelta(seconds=1))
    filled(tenant, 2, "C1:lasting")
    ahead = datetime.now(UTC) + timedelta(days=1)
    monkeypatch.setattr(tx_module, "utc_now", lambda: ahead)
    assert len(threads.messages(KEY)) == 3  # this clock is wrong, and nobody asks it
    monkeypatch.undo()
    time.sleep(1.1)
    assert threads.messages(KEY) == []
    assert [thread.key for thread in threads.list()] == ["C1:lasting"]
    for call in (threads.get, lambda key: threads.fork(key, "C1:copy")):
        with pytest.raises(errors.NotFound):
            call(KEY)
    assert said(threads.turn(KEY, role="user", content="back")) == ["back"]
    found = threads.get(KEY)
    assert (found.title, found.owner, found.messages) == (None, "U1", 1)
    assert stored(tenant) == 9
    assert (threads.cleanup(), threads.cleanup()) == (1, 0)
    assert stored(tenant) == 3  # of the one that lives again, what had expired is gone
    assert said(threads.turn(KEY, role="user", content="and on")) == ["back", "and on"]
    assert threads.cleanup(hours=1) == 0
    time.sleep(0.01)
    assert threads.cleanup(hours=1e-9) == 1


def stored(tenant):
    return tenant.db.fetchval("SELECT count(*) FROM undercroft.thread_messages")


def test_cleanup_goes_on_until_nothing_is_left(tenant, monkeypatch):
    monkeypatch.setattr(changes, "BATCH", 2)
    for number in range(5):
        tenant.threads.append(f"C1:{number}", role="user", content="hi")
    time.sleep(0.01)
    assert tenant.threads.cleanup(hours=1e-9) == 5
    assert stored(tenant) == 0


def test_a_turn_that_waited_sees_what_it_waited_for(tenant):
    assert waited_for(tenant) == ["m1", "first", "second"]


@pytest.mark.parametrize("engine", servers.names("postgresql"), indirect=True)
def test_control_without_the_second_look_the_window_has_a_hole(tenant, monkeypatch):
    """SQLite has one writer at a time: nobody reads before it is his turn."""
    monkeypatch.setattr(ops, "_between", lambda *_: [])
    assert "first" not in waited_for(tenant)


def waited_for(tenant):
    tenant.threads.append(KEY, role="user", content="m1")
    found = []
    with tenant.transaction() as tx:
        tx.threads.append(KEY, role="user", content="first")
        waiter = threading.Thread(target=lambda: found.extend(tenant.threads.turn(KEY, role="user", content="second")))
        waiter.start()
        time.sleep(0.3)
    waiter.join()
    return said(found)


def test_a_turn_within_a_transaction(tenant):
    with tenant.transaction() as tx:
        tx.threads.append(KEY, role="user", content="m1")
        assert said(tx.threads.turn(KEY, role="user", content="m2")) == ["m1", "m2"]
        assert said(tx.threads.messages(KEY)) == ["m1", "m2"]
    assert said(tenant.threads.messages(KEY)) == ["m1", "m2"]


def test_what_is_appended_twice_under_a_key_is_there_once(tenant):
    once = tenant.idempotent("slack event 7").threads
    assert once.turn(KEY, role="user", content="hi") == once.turn(KEY, role="user", content="hi")
    assert said(tenant.threads.messages(KEY)) == ["hi"]


WRITERS = """
import asyncio, json, sys
from undercroft import AsyncStore

async def main(url, tenant, process):
    async with AsyncStore(url) as store:
        await store.tenants.ensure(tenant)
        threads = store.tenant(tenant).threads

        async def task(number):
            first = await threads.append("C1:one", role="user", content=f"{process} {number} 0")
            window = await threads.turn("C1:one", role="user", content=f"{process} {number} 1", last=20)
            places = [message.position for message in window]
            assert places == list(range(places[0], places[-1] + 1)), places
            assert len(places) == min(20, places[-1]), places
            return first.position, places[-1]

        print(json.dumps(await asyncio.gather(*(task(number) for number in range(50)))))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("colour", ["sync"])
def test_four_processes_lose_nothing_at_the_first_moment(database_url, open_store, colour):
    """Each writes to one thread of a database in which nothing was ever written; a file does not even exist."""
    key = f"slack:T{time.time_ns()}"
    started = [
        subprocess.Popen([sys.executable, "-c", WRITERS, database_url, key, str(process)], stdout=subprocess.PIPE)
        for process in range(4)
    ]
    answers = [json.loads(process.communicate(timeout=100)[0]) for process in started]
    assert [process.returncode for process in started] == [0] * 4
    kept = open_store(colour, database_url).tenant(key).threads.messages("C1:one", last=1000)
    assert positions(kept) == list(range(1, 401))
    place = {message.content: message.position for message in kept}
    told = {
        f"{process} {number} {turn}": position
        for process, tasks in enumerate(answers)
        for number, task in enumerate(tasks)
        for turn, position in enumerate(task)
    }
    assert place == told
    assert all(first < second for tasks in answers for first, second in tasks)


def test_a_tenant_has_its_own_threads(new_tenant):
    one, other = new_tenant(), new_tenant()
    filled(one, 3)
    assert other.threads.messages(KEY) == []
    assert other.threads.delete(KEY) is False
    assert said(other.threads.turn(KEY, role="user", content="mine")) == ["mine"]
    assert len(one.threads.messages(KEY)) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        lambda threads: threads.append(KEY, role="bot", content="hi"),
        lambda threads: threads.append(KEY, role="user"),
        lambda threads: threads.append(KEY, role="user", tool_calls=[]),
        lambda threads: threads.append(KEY, role="user", content={"type": "text"}),
        lambda threads: threads.append(KEY, role="user", content=["hi"]),
        lambda threads: threads.append(KEY, role="user", content="N\0L"),
        lambda threads: threads.append(KEY, role="user", content=[{"x": float("nan")}]),
        lambda threads: threads.append("", role="user", content="hi"),
        lambda threads: threads.append("x" * 513, role="user", content="hi"),
        lambda threads: threads.turn(KEY, role="user", content="hi", last=0),
        lambda threads: threads.turn(KEY, role="user", content="hi", last=1001),
        lambda threads: threads.messages(KEY, last=0),
        lambda threads: threads.messages(KEY, max_tokens=0),
        lambda threads: threads.list(limit=0),
        lambda threads: threads.describe(KEY, expires_after=timedelta(-1)),
        lambda threads: threads.describe("", title="none"),
        lambda threads: threads.save(KEY, [NewMessage("user", "good"), NewMessage("user")]),
        lambda threads: threads.cleanup(hours=0),
    ],
    ids=[
        "unknown role",
        "nothing said",
        "no calls",
        "one part",
        "parts of text",
        "NUL",
        "NaN",
        "no key",
        "long key",
        "empty window",
        "long window",
        "no message",
        "no budget",
        "empty page",
        "negative period",
        "describe without key",
        "save with a bad one",
        "no period",
    ],
)
def test_wrong_calls_are_refused_and_change_nothing(tenant, wrong):
    with pytest.raises(errors.InvalidInput):
        wrong(tenant.threads)
    assert tenant.threads.list() == []


def test_a_fork_needs_a_source_and_a_free_name(tenant):
    filled(tenant, 3)
    filled(tenant, 1, "C1:taken")
    with pytest.raises(errors.AlreadyExists):
        tenant.threads.fork(KEY, "C1:taken")
    for at in (0, 4):
        with pytest.raises(errors.InvalidInput):
            tenant.threads.fork(KEY, "C1:new", at=at)
    assert [thread.key for thread in tenant.threads.list()] == ["C1:taken", KEY]
    assert said(tenant.threads.messages("C1:taken")) == ["m1"]


def test_one_statement_where_the_database_can(tenant, engine, monkeypatch):
    """The control of the speed: were the query split, this would show it."""
    seen = []
    rows = tx_module.Tx.rows
    monkeypatch.setattr(
        tx_module.Tx, "rows", lambda tx, statement, *given: seen.append(statement) or rows(tx, statement, *given)
    )
    tenant.threads.turn(KEY, role="user", content="hi")
    assert len(seen) == (2 if engine == "sqlite" else 1)
    assert (seen[0] is statements.TURN) is (engine != "sqlite")
