"""Cached results: shared by those who have the same rights, loaded once, never stale by our own doing."""

import asyncio
import threading
import time
from datetime import timedelta
from uuid import uuid4

import pytest

import undercroft
from undercroft import Settings, errors
from undercroft.core import clock, tx as tx_module
from undercroft.results import asking, ops as result_ops

SALES = {"database": "SALES", "rights": ["role:analyst"]}
SQL = "SELECT name, SUM(amount) FROM orders JOIN products ON id = product GROUP BY name"


class WarehouseError(Exception):
    pass


class Warehouse:
    """Runs queries, and counts."""

    def __init__(self, rows=((1, "a"),)):
        self.rows = rows
        self.runs = 0

    def __call__(self):
        self.runs += 1
        return self.rows


def forbidden():
    raise AssertionError("the cache should have known")


def test_a_result_is_run_once_and_then_known(tenant):
    run = Warehouse([{"name": "ä", "sum": 1.5, "none": None}, (1, 2**60)])
    first = tenant.results.get_or_run(SQL, run, **SALES)
    again = tenant.results.get_or_run(SQL, forbidden, **SALES)
    assert first.value == again.value == [{"name": "ä", "sum": 1.5, "none": None}, [1, 2**60]]
    assert (first.hit, first.stored, first.reason) == (False, True, None)
    assert (again.hit, again.stored, again.key) == (True, True, first.key)
    assert tenant.results.get(SQL, **SALES) == again
    assert run.runs == 1


def test_what_is_asked_tells_results_apart(tenant):
    asked = [
        (SQL, SALES),
        (SQL, SALES | {"database": "HR"}),
        (SQL, SALES | {"rights": ["role:admin"]}),
        (SQL, SALES | {"rights": ["role:analyst", "pii"]}),
        (SQL, SALES | {"parameters": [1]}),
        (SQL, SALES | {"parameters": ["1"]}),
        (SQL, SALES | {"parameters": {"a": 1}}),
        (SQL + " LIMIT 1", SALES),
        (SQL + " LIMIT 2", SALES),
    ]
    for number, (sql, given) in enumerate(asked):
        tenant.results.put(sql, number, **given)
    assert [tenant.results.get(sql, **given).value for sql, given in asked] == list(range(len(asked)))


def test_the_same_in_another_spelling_is_one_entry(tenant):
    kept = tenant.results.put("SELECT a, count(*) FROM t WHERE b = 'X' -- by name", 1, **SALES)
    spelled = "select A,\n\tCOUNT( * )\nfrom /* all */ \"t\" where B='X';"
    assert tenant.results.get(spelled, **SALES | {"rights": "role:analyst"}).key == kept.key
    assert tenant.results.get(spelled.replace("'X'", "'x'"), **SALES) is None


def test_a_value_is_stored_and_replaced(tenant):
    assert tenant.results.put(SQL, [1], **SALES).stored
    assert tenant.results.put(SQL, [2], **SALES).stored
    assert tenant.results.get(SQL, **SALES).value == [2]
    tenant.results.put(SQL, None, **SALES)
    assert tenant.results.get(SQL, **SALES).value is None
    assert tenant.results.stats().entries == 1


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("INSERT INTO t VALUES (1)", "not_a_read"),
        ("WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone", "not_a_read"),
        ("SELECT 1; DROP TABLE t", "not_a_read"),
        ("SELECT * INTO copy FROM t", "not_a_read"),
        ("SELECT FROM WHERE", "unparsed"),
        ("", "unparsed"),
    ],
)
def test_what_is_no_single_read_is_run_each_time(tenant, sql, reason):
    run = Warehouse()
    for _ in range(2):
        answer = tenant.results.get_or_run(sql, run, **SALES)
        assert (answer.value, answer.hit, answer.stored, answer.reason, answer.key) == (
            [[1, "a"]],
            False,
            False,
            reason,
            None,
        )
    assert run.runs == 2
    kept = tenant.results.put(sql, 1, **SALES)
    assert (kept.stored, kept.reason, kept.key) == (False, reason, None)
    assert tenant.results.get(sql, **SALES) is None
    assert tenant.results.stats().uncacheable == 3


def test_a_result_that_is_too_large_is_given_and_not_stored(tenant):
    answer = tenant.results.get_or_run(SQL, lambda: "x" * 100, max_bytes=101, **SALES)
    assert (answer.value, answer.stored, answer.reason) == ("x" * 100, False, "too_large")
    assert tenant.results.put(SQL, "x" * 100, max_bytes=101, **SALES).reason == "too_large"
    assert tenant.results.get(SQL, **SALES) is None
    assert tenant.results.put(SQL, "x" * 100, max_bytes=102, **SALES).stored
    assert tenant.results.stats().bytes == 102


def test_a_failure_is_not_cached(tenant):
    def fail():
        raise WarehouseError("no such table")

    for _ in range(2):
        with pytest.raises(WarehouseError):
            tenant.results.get_or_run(SQL, fail, **SALES)
    assert tenant.results.get_or_run(SQL, lambda: 1, **SALES).value == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda results: results.get(SQL, database="", rights="r"),
        lambda results: results.get(SQL, database="D", rights=[]),
        lambda results: results.get(SQL, database="D", rights=[""]),
        lambda results: results.get(SQL, dialect="klingon", **SALES),
        lambda results: results.get(SQL, parameters=[object()], **SALES),
        lambda results: results.put(SQL, float("nan"), **SALES),
        lambda results: results.put(SQL, {1, 2}, **SALES),
        lambda results: results.put(SQL, 1, ttl=0, **SALES),
        lambda results: results.get_or_run(SQL, forbidden, ttl=-1, **SALES),
        lambda results: results.get_or_run(SQL, lambda: {1, 2}, **SALES),
        lambda results: results.invalidate(),
        lambda results: results.invalidate(key="00", table="t"),
        lambda results: results.invalidate(key="no key"),
        lambda results: results.efficiency(days=0),
    ],
    ids=range(14),
)
def test_wrong_input_is_refused_and_stores_nothing(tenant, call):
    with pytest.raises(errors.InvalidInput):
        call(tenant.results)
    assert tenant.results.stats().entries == 0


def test_rights_must_be_given(tenant):
    with pytest.raises(TypeError, match="rights"):
        tenant.results.get(SQL, database="SALES")


def test_two_tenants_share_nothing(new_tenant):
    one, other = new_tenant(), new_tenant()
    one.results.put(SQL, "ours", **SALES)
    assert other.results.get(SQL, **SALES) is None
    assert other.results.get_or_run(SQL, lambda: "theirs", **SALES).value == "theirs"
    assert one.results.get(SQL, **SALES).value == "ours"
    assert other.results.invalidate(everything=True) == 1
    assert one.results.get(SQL, **SALES).value == "ours"


def test_a_mapping_of_users_gives_the_rights(tenant):
    tenant.users.map_database("U1", database_user="A", role="R", allowed_databases=["SALES"])
    tenant.users.map_database("U2", database_user="A", role="R", allowed_databases=["SALES", "HR"])
    tenant.users.map_database("U3", database_user="A", role="S", allowed_databases=["SALES"])
    rights = {user: tenant.users.authorize_query(user, database="SALES").rights for user in ("U1", "U2", "U3")}
    tenant.results.put(SQL, "R's", database="SALES", rights=rights["U1"])
    assert tenant.results.get(SQL, database="SALES", rights=rights["U2"]).value == "R's"
    assert tenant.results.get(SQL, database="SALES", rights=rights["U3"]) is None


# Invalidation


@pytest.fixture
def filled(tenant):
    for name, sql, database in (
        ("orders", "SELECT * FROM Orders", "SALES"),
        ("both", 'SELECT * FROM shop."Orders" o, customers c WHERE o.c = c.id', "SALES"),
        ("customers", "SELECT * FROM customers", "SALES"),
        ("elsewhere", "SELECT * FROM orders", "HR"),
        ("inside", "SELECT 1 WHERE EXISTS (SELECT 2 FROM x UNION SELECT 3 FROM (SELECT * FROM deep) d)", "SALES"),
    ):
        assert tenant.results.put(sql, name, database=database, rights="r").stored
    return tenant


@pytest.mark.parametrize(
    ("named", "removed"),
    [
        ({"table": "orders"}, 3),
        ({"table": 'other."ORDERS"'}, 3),
        ({"table": "customers"}, 2),
        ({"table": "deep"}, 1),
        ({"table": "nothing"}, 0),
        ({"table": "%"}, 0),
        ({"database": "SALES"}, 4),
        ({"database": "sales"}, 0),
        ({"table": "orders", "database": "HR"}, 1),
        ({"everything": True}, 5),
    ],
    ids=str,
)
def test_results_are_invalidated(filled, named, removed):
    assert filled.results.invalidate(**named) == removed
    assert filled.results.invalidate(**named) == 0
    stats = filled.results.stats()
    assert (stats.entries, stats.invalidated) == (5 - removed, removed)


def test_a_result_is_invalidated_by_its_key(filled):
    key = filled.results.get("SELECT * FROM customers", database="SALES", rights="r").key
    assert filled.results.invalidate(key=key) == 1
    assert filled.results.get("SELECT * FROM customers", database="SALES", rights="r") is None
    assert filled.results.stats().entries == 4


@pytest.mark.parametrize(
    "named", [{"table": "orders"}, {"everything": True}, {"database": "SALES"}, {"database": "HR"}], ids=str
)
def test_what_is_invalidated_while_it_is_loaded_is_not_stored(tenant, open_store, database_url, named):
    other = open_store("sync", database_url).tenant(tenant.key)
    concerned = named != {"database": "HR"}

    def run():
        other.results.invalidate(**named)
        return "before"

    answer = tenant.results.get_or_run(SQL, run, **SALES)
    assert (answer.value, answer.stored) == ("before", not concerned)
    assert answer.reason == ("overtaken" if concerned else None)
    assert (tenant.results.get(SQL, **SALES) is None) is concerned


def test_who_asks_after_an_invalidation_gets_what_is_true_after_it(tenant):
    started, go, answers = threading.Event(), threading.Event(), []

    def before():
        started.set()
        assert go.wait(20)
        return "before"

    async def awaited():
        return await asyncio.to_thread(before)

    is_async = type(tenant).__name__ == "Driven"
    first = threading.Thread(
        target=lambda: answers.append(tenant.results.get_or_run(SQL, awaited if is_async else before, **SALES))
    )
    first.start()
    assert started.wait(20)
    tenant.results.invalidate(table="orders")
    late = threading.Thread(target=lambda: answers.append(tenant.results.get_or_run(SQL, lambda: "after", **SALES)))
    late.start()
    time.sleep(0.1)  # it joins the load that is under way
    go.set()
    first.join(20)
    late.join(20)
    assert {answer.value: answer.reason for answer in answers} == {"before": "overtaken", "after": None}
    assert tenant.results.get(SQL, **SALES).value == "after"


# The bound, and time


@pytest.fixture
def small(open_store, colour, database_url):
    """A tenant that may have three results, each valid for a minute."""
    settings = Settings.load(database_url, max_cache_entries=3, cache_ttl_seconds=60)
    store = open_store(colour, settings=settings)
    name = f"slack:T{uuid4().hex}"
    store.tenants.ensure(name)
    return store.tenant(name)


def _known(tenant, numbers):
    return [n for n in numbers if tenant.results.get(f"SELECT {n}", **SALES) is not None]


def test_the_least_recently_used_goes_first(small):
    for number in range(3):
        small.results.put(f"SELECT {number}", number, **SALES)
        time.sleep(0.003)  # the clock that decides knows milliseconds
    assert _known(small, [0]) == [0]
    time.sleep(0.003)
    small.results.put("SELECT 3", 3, **SALES)
    assert _known(small, range(4)) == [0, 2, 3]
    stats = small.results.stats()
    assert (stats.entries, stats.evicted) == (3, 1)


def test_the_bound_holds_however_many_store_at_once(small):
    def fill(first):
        for number in range(first, first + 5):
            small.results.put(f"SELECT {number}", number, **SALES)

    threads = [threading.Thread(target=fill, args=(100 * n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    stats = small.results.stats()
    assert (stats.entries, stats.evicted) == (3, 27)


def test_a_result_is_valid_for_its_time_by_the_databases_clock(tenant, monkeypatch):
    tenant.results.put("SELECT 1", 1, ttl=0.5, **SALES)
    tenant.results.put("SELECT 2", 2, ttl=3600, **SALES)
    skewed = clock.utc_now() + timedelta(days=2)
    monkeypatch.setattr(tx_module, "utc_now", lambda: skewed)
    assert _known(tenant, [1, 2]) == [1, 2]
    monkeypatch.undo()
    assert tenant.results.cleanup() == 0
    time.sleep(0.6)
    assert _known(tenant, [1, 2]) == [2]
    assert tenant.results.stats().expired == 1
    assert tenant.results.get_or_run("SELECT 1", lambda: "new", **SALES).value == "new"
    tenant.results.put("SELECT 1", 1, ttl=0.001, **SALES)
    time.sleep(0.01)
    assert tenant.results.cleanup() == 1
    assert tenant.results.cleanup() == 0
    assert tenant.results.stats().entries == 1


# What is counted


def test_hits_and_misses_are_counted_by_the_day(tenant):
    tenant.results.get(SQL, **SALES)
    tenant.results.get_or_run(SQL, Warehouse(), **SALES)
    for _ in range(3):
        tenant.results.get(SQL, **SALES)
    tenant.results.get_or_run("DELETE FROM t", Warehouse(), **SALES)
    [day] = tenant.results.efficiency()
    assert (day.hits, day.misses, day.uncacheable, day.hit_rate) == (3, 2, 1, 0.6)
    assert (day.day.hour, day.day.minute) == (0, 0)
    view = tenant.db.fetch("SELECT hits, misses, hit_rate, uncacheable FROM undercroft.cache_efficiency")
    assert [tuple(row) for row in view] == [(3, 2, 0.6, 1)]
    [hits] = tenant.db.fetch("SELECT hits FROM undercroft.query_cache")
    assert hits[0] == 3


def test_a_hit_writes_only_once_in_a_while(tenant, monkeypatch):
    written = []
    count = asking._COUNT.fn
    monkeypatch.setattr(asking._COUNT, "fn", lambda tx, tally: (written.append(tally), count(tx, tally))[1])
    tenant.results.put(SQL, 1, **SALES)
    for _ in range(20):
        tenant.results.get(SQL, **SALES)
    assert written == []
    monkeypatch.setattr(result_ops, "RECENT", 0)
    time.sleep(0.01)
    tenant.results.get(SQL, **SALES)
    assert [sum(count for count, _ in tally.hits.values()) for tally in written] == [21]


def test_what_could_not_be_written_down_is_counted_later(tenant, monkeypatch):
    tenant.results.put(SQL, 1, **SALES)
    tenant.results.get(SQL, **SALES)

    def unreachable(*_):
        raise errors.DatabaseUnavailable

    monkeypatch.setattr(asking._COUNT, "fn", unreachable)
    with pytest.raises(errors.DatabaseUnavailable):
        tenant.results.stats()
    monkeypatch.undo()
    assert tenant.results.stats().hits == 1


# One load for many


@pytest.mark.parametrize("answers", [True, False], ids=["a result", "an error"])
def test_many_who_ask_at_once_share_one_load(tenant, answers):
    lock, runs, got = threading.Lock(), [], []
    is_async = type(tenant).__name__ == "Driven"

    def run():
        with lock:
            runs.append(1)
        time.sleep(0.3)
        if answers:
            return "loaded"
        raise WarehouseError

    async def awaited():
        return await asyncio.to_thread(run)

    def ask():
        try:
            got.append(tenant.results.get_or_run(SQL, awaited if is_async else run, **SALES).value)
        except WarehouseError:
            got.append("error")

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert got == ["loaded" if answers else "error"] * 10
    assert len(runs) == 1


def test_two_stores_share_one_load(tenant, open_store, colour, database_url):
    """As two processes do: they know of each other through the database alone."""
    other = open_store("sync", database_url).tenant(tenant.key)
    started, got = threading.Event(), []

    def run():
        started.set()
        time.sleep(0.5)
        return "loaded"

    first = threading.Thread(target=lambda: got.append(other.results.get_or_run(SQL, run, **SALES)))
    first.start()
    assert started.wait(20)
    got.append(tenant.results.get_or_run(SQL, forbidden, **SALES))
    first.join(20)
    assert [answer.value for answer in got] == ["loaded", "loaded"]


def test_the_lease_of_one_who_died_ends(tenant, open_store, colour, database_url, monkeypatch):
    other = open_store("sync", database_url).tenant(tenant.key)
    monkeypatch.setattr(asking, "LEASE", 0.4)
    monkeypatch.setattr(asking, "_release", lambda *_: False)

    def die():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        other.results.get_or_run(SQL, die, **SALES)
    begun = time.monotonic()
    assert tenant.results.get_or_run(SQL, lambda: "loaded", **SALES).stored
    assert time.monotonic() - begun > 0.2


def test_a_load_given_up_here_is_begun_again_at_once(tenant, monkeypatch):
    def die():
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(asking, "_release", lambda *_: False)
        with pytest.raises(KeyboardInterrupt):
            tenant.results.get_or_run(SQL, die, **SALES)
    begun = time.monotonic()
    assert tenant.results.get_or_run(SQL, lambda: "loaded", **SALES).stored
    assert time.monotonic() - begun < 20


async def test_whoever_waits_is_not_cancelled_with_the_one_who_loads(database_url):
    async with undercroft.AsyncStore(database_url) as store:
        name = f"slack:T{uuid4().hex}"
        await store.tenants.ensure(name)
        results = store.tenant(name).results
        started = asyncio.Event()

        async def slow():
            started.set()
            await asyncio.sleep(60)

        async def quick():
            return "loaded"

        loading = asyncio.create_task(results.get_or_run(SQL, slow, **SALES))
        await started.wait()
        waiting = [asyncio.create_task(results.get_or_run(SQL, quick, **SALES)) for _ in range(5)]
        await asyncio.sleep(0.05)
        waiting[0].cancel()
        loading.cancel()
        got = await asyncio.gather(loading, *waiting, return_exceptions=True)
        assert [isinstance(one, asyncio.CancelledError) for one in got[:2]] == [True, True]
        assert [one.value for one in got[2:]] == ["loaded"] * 4


def test_what_was_counted_is_written_down_when_the_store_closes(database_url, colour, open_store, tenant):
    closing = open_store(colour, database_url)
    results = closing.tenant(tenant.key).results
    for _ in range(3):
        results.get_or_run(SQL, lambda: "loaded", **SALES)
    closing.close()
    [day] = tenant.results.efficiency(days=1)
    assert (day.hits, day.misses) == (2, 1)


def test_a_store_closes_though_its_database_is_gone(database_url, colour, open_store, tenant, monkeypatch):
    closing = open_store(colour, database_url)
    closing.tenant(tenant.key).results.get_or_run(SQL, lambda: "loaded", **SALES)

    def gone(*_):
        raise undercroft.errors.DatabaseUnavailable

    monkeypatch.setattr("undercroft.core.dialects.base.Dialect.prepared", gone)
    closing.close()
