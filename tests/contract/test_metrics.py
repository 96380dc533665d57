"""Metrics: what is told of them is what a count from scratch tells, rolled up or not."""

import math
import threading
from datetime import UTC, datetime, timedelta
from itertools import groupby

import pytest

from undercroft import errors
from undercroft.metrics import NewMeasurement, rollups
from undercroft.metrics.rules import ACCURACY, bucket_of

NAME = "slack_response_time"
DAY = datetime(2026, 5, 17, tzinfo=UTC)
WINDOW = {"since": DAY, "until": DAY + timedelta(hours=47, minutes=59)}


def measured(count, begin=DAY):
    """Measurements of two days, some of them of the same minute, negative, zero and large ones among them."""
    return [
        NewMeasurement(NAME, ((number * 7919) % 1000 - 100) / 7.0, "ms", at=begin + timedelta(seconds=number * 977.5))
        for number in range(count)
    ]


def naive(measurements, bucket):
    """What they add up to, counted from scratch: beginning, count, sum, minimum, maximum, three percentiles."""
    told = []
    for start, group in groupby(measurements, key=lambda one: bucket_of(one.at, bucket)):
        values = sorted(one.value for one in group)
        ranks = [values[max(1, math.ceil(share * len(values))) - 1] for share in (0.5, 0.95, 0.99)]
        told.append((start, len(values), sum(values), values[0], values[-1], ranks))
    return told


def equal(summary, measurements, bucket, total_seconds):
    seconds = {"minute": 60, "hour": 3600, "day": 86400}[bucket]
    expected = naive(measurements, bucket)
    assert len(summary.buckets) == len(expected)
    for one, (start, count, added, lowest, highest, ranks) in zip(summary.buckets, expected, strict=True):
        assert (one.start, one.seconds, one.count, one.min, one.max) == (start, seconds, count, lowest, highest)
        assert one.sum == pytest.approx(added)
        assert one.mean == pytest.approx(added / count)
        assert one.rate == pytest.approx(count / seconds)
        for quantile, rank in zip((one.p50, one.p95, one.p99), ranks, strict=True):
            assert abs(quantile - rank) <= ACCURACY * abs(rank) * (1 + 1e-9)
    assert summary.total.count == len(measurements)
    assert summary.total.rate == pytest.approx(len(measurements) / total_seconds)
    assert summary.total.sum == pytest.approx(sum(one.value for one in measurements))


def test_a_measurement_comes_back_as_it_was(tenant):
    logged = tenant.metrics.log(NAME, 0.85, unit="seconds", data={"endpoint": "/slack", "users": 5})
    dated = tenant.metrics.log(NAME, 2, at=DAY)
    assert (logged.value, logged.unit, logged.data) == (0.85, "seconds", {"endpoint": "/slack", "users": 5})
    assert (dated.at, dated.value, dated.unit, dated.data) == (DAY, 2.0, None, None)
    tenant.metrics.log("memory", 1e300)
    assert tenant.metrics.query(NAME) == [logged, dated]
    assert [one.name for one in tenant.metrics.query()] == ["memory", NAME, NAME]
    assert tenant.metrics.query(NAME, since=DAY, until=DAY + timedelta(seconds=1)) == [dated]
    assert tenant.metrics.query(NAME, until=DAY) == []
    assert tenant.metrics.query(NAME, before=logged.id) == [dated]


def test_bounds_of_a_query_are_exact_to_the_microsecond(tenant):
    moments = [DAY + timedelta(microseconds=number) for number in (0, 1, 999, 1000, 1001)]
    tenant.metrics.log_many([NewMeasurement(NAME, number, at=at) for number, at in enumerate(moments)])
    for since in moments:
        for until in moments:
            found = tenant.metrics.query(NAME, since=since, until=until)
            assert sorted(one.at for one in found) == [at for at in moments if since <= at < until]


@pytest.mark.parametrize("bucket", ["minute", "hour", "day"])
def test_numbers_are_those_of_a_count_from_scratch(tenant, bucket):
    all_of_them = measured(170)
    for part in (all_of_them[:100], all_of_them[100:]):
        tenant.metrics.log_many(part)
        stored = all_of_them[: len(tenant.metrics.query(limit=1000))]
        seconds = 2 * 86_400
        before = tenant.metrics.summary(NAME, **WINDOW, bucket=bucket)
        equal(before, stored, bucket, seconds)
        assert tenant.metrics.roll_up() == len(part)
        assert tenant.metrics.roll_up() == 0
        equal(tenant.metrics.summary(NAME, **WINDOW, bucket=bucket), stored, bucket, seconds)
    assert tenant.metrics.summary(NAME, **WINDOW).unit == "ms"
    assert tenant.metrics.summary("nothing", **WINDOW).total is None


def test_what_comes_late_is_counted_once(tenant, monkeypatch):
    monkeypatch.setattr(rollups, "BATCH", 7)
    on_time, late = measured(40), measured(40)[::2]
    tenant.metrics.log_many(on_time)
    assert tenant.metrics.roll_up() == 40
    tenant.metrics.log_many(late)
    assert tenant.metrics.roll_up() == 20
    together = sorted([*on_time, *late], key=lambda one: one.at)
    equal(tenant.metrics.summary(NAME, **WINDOW), together, "hour", 2 * 86_400)


def test_many_who_roll_up_at_once_count_each_measurement_once(tenant, monkeypatch):
    monkeypatch.setattr(rollups, "BATCH", 10)
    tenant.metrics.log_many(measured(60))
    taken = []
    threads = [threading.Thread(target=lambda: taken.append(tenant.metrics.roll_up())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tenant.metrics.roll_up()
    equal(tenant.metrics.summary(NAME, **WINDOW), measured(60), "hour", 2 * 86_400)


def test_readers_wait_for_nothing_while_somebody_rolls_up(tenant):
    tenant.metrics.log_many(measured(20))
    with tenant.transaction() as tx:
        tx.metrics.roll_up()
        found = []
        reader = threading.Thread(target=lambda: found.append(tenant.metrics.summary(NAME, **WINDOW)))
        reader.start()
        reader.join(10)
        equal(found[0], measured(20), "hour", 2 * 86_400)


def test_single_measurements_go_and_what_they_add_up_to_stays(tenant):
    tenant.metrics.log_many(measured(50))
    tenant.metrics.log("now", 1)
    assert tenant.metrics.cleanup(raw_days=1) == 0  # what is not rolled up stays
    tenant.metrics.roll_up()
    tenant.metrics.log(NAME, 1, at=DAY)
    assert tenant.metrics.cleanup(raw_days=1, minute_days=10_000) == 50
    assert [one.name for one in tenant.metrics.query()] == ["now", NAME]
    total = tenant.metrics.summary(NAME, **WINDOW, bucket="day").total
    assert total.count == 51
    assert tenant.metrics.cleanup(minute_days=1, hour_days=1) == 50 + len(naive(measured(50), "hour"))
    assert tenant.metrics.summary(NAME, **WINDOW, bucket="day").total == total
    assert tenant.metrics.summary(NAME, **WINDOW, bucket="hour").total.count == 1


def test_the_list_tells_what_is_measured(tenant):
    tenant.metrics.log("b", 1, unit="ms")
    tenant.metrics.log("b", 3, unit="ms")
    tenant.metrics.roll_up()
    tenant.metrics.log("b", 5, unit="ms")
    tenant.metrics.log("a", 7)
    tenant.metrics.log("old", 7, at=DAY)
    listed = tenant.metrics.list()
    assert [(one.name, one.unit, one.count, one.mean, one.min, one.max) for one in listed] == [
        ("a", None, 1, 7, 7, 7),
        ("b", "ms", 3, 3, 1, 5),
    ]


def test_a_tenant_has_its_own_metrics(new_tenant):
    one, other = new_tenant(), new_tenant()
    one.metrics.log(NAME, 1)
    one.metrics.roll_up()
    assert other.metrics.query() == []
    assert other.metrics.list() == []
    assert other.metrics.summary(NAME).total is None
    assert (other.metrics.roll_up(), other.metrics.cleanup()) == (0, 0)
    other.metrics.log(NAME, 5)
    other.metrics.roll_up()
    assert one.metrics.summary(NAME).total.sum == 1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda metrics: metrics.log("", 1),
        lambda metrics: metrics.log("x" * 201, 1),
        lambda metrics: metrics.log(NAME, math.nan),
        lambda metrics: metrics.log(NAME, math.inf),
        lambda metrics: metrics.log(NAME, "1"),
        lambda metrics: metrics.log(NAME, 1, at=datetime(2026, 1, 1)),  # noqa: DTZ001 - what is refused
        lambda metrics: metrics.log_many([NewMeasurement(NAME, 1), NewMeasurement(NAME, math.nan)]),
        lambda metrics: metrics.summary(NAME, bucket="week"),
        lambda metrics: metrics.summary(NAME, hours=0),
        lambda metrics: metrics.list(hours=-1),
        lambda metrics: metrics.query(limit=0),
        lambda metrics: metrics.cleanup(raw_days=0),
    ],
    ids=[
        "no name",
        "long name",
        "NaN",
        "infinity",
        "text",
        "naive moment",
        "a bad one among good ones",
        "unknown bucket",
        "no period",
        "negative period",
        "empty page",
        "no days",
    ],
)
def test_wrong_calls_are_refused_and_change_nothing(tenant, wrong):
    with pytest.raises(errors.InvalidInput):
        wrong(tenant.metrics)
    assert tenant.metrics.query() == []
