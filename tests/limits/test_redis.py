"""Limits counted in Redis: the script against the rules, its keys, what is undone, and what becomes of outages."""

import asyncio
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
import redis
from hypothesis import given, settings, strategies as st

from tests import servers, tls
from undercroft import AsyncStore, Settings, Store, errors
from undercroft.limits import redis_rules, rules
from undercroft.limits.records import Limit
from undercroft.limits.redis_counters import call, numbers
from undercroft.limits.rules import Count

TENANT = UUID(int=7)
START = 1_700_000_000_000


def _settings(database_url: str, redis_url: str, **more: Any) -> Settings:
    return Settings.load(database_url, redis_url=redis_url, limits_backend="redis", **more)


@pytest.fixture(params=servers.names("valkey"))
def redis_url(request: pytest.FixtureRequest) -> str:
    return servers.url(request.param)


@pytest.fixture(params=["sync", "async"])
def colour(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def store(colour, database_url, redis_url, open_store):
    return open_store(colour, settings=_settings(database_url, redis_url))


# The arithmetic


class _Script:
    """The script, whose clock is told with each call."""

    def __init__(self, client: redis.Redis, limit: Limit) -> None:
        text = redis_rules.COUNTERS.text
        told = text.replace("redis.call('TIME')", "redis.call('ECHO', ARGV[#ARGV])", 1)
        told = told.replace("time[1] * 1000 + floor(time[2] / 1000)", "tonumber(time)", 1)
        assert "TIME" not in told
        self._run = client.register_script(
            "local now_is = table.remove(ARGV)\n" + told.replace("ARGV[#ARGV]", "now_is")
        )
        self.counter = redis_rules.defined(uuid4(), limit).counter(None, None)

    def __call__(self, now: int, verb: str, *arguments: int | str) -> bytes:
        _, keys, told = call(verb, self.counter, *arguments)
        # Expiry is by the server's own clock, which would end what is counted at another time.
        return self._run(keys=keys, args=[*told, now])


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "some", "refund"]),
        st.integers(1, 12) | st.integers(1, 10**15),
        st.integers(-500, 4000) | st.integers(0, 10**12),
    ),
    max_size=30,
)
BUCKETS = st.sampled_from(["second", "minute", "hour", "day"]).flatmap(
    lambda per: st.builds(
        Limit,
        st.just("x"),
        st.just("bucket"),
        st.integers(1, 50) | st.integers(1, rules.MOST_PARTS // rules.LENGTHS[per]),
        st.just(per),
        st.integers(1, 50) | st.integers(1, rules.MOST_PARTS // rules.LENGTHS[per]),
        st.just("tenant"),
    )
)
PERIODS = st.builds(
    Limit,
    st.just("x"),
    st.just("period"),
    st.integers(1, 50) | st.integers(1, rules.MOST_UNITS),
    st.sampled_from(["minute", "hour", "day", "month"]),
    st.just(0),
    st.just("tenant"),
).map(lambda one: Limit(one.name, one.kind, one.amount, one.per, one.amount, one.each))


@settings(max_examples=300)
@given(limit=BUCKETS | PERIODS, steps=STEPS)
def test_the_script_decides_as_the_rules_do(limit, steps):
    with redis.Redis.from_url(servers.url(servers.names("valkey")[-1])) as client:
        script = _Script(client, limit)
        definition, now, count = script.counter.definition, _future(), None
        for what, units, passed in steps:
            now += passed
            stood = _stands(limit, definition, count, now)
            expected: Count | None
            if what == "refund":
                told = script(now, "give", "", units, 0)
                expected = rules.refund(stood, units, now) if stood.used else None
                assert _parts(told, stood) == (0 if expected is None else stood.used - expected.used)
            elif what == "some":
                told = script(now, "some", units, 1)
                [granted] = numbers(told)
                assert granted == min(units, rules.remaining(stood))
                expected = rules.take(stood, granted, now) if granted else None
            else:
                told = script(now, "take", units)
                expected = rules.take(stood, units, now)
                assert told[redis_rules.STATE :] == (b"0" if expected is None else b"1")
            assert definition.count(told) == (expected or stood)
            if (
                expected is not None
            ):  # where nothing changes nothing is written, and where nothing is used nothing is kept
                count = expected if expected.used else None
        client.delete(*script.counter.keys)


def _future() -> int:
    """Later than the server's own clock, by which what it keeps expires."""
    return int(time.time() * 1000) + 10**12


def _parts(told: bytes, count: Count) -> int:
    units, rest = numbers(told)
    return units * count.parts + rest


def _stands(limit: Limit, definition: redis_rules.Definition, count: Count | None, now: int) -> Count:
    """The counter as it stands at a moment: time never goes back, and a period that has ended begins anew."""
    at = now if count is None else max(count.at, now)
    period, ends = rules.started(limit.kind, limit.per, at)
    parts = definition.length if definition.refill else 1
    used = rules.drained(count, at) if count is not None and count.period == period else 0
    return Count(period, ends, used, at, limit.burst * parts, definition.refill)


@given(
    moment=st.datetimes(datetime(1970, 2, 1), datetime(2200, 1, 1)).map(lambda value: value.replace(tzinfo=UTC)),  # noqa: DTZ001 - hypothesis wants them naive
    per=st.sampled_from(["minute", "hour", "day", "month"]),
)
def test_the_script_knows_the_calendar(moment, per):
    limit = Limit("x", "period", 5, per, 5, "tenant")
    now = int(moment.timestamp()) * 1000
    with redis.Redis.from_url(servers.url(servers.names("valkey")[-1])) as client:
        script = _Script(client, limit)
        count = script.counter.definition.count(script(now, "look"))
    assert (count.period, count.ends) == rules.started("period", per, now)


def test_control_parts_in_one_number_are_not_exact(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        left = client.eval("return string.format('%.0f', tonumber(ARGV[1]) + tonumber(ARGV[2]))", 0, 10**18 - 1, 0)
    assert int(left) != 10**18 - 1


# Keys

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
TRICKY = st.sampled_from(["", "1", ":", "1:", "1:a", "a:1:", "}", "{", "index:", "index", "U1"]) | TEXT
EACH = st.sampled_from(["tenant", "user", "resource", "user and resource"])


@settings(max_examples=300)
@given(one=st.tuples(TRICKY, TRICKY, TRICKY), other=st.tuples(TRICKY, TRICKY, TRICKY))
def test_no_two_counters_have_one_key(one, other):
    def keys(name, user, resource):
        limit = Limit(name, "period", 5, "day", 5, "user and resource")
        return redis_rules.defined(TENANT, limit).counter(user or "?", resource or "?").keys

    named = [(name, user or "?", resource or "?") for name, user, resource in (one, other)]
    first, second = keys(*one), keys(*other)
    assert (first[0] == second[0]) is (named[0] == named[1])
    assert (first[1] == second[1]) is (one[0] == other[0])
    assert first[0] not in {first[1], second[1]}
    assert {key.partition("}")[0] for key in (*first, *second)} == {f"undercroft:{{{TENANT}"}


@given(user=TRICKY, resource=TRICKY)
def test_the_index_names_what_was_counted(user, resource):
    counter = redis_rules.defined(TENANT, Limit("x", "bucket", 5, "hour", 5, "user and resource")).counter(
        user or "?", resource or "?"
    )
    listed = redis_rules.Listed.read(str(counter.arguments[0]).encode())
    assert (listed.user, listed.resource, listed.length) == (user or "?", resource or "?", 3_600_000)


def test_what_the_database_cannot_store_is_refused_as_well(store, tenant):
    tenant.limits.define("user", 5, per="day", each="user")
    for user in ("a\0b", "\ud800"):
        with pytest.raises(errors.InvalidInput):
            tenant.limits.consume("user", by=user)


def test_what_is_used_up_by_time_leaves_no_key(store, tenant, redis_url):
    tenant.limits.define("bucket", 10, per="second", kind="bucket", burst=10, each="user")
    tenant.limits.define("period", 1000, per="month")
    for user in ("U1", "U2"):
        tenant.limits.consume("bucket", by=user, units=10)
    tenant.limits.refund(tenant.limits.consume("period"))
    assert [one.user for one in tenant.limits.usage()] == ["U1", "U2"]
    with redis.Redis.from_url(redis_url) as client:
        keys = list(client.scan_iter(f"undercroft:{{{tenant.id}}}:*"))
        assert len(keys) == 3  # two counters and their index: of what was given back nothing is left
        assert all(client.pttl(key) != -1 for key in keys)  # none is there for good
        deadline = time.monotonic() + 10
        while client.exists(*keys):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert tenant.limits.usage() == []
    assert tenant.limits.cleanup() == 0


def test_usage_and_reset_reach_counters_of_an_earlier_definition(store, tenant):
    tenant.limits.define("x", 9, per="day", each="user")
    tenant.limits.consume("x", by="U1", units=2)
    tenant.limits.define("x", 5, per="hour", kind="bucket", each="user")
    tenant.limits.consume("x", by="U1")
    assert [(one.user, one.used, one.limit) for one in tenant.limits.usage("x")] == [("U1", 1, 5), ("U1", 2, 9)]
    assert tenant.limits.reset("x", by="U1") == 2
    assert tenant.limits.usage() == []


def test_many_counters_are_listed_and_reset_in_batches(store, tenant, monkeypatch):
    monkeypatch.setattr("undercroft.limits.redis_counters.MOST", 3)
    tenant.limits.define("x", 9, per="day", each="user and resource")
    for user, resource in product(("U2", "U1"), "cab"):
        tenant.limits.consume("x", by=user, resource=resource)
    assert [(one.user, one.resource) for one in tenant.limits.usage()] == [*product(("U1", "U2"), "abc")]
    assert [(one.user, one.resource) for one in tenant.limits.usage(limit=4)] == [*product(("U1", "U2"), "abc")][:4]
    assert [one.user for one in tenant.limits.usage(resource="b")] == ["U1", "U2"]
    assert tenant.limits.reset("x", resource="a") == 2
    assert tenant.limits.reset("x") == 4


# Transactions


class Stop(Exception):
    pass


def test_a_transaction_that_is_undone_gives_back_what_it_took_and_takes_what_it_gave(store, tenant):
    tenant.limits.define("x", 100, per="month")
    tenant.limits.define("y", 100, per="day", kind="bucket")
    before = tenant.limits.consume("x", units=50)
    with pytest.raises(Stop), tenant.transaction() as tx:
        taken = tx.limits.consume("x", units=10)
        assert tenant_sees(taken) == 40
        tx.limits.refund(taken, units=4)
        tx.limits.refund(before, units=10**15)
        tx.limits.consume_all({"x": 3, "y": 7})
        raise Stop
    assert tenant.limits.check("x").remaining == 50
    assert tenant.limits.check("y").remaining == 100


def tenant_sees(taken) -> int:
    return taken.remaining


def test_a_savepoint_that_is_undone_gives_back_its_own_alone(store, tenant):
    tenant.limits.define("x", 100, per="month")
    with tenant.transaction() as tx:
        tx.limits.consume("x", units=1)
        with pytest.raises(Stop), tx.transaction() as inner:
            inner.limits.consume("x", units=10)
            raise Stop
        assert tx.limits.check("x").remaining == 99
        with tx.transaction() as inner:
            inner.limits.consume("x", units=20)
    assert tenant.limits.check("x").remaining == 79
    with pytest.raises(Stop), tenant.transaction() as tx:
        with tx.transaction() as inner:
            inner.limits.consume("x", units=30)
        raise Stop
    assert tenant.limits.check("x").remaining == 79


def test_a_definition_made_in_a_transaction_holds_in_it(store, tenant):
    with pytest.raises(Stop), tenant.transaction() as tx:
        tx.limits.define("x", 3, per="month")
        assert tx.limits.consume("x").remaining == 2
        raise Stop
    with pytest.raises(errors.NotFound):
        tenant.limits.consume("x")


def test_a_key_cannot_cover_what_is_counted_outside_the_database(store, tenant):
    tenant.limits.define("x", 3, per="month")
    for take in ("consume", "try_consume", "refund"):
        with pytest.raises(errors.InvalidInput, match="idempotency key"):
            getattr(tenant.idempotent("k").limits, take)("x")
    assert tenant.limits.check("x").remaining == 3


# Definitions


def test_a_process_hears_of_a_definition_that_another_has_changed(store, tenant, database_url):
    tenant.limits.define("x", 5, per="month")
    tenant.limits.consume("x")
    with Store(database_url) as other:  # which counts in the database
        other.tenant(tenant.key).limits.define("x", 3, per="month")
        _until(lambda: tenant.limits.try_consume("x", units=10**3).limit == 3)
        other.tenant(tenant.key).limits.remove("x")

    def is_gone() -> bool:
        try:
            tenant.limits.try_consume("x", units=10**3)
        except errors.NotFound:
            return True
        return False

    _until(is_gone)


def _until(true: Any) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_known_definition_costs_the_database_nothing(store, tenant, caplog):
    tenant.limits.define("x", 10**6, per="month", each="user")
    memory = (getattr(store, "_object", store))._engine.place.memory
    tenant.limits.consume("x", by="U1")
    _until(lambda: memory.alive)
    tenant.limits.consume("x", by="U1")
    with caplog.at_level("DEBUG", "undercroft.sql"):
        tenant.limits.consume("x", by="U2")
        assert tenant.limits.try_consume("x", by="U1").remaining == 10**6 - 3
    assert caplog.records == []


# Settings


def test_redis_without_an_address_is_refused_by_the_setting(monkeypatch):
    monkeypatch.delenv("UNDERCROFT_REDIS_URL", raising=False)
    with pytest.raises(errors.ConfigurationError, match="limits_backend") as raised:
        Settings.load("sqlite:///x.db", limits_backend="redis")
    assert raised.value.setting == "redis_url"


@pytest.mark.parametrize("kind", [Store, AsyncStore])
def test_without_the_package_the_extra_is_named(kind, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "redis.asyncio" if kind is AsyncStore else "redis", None)
    with pytest.raises(errors.ConfigurationError, match=r"undercroft\[redis\]") as raised:
        kind(settings=_settings(f"sqlite:///{tmp_path}/x.db", "redis://nowhere"))
    assert raised.value.setting == "limits_backend"


def test_a_store_that_counts_in_the_database_brings_no_redis(tmp_path):
    code = f"import undercroft, sys\nundercroft.Store('sqlite:///{tmp_path}/b.db').default.limits.usage()\n"
    code += "print([name for name in sys.modules if name.split('.')[0] == 'redis' or 'redis_' in name])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


# Outages


@pytest.fixture
def own_redis(tmp_path) -> Iterator[servers.Valkey]:
    with servers.own_valkey() as server:
        yield server


@pytest.fixture
def exposed(colour, database_url, own_redis, open_store) -> Any:
    """A tenant with a limit, and a store that waits for half a second, on a server of its own."""
    store = open_store(colour, settings=_settings(database_url, own_redis.url, redis_timeout=0.5))
    store.tenants.ensure("slack:T1")
    tenant = store.tenant("slack:T1")
    tenant.limits.define("x", 100, per="month", each="user")
    tenant.limits.consume("x", by="U1")
    return SimpleNamespace(tenant=tenant, store=store)


def _refused_within(seconds: float, call: Any) -> errors.RedisUnavailable:
    start = time.monotonic()
    with pytest.raises(errors.RedisUnavailable) as raised:
        call()
    assert time.monotonic() - start < seconds
    return raised.value


def _every_verb(tenant: Any) -> list[Any]:
    limits = tenant.limits
    return [
        lambda: limits.consume("x", by="U1"),
        lambda: limits.try_consume("x", by="U1"),
        lambda: limits.consume_all({"x": 1}, by="U1"),
        lambda: limits.check("x", by="U1"),
        lambda: limits.refund("x", by="U1"),
        limits.usage,
        lambda: limits.reset("x"),
        lambda: limits.lease("x", block=5, by="U1").consume(),
    ]


def test_without_redis_nothing_is_allowed_and_with_it_everything_works_again(exposed, own_redis):
    own_redis.kill()
    for verb in _every_verb(exposed.tenant):
        assert _refused_within(1.5, verb).__cause__ is not None
    own_redis.start()
    for verb in _every_verb(exposed.tenant):
        verb()


def test_a_redis_that_hangs_is_given_up_in_time(exposed, own_redis):
    with own_redis.hung():
        for verb in _every_verb(exposed.tenant):
            _refused_within(1.2, verb)
    assert exposed.tenant.limits.try_consume("x", by="U2").allowed


def test_a_redis_that_lost_its_data_counts_anew(exposed, own_redis):
    exposed.tenant.limits.consume("x", by="U1", units=99)
    with redis.Redis.from_url(own_redis.url) as client:
        client.flushall()
        client.script_flush()
    assert exposed.tenant.limits.consume("x", by="U1").remaining == 99


def test_a_transaction_that_loses_redis_is_rolled_back(exposed, own_redis):
    with pytest.raises(errors.RedisUnavailable), exposed.tenant.transaction() as tx:
        tx.audit.log("query.run")
        tx.limits.consume("x", by="U1")
        own_redis.kill()
        tx.limits.consume("x", by="U1")
    assert exposed.tenant.audit.recent() == []


def test_health_and_the_doctor_tell_whether_redis_answers(exposed, own_redis):
    found = exposed.store.health()
    assert (found.status, found.redis.answered, found.redis.address) == ("healthy", True, own_redis.url)
    report = exposed.store.doctor()
    assert "the Redis that limits are counted in answers" in report.proven
    own_redis.kill()
    found = exposed.store.health()
    assert (found.status, found.redis.answered) == ("healthy", False)
    assert "redis.unavailable" in {one.code for one in exposed.store.doctor().findings}


def test_health_says_nothing_of_a_redis_that_is_not_used(database_url, open_store, colour):
    assert open_store(colour, database_url).health().redis is None


def test_a_closed_store_takes_nothing(exposed):
    exposed.store.close()
    with pytest.raises(errors.StoreClosed):
        exposed.tenant.limits.consume("x", by="U1")


def test_no_text_shows_the_password(database_url, colour, open_store, own_redis, caplog):
    secret = "c4n4ry"
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("requirepass", secret)
    right = own_redis.url.replace("redis://", f"redis://:{secret}@")
    store = open_store(colour, settings=_settings(database_url, right))
    store.default.limits.define("x", 5, per="month")
    assert store.default.limits.consume("x").remaining == 4
    wrong = open_store(colour, settings=_settings(database_url, right.replace(secret, f"{secret}x")))
    refused = _refused_within(5, lambda: wrong.default.limits.consume("x"))
    link = getattr(wrong, "_object", wrong)._engine.redis
    seen, error = [repr(link), repr(link.address), caplog.text], refused
    while error is not None:
        seen += [str(error), repr(error)]
        error = error.__cause__
    seen += traceback.TracebackException.from_exception(refused, capture_locals=True).format()
    assert secret not in " ".join(seen)


# Together


def test_takes_that_come_together_share_a_call(database_url, redis_url, monkeypatch):
    async def main() -> None:
        async with AsyncStore(settings=_settings(database_url, redis_url)) as store:
            await store.tenants.ensure(name := f"slack:T{uuid4().hex[:12].upper()}")
            limits = store.tenant(name).limits
            await limits.define("x", 60, per="month")
            calls: list[int] = []
            link, run = store._engine.redis, store._engine.redis.run

            async def counted(script, keys, arguments):
                calls.append(len(arguments) - 5)
                return await run(script, keys, arguments)

            monkeypatch.setattr(link, "run", counted)
            await limits.try_consume("x", units=100)
            _ = [await asyncio.sleep(0.02) for _ in range(50) if not store._engine.place.memory.alive]
            await limits.try_consume("x", units=100)
            units = [1 + number % 5 for number in range(80)]
            tasks = [asyncio.create_task(limits.try_consume("x", units=number)) for number in units]
            await asyncio.sleep(0)
            tasks[0].cancel()  # who has sent the call for himself
            tasks[7].cancel()
            taken = await asyncio.gather(*tasks, return_exceptions=True)
            assert max(calls) >= 40
            granted = [one for one in taken if not isinstance(one, BaseException) and one.allowed]
            lost = 60 - sum(one.units for one in granted)
            assert 0 <= lost <= units[0] + units[7] + 4
            assert len({one.remaining for one in granted}) == len(granted)
            assert all(one.remaining < one.units for one in taken if isinstance(one, tuple) and not one.allowed)

    asyncio.run(main())


# TLS


@pytest.fixture
def over_tls(redis_url, tmp_path, loop_thread) -> Iterator[tuple[str, str]]:
    """The address of the same Redis over TLS, with its authority's certificate and without."""
    with tls.before(redis_url, tmp_path, loop_thread) as (port, ca):
        address = f"rediss://{{}}:{port}/{urlsplit(redis_url).path.strip('/') or 0}"
        yield address, f"{address}?ssl_ca_certs={ca}"


def _over(colour, database_url, address, open_store) -> Any:
    store = open_store(colour, settings=_settings(database_url, address))
    name = f"slack:T{uuid4().hex[:12].upper()}"
    store.tenants.ensure(name)
    tenant = store.tenant(name)
    tenant.limits.define("calls", 2, per="day")
    return tenant


def test_limits_are_counted_over_tls(over_tls, colour, database_url, open_store):
    tenant = _over(colour, database_url, over_tls[1].format("localhost"), open_store)
    assert [tenant.limits.try_consume("calls").allowed for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("trusting", "host"), [(False, "localhost"), (True, "127.0.0.1")], ids=["a stranger's", "another host's"]
)
def test_a_certificate_that_proves_nothing_is_not_spoken_to(  # noqa: PLR0917 - fixtures
    over_tls, colour, database_url, open_store, trusting, host
):
    tenant = _over(colour, database_url, over_tls[trusting].format(host), open_store)
    with pytest.raises(errors.RedisUnavailable):
        tenant.limits.try_consume("calls")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("file", ["/nowhere.pem", __file__], ids=["not there", "no certificate"])
def test_a_file_without_certificates_is_refused_by_the_setting(database_url, file):
    with pytest.raises(errors.ConfigurationError, match="ssl_ca_certs") as error:
        _settings(database_url, f"rediss://localhost?ssl_ca_certs={file}")
    assert error.value.setting == "redis_url"
