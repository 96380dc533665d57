"""Limits: taken at once or not at all, by the clock of where they are counted: the database, or Redis."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from struct import Struct
from threading import Thread

import pytest
import redis

from tests import servers
from undercroft import AsyncStore, Decision, errors
from undercroft.limits import Limits

DAY = timedelta(days=1)
COUNTER = Struct("<7d")
in_the_database = pytest.mark.parametrize("counters", ["database"], indirect=True)


@pytest.fixture(params=["database", *servers.names("valkey")], autouse=True)
def counters(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> redis.Redis | None:
    """Where is counted: None is the database."""
    if request.param == "database":
        yield None
        return
    address = servers.url(request.param)
    monkeypatch.setenv("UNDERCROFT_REDIS_URL", address)
    monkeypatch.setenv("UNDERCROFT_LIMITS_BACKEND", "redis")
    with redis.Redis.from_url(address) as client:
        yield client


def _keys(tenant, client: redis.Redis) -> list[bytes]:
    return list(client.scan_iter(f"undercroft:{{{tenant.id}}}:limit:[0-9]*"))


def _moved(tenant, client: redis.Redis | None, millis: int) -> None:
    """Let time pass for the tenant's counters: they are moved into the past."""
    if client is None:
        with tenant.transaction() as tx:
            tx.db.execute(f"UPDATE undercroft.api_rate_limit_usage SET at = at - {millis}")
        return
    for key in _keys(tenant, client):
        numbers = list(COUNTER.unpack(client.get(key)))
        numbers[3] -= millis
        client.set(key, COUNTER.pack(*numbers), keepttl=True)


def _rows(tenant, client: redis.Redis | None) -> int:
    if client is not None:
        return len(_keys(tenant, client))
    return tenant.db.fetchval("SELECT count(*) FROM undercroft.api_rate_limit_usage")


def test_a_period_allows_its_amount_and_tells_when_the_next_begins(tenant):
    tenant.limits.define("sql", 3, per="day")
    assert [tenant.limits.try_consume("sql").remaining for _ in range(3)] == [2, 1, 0]
    refused = tenant.limits.try_consume("sql")
    assert (refused.allowed, refused.remaining, refused.limit, refused.window) == (False, 0, 3, 86_400)
    tomorrow = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + DAY
    assert refused.retry_at == refused.resets_at == tomorrow
    with pytest.raises(errors.LimitExceeded) as raised:
        tenant.limits.consume("sql")
    assert (raised.value.limit, raised.value.retry_at) == ("sql", tomorrow)
    assert 0 < raised.value.retry_after <= 86_400
    assert "retry_at" in str(raised.value)


@pytest.mark.parametrize("per", ["minute", "hour", "day", "month"])
def test_each_period_ends_where_the_calendar_says_in_utc(tenant, per):
    tenant.limits.define("x", 1, per=per)
    taken = tenant.limits.consume("x")
    ends = taken.resets_at
    assert ends > datetime.now(UTC) - timedelta(seconds=1)
    zeroed = {"second": 0, "microsecond": 0} | ({} if per == "minute" else {"minute": 0})
    zeroed |= {"hour": 0} if per in {"day", "month"} else {}
    zeroed |= {"day": 1} if per == "month" else {}
    assert ends == ends.replace(**zeroed)
    assert taken.window == (ends - datetime.fromtimestamp(taken.period / 1000, UTC)).total_seconds()
    again = tenant.limits.try_consume("x")
    assert (again.allowed, again.retry_at) == (False, ends)


def test_a_bucket_refills_evenly_and_holds_no_more_than_its_burst(tenant, counters):
    tenant.limits.define("api", 60, per="hour", kind="bucket", burst=5)
    assert tenant.limits.consume("api", units=5).remaining == 0
    refused = tenant.limits.try_consume("api", units=2)
    assert not refused.allowed
    assert 119 < refused.retry_after <= 120  # a unit a minute
    _moved(tenant, counters, 119_000)
    assert not tenant.limits.try_consume("api", units=2).allowed
    _moved(tenant, counters, 1_000)
    assert tenant.limits.try_consume("api", units=2).allowed
    _moved(tenant, counters, 100 * 3_600_000)
    assert tenant.limits.check("api", units=5).allowed
    assert not tenant.limits.try_consume("api", units=6).allowed


def test_what_is_refused_succeeds_at_the_moment_that_was_told(tenant):
    tenant.limits.define("api", 20, per="second", kind="bucket", burst=1)
    for _ in range(3):
        refused = tenant.limits.try_consume("api")
        while refused.allowed:
            refused = tenant.limits.try_consume("api")
        time.sleep(refused.retry_after + 0.001)  # the engines know milliseconds
        assert tenant.limits.try_consume("api").allowed


def test_more_than_the_whole_is_never_allowed(tenant):
    tenant.limits.define("api", 5, per="day")
    refused = tenant.limits.try_consume("api", units=6)
    assert (refused.allowed, refused.retry_at, refused.retry_after, refused.remaining) == (False, None, None, 5)
    with pytest.raises(errors.LimitExceeded, match="more than the whole"):
        tenant.limits.consume("api", units=10**15)


def test_users_and_resources_have_counters_of_their_own_where_the_limit_says_so(tenant):
    tenant.limits.define("user", 1, per="day", each="user")
    tenant.limits.define("pair", 1, per="day", each="user and resource")
    tenant.limits.define("all", 3, per="day")
    for user in ("U1", "U2"):
        assert tenant.limits.try_consume("user", by=user).allowed
        assert not tenant.limits.try_consume("user", by=user, resource="other").allowed
        assert tenant.limits.try_consume("pair", by=user, resource="a").allowed
        assert tenant.limits.try_consume("pair", by=user, resource="b").allowed
        assert tenant.limits.try_consume("all", by=user, resource="a").allowed
    assert tenant.limits.consume("all").remaining == 0
    used = {(one.name, one.user, one.resource): (one.used, one.remaining) for one in tenant.limits.usage()}
    assert used == {
        ("user", "U1", None): (1, 0),
        ("user", "U2", None): (1, 0),
        ("pair", "U1", "a"): (1, 0),
        ("pair", "U1", "b"): (1, 0),
        ("pair", "U2", "a"): (1, 0),
        ("pair", "U2", "b"): (1, 0),
        ("all", None, None): (3, 0),
    }
    assert [one.name for one in tenant.limits.usage(by="U1")] == ["pair", "pair", "user"]
    with pytest.raises(errors.InvalidInput) as raised:
        tenant.limits.try_consume("user")
    assert raised.value.field == "by"
    with pytest.raises(errors.InvalidInput) as raised:
        tenant.limits.consume("pair", by="U1")
    assert raised.value.field == "resource"


def test_checking_takes_nothing(tenant, counters):
    tenant.limits.define("sql", 2, per="day")
    assert tenant.limits.check("sql", units=2).remaining == 2
    assert not tenant.limits.check("sql", units=3).allowed
    assert _rows(tenant, counters) == 0
    tenant.limits.consume("sql", units=2)
    assert not tenant.limits.check("sql").allowed


def test_a_refund_gives_back_what_was_taken_and_never_more_than_the_whole(tenant):
    tenant.limits.define("cents", 100, per="month")
    taken = tenant.limits.consume("cents", units=80)
    assert tenant.limits.refund(taken, units=30).remaining == 50
    assert tenant.limits.refund("cents", units=10).remaining == 60
    assert tenant.limits.refund("cents", units=10**15).remaining == 100
    assert tenant.limits.refund(taken).remaining == 100
    assert not tenant.limits.try_consume("cents", units=101).allowed
    refused = tenant.limits.try_consume("cents", units=101)
    tenant.limits.consume("cents", units=100)
    assert tenant.limits.refund(refused).remaining == 0  # nothing was taken
    tenant.limits.define("api", 3, per="day", kind="bucket")
    assert tenant.limits.refund("api").remaining == 3
    tenant.limits.consume("api", units=3)
    assert tenant.limits.refund("api", units=5).remaining == 3
    assert not tenant.limits.try_consume("api", units=4).allowed


@in_the_database
def test_a_refund_goes_to_the_period_that_was_taken_from(tenant):
    tenant.limits.define("sql", 5, per="day")
    taken = tenant.limits.consume("sql", units=3)
    with tenant.transaction() as tx:
        tx.db.execute("UPDATE undercroft.api_rate_limit_usage SET period = period - 86400000, ends = ends - 86400000")
    tenant.limits.consume("sql", units=4)
    yesterday = tenant.limits.check("sql").period - 86_400_000
    tenant.limits.refund(replace(taken, period=yesterday))
    assert tenant.limits.check("sql").remaining == 1
    assert tenant.db.fetchval(f"SELECT used FROM undercroft.api_rate_limit_usage WHERE period = {yesterday}") == 0


def test_several_limits_are_taken_together_or_not_at_all(tenant):
    tenant.limits.define("requests", 10, per="day", each="user")
    tenant.limits.define("tokens", 1000, per="month")
    taken = tenant.limits.consume_all({"tokens": 400, "requests": 1}, by="U1")
    assert [(one.name, one.remaining) for one in taken] == [("requests", 9), ("tokens", 600)]
    with pytest.raises(errors.LimitExceeded) as raised:
        tenant.limits.consume_all({"tokens": 700, "requests": 1}, by="U1")
    assert raised.value.limit == "tokens"
    with tenant.transaction() as tx:  # whoever catches it and goes on has taken nothing either
        with pytest.raises(errors.LimitExceeded):
            tx.limits.consume_all({"tokens": 700, "requests": 2}, by="U1")
        with pytest.raises(errors.NotFound):
            tx.limits.consume_all({"requests": 2, "unheard": 1}, by="U1")
    assert [(one.name, one.used) for one in tenant.limits.usage()] == [("requests", 1), ("tokens", 400)]


def test_in_a_transaction_it_is_undone_with_it(tenant):
    tenant.limits.define("sql", 2, per="day")

    class Stop(Exception):
        pass

    with pytest.raises(Stop), tenant.transaction() as tx:
        assert tx.limits.consume("sql", units=2).remaining == 0
        raise Stop
    assert tenant.limits.check("sql").remaining == 2
    with pytest.raises(errors.LimitExceeded), tenant.transaction() as tx:
        tx.limits.consume("sql")
        tx.audit.log("query.run")
        tx.limits.consume("sql", units=2)
    assert tenant.limits.check("sql").remaining == 2
    assert tenant.audit.recent() == []
    with tenant.transaction() as tx:
        tx.limits.consume("sql")
    assert tenant.limits.check("sql").remaining == 1


def test_a_definition_holds_from_the_next_take_on(tenant):
    tenant.limits.define("sql", 5, per="day")
    tenant.limits.consume("sql", units=4)
    tenant.limits.define("sql", 3, per="day")
    assert tenant.limits.check("sql").remaining == 0
    assert not tenant.limits.try_consume("sql").allowed
    tenant.limits.define("sql", 6, per="day")
    assert tenant.limits.consume("sql", units=2).remaining == 0
    tenant.limits.define("sql", 6, per="minute")  # another period is another counter
    assert tenant.limits.check("sql").remaining == 6
    tenant.limits.define("sql", 6, per="hour", kind="bucket")
    assert tenant.limits.consume("sql").remaining == 5
    tenant.limits.define("sql", 4, per="day", kind="bucket")
    assert tenant.limits.check("sql").remaining == 4
    assert [(one.name, one.kind, one.amount, one.per) for one in tenant.limits.list()] == [("sql", "bucket", 4, "day")]


def test_resetting_and_removing_forget_what_was_used(tenant, counters):
    tenant.limits.define("sql", 1, per="day", each="user")
    for user in ("U1", "U2", "U3"):
        tenant.limits.consume("sql", by=user)
    assert tenant.limits.reset("sql", by="U1") == 1
    assert tenant.limits.try_consume("sql", by="U1").allowed
    assert tenant.limits.reset("sql") == 3
    tenant.limits.consume("sql", by="U1")
    assert tenant.limits.remove("sql") is True
    assert tenant.limits.remove("sql") is False
    assert _rows(tenant, counters) == 0
    with pytest.raises(errors.NotFound, match="define"):
        tenant.limits.consume("sql", by="U1")


@in_the_database
def test_cleanup_removes_old_periods_and_full_buckets_only(tenant):
    tenant.limits.define("period", 9, per="day", each="user")
    tenant.limits.define("bucket", 9, per="day", kind="bucket", each="user")
    for user in ("U1", "U2"):
        tenant.limits.consume("period", by=user)
        tenant.limits.consume("bucket", by=user)
    with tenant.transaction() as tx:
        tx.db.execute(
            "UPDATE undercroft.api_rate_limit_usage SET at = at - 3456000000,"
            " ends = CASE WHEN ends = 0 THEN 0 ELSE ends - 3456000000 END WHERE user_native_id = 'U1'"
        )
    assert tenant.limits.cleanup(days=50) == 1  # the bucket
    assert tenant.limits.cleanup() == 1
    assert {one.user for one in tenant.limits.usage()} == {"U2"}
    with pytest.raises(errors.InvalidInput):
        tenant.limits.cleanup(days=-1)


def test_what_cannot_be_counted_is_refused_and_changes_nothing(tenant, counters):
    for arguments, field in (
        ({"amount": 0, "per": "day"}, "amount"),
        ({"amount": -1, "per": "day"}, "amount"),
        ({"amount": 1.5, "per": "day"}, "amount"),
        ({"amount": True, "per": "day"}, "amount"),
        ({"amount": 10**16, "per": "day"}, "amount"),
        ({"amount": 10**12, "per": "day", "kind": "bucket"}, "amount"),
        ({"amount": 1, "per": "year"}, "per"),
        ({"amount": 1, "per": "second"}, "per"),
        ({"amount": 1, "per": "month", "kind": "bucket"}, "per"),
        ({"amount": 1, "per": "day", "burst": 2}, "burst"),
        ({"amount": 1, "per": "day", "kind": "bucket", "burst": 0}, "burst"),
        ({"amount": 1, "per": "day", "kind": "window"}, "kind"),
        ({"amount": 1, "per": "day", "each": "channel"}, "each"),
    ):
        with pytest.raises(errors.InvalidInput) as raised:
            tenant.limits.define("sql", **arguments)
        assert raised.value.field == field
    assert tenant.limits.list() == []
    tenant.limits.define("sql", 5, per="day")
    for units in (0, -1, 1.0, 10**16):
        for call in (tenant.limits.consume, tenant.limits.check, tenant.limits.refund):
            with pytest.raises(errors.InvalidInput) as raised:
                call("sql", units=units)
            assert raised.value.field == "units"
    for call in (tenant.limits.consume, tenant.limits.check, tenant.limits.refund, tenant.limits.reset):
        with pytest.raises(errors.InvalidInput) as raised:
            call("")
        assert raised.value.field == "name"
    assert _rows(tenant, counters) == 0


def test_the_largest_amounts_are_counted_exactly(tenant, counters):
    tenant.limits.define("micro", 10**15, per="month")
    assert tenant.limits.consume("micro", units=10**15 - 1).remaining == 1
    assert not tenant.limits.try_consume("micro", units=2).allowed
    most = 10**18 // 86_400_000
    tenant.limits.define("bucket", most, per="day", kind="bucket")
    assert tenant.limits.consume("bucket", units=most).remaining == 0
    _moved(tenant, counters, 3_650 * 86_400_000)  # ten years
    assert tenant.limits.consume("bucket", units=most).remaining == 0


@in_the_database
def test_a_take_under_a_key_is_made_once(tenant):
    tenant.limits.define("sql", 5, per="day")
    for _ in range(2):
        assert tenant.idempotent("k").limits.consume("sql", units=2).remaining == 3
    assert tenant.limits.check("sql").remaining == 3


def test_tenants_do_not_share_a_limit(tenant, new_tenant):
    other = new_tenant()
    tenant.limits.define("sql", 1, per="day")
    tenant.limits.consume("sql")
    with pytest.raises(errors.NotFound):
        other.limits.consume("sql")
    other.limits.define("sql", 1, per="day")
    assert other.limits.consume("sql").remaining == 0
    assert len(tenant.limits.usage()) == 1


def test_threads_never_overspend(tenant):
    tenant.limits.define("sql", 25, per="day")
    allowed: list[bool] = []

    def take() -> None:
        allowed.extend(tenant.limits.try_consume("sql").allowed for _ in range(10))

    threads = [Thread(target=take) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert allowed.count(True) == 25
    assert tenant.limits.check("sql").remaining == 0


@in_the_database
def test_takes_that_come_together_share_a_statement_and_each_gets_all_or_none(tenant, database_url, monkeypatch):
    tenant.limits.define("sql", 60, per="month")
    tenant.limits.define("user", 3, per="month", each="user")
    batches: list[int] = []
    together = Limits.try_consume.many.fn

    def counted(tx, takes):
        batches.append(len(takes))
        assert len({(one.name, one.by) for one in takes}) == 1
        return together(tx, takes)

    monkeypatch.setattr(Limits.try_consume.many, "fn", counted)
    monkeypatch.setattr(Limits.consume.many, "fn", counted)

    async def main() -> None:
        async with AsyncStore(database_url) as store:
            limits = store.tenant(tenant.key).limits
            units = [1 + number % 5 for number in range(80)]
            taken = await asyncio.gather(*(limits.try_consume("sql", units=number) for number in units))
            assert [one.units for one in taken] == units
            granted = [one for one in taken if one.allowed]
            assert sum(one.units for one in granted) == 60
            assert len({one.remaining for one in granted}) == len(granted)
            assert all(one.remaining < one.units for one in taken if not one.allowed)
            calls = (limits.consume("user", by=f"U{number % 4}") for number in range(40))
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert sum(isinstance(one, errors.LimitExceeded) for one in outcomes) == 40 - 4 * 3
            assert [one.user for one in outcomes[:8] if isinstance(one, Decision)] == ["U0", "U1", "U2", "U3"] * 2
            refused = [limits.consume("unheard") for _ in range(3)] + [limits.consume("user") for _ in range(3)]
            outcomes = await asyncio.gather(*refused, return_exceptions=True)
            assert [type(one) for one in outcomes] == [errors.NotFound] * 3 + [errors.InvalidInput] * 3

    asyncio.run(main())
    assert max(batches) > 20


def test_a_bucket_is_drained_by_takes_that_come_together(tenant, database_url, counters):
    tenant.limits.define("api", 1, per="day", kind="bucket", burst=7)

    async def main() -> None:
        async with AsyncStore(database_url) as store:
            limits = store.tenant(tenant.key).limits
            taken = await asyncio.gather(*(limits.try_consume("api", units=2) for _ in range(10)))
            left = [one.remaining for one in taken if one.allowed]
            # Those who have to read the definition first come to Redis in the order in which they have read it.
            assert (left if counters is None else sorted(left, reverse=True)) == [5, 3, 1]
            assert {one.remaining for one in taken if not one.allowed} == {1}
            assert all(86_000 < one.retry_after <= 86_400 for one in taken if not one.allowed)

    asyncio.run(main())
