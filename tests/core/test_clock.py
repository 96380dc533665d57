from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from undercroft.core import clock
from undercroft.errors import InvalidInput

FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
EAST = timezone(timedelta(hours=14))


def test_now_is_aware_and_in_utc():
    assert clock.utc_now().tzinfo is UTC
    assert abs(clock.utc_now() - datetime.now(EAST)) < timedelta(minutes=1)


def test_an_aware_datetime_is_the_same_moment_in_utc():
    tokyo = datetime(2024, 5, 1, 21, 30, tzinfo=ZoneInfo("Asia/Tokyo"))
    assert clock.require_aware(tokyo, "since") == tokyo
    assert clock.require_aware(tokyo, "since").isoformat() == "2024-05-01T12:30:00+00:00"


@pytest.mark.parametrize("value", [datetime(2024, 5, 1), "2024-05-01T00:00:00Z", 1714521600, None])  # noqa: DTZ001
def test_anything_else_is_refused_by_the_name_of_its_field(value):
    with pytest.raises(InvalidInput) as refused:
        clock.require_aware(value, "since")
    assert refused.value.field == "since"
    with pytest.raises(InvalidInput):
        clock.micros(value)


@pytest.mark.parametrize(
    "value", [datetime.min.replace(tzinfo=EAST), datetime.max.replace(tzinfo=timezone(-timedelta(hours=1)))]
)
def test_a_moment_that_utc_has_no_year_for_is_refused(value):
    with pytest.raises(InvalidInput):
        clock.require_aware(value, "since")


@given(st.datetimes(timezones=st.sampled_from([UTC, EAST, ZoneInfo("America/New_York"), ZoneInfo("Asia/Kathmandu")])))
def test_microseconds_are_exact(moment):
    try:
        in_utc = clock.require_aware(moment, "moment")
    except InvalidInput:
        return
    count = clock.micros(moment)
    assert timedelta(microseconds=count) == in_utc - clock.EPOCH
    assert clock.from_micros(count) == in_utc  # not `moment`: across zones an ambiguous time equals nothing (PEP 495)


def test_the_ends_of_time():
    assert (clock.micros(FIRST), clock.micros(LAST)) == (-62135596800000000, 253402300799999999)
    assert (clock.from_micros(-62135596800000000), clock.from_micros(253402300799999999)) == (FIRST, LAST)
    assert clock.from_micros(-1) == datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


@pytest.mark.parametrize("count", [253402300800000000, -62135596800000001, 10**30, 1.0, True, "1", None])
def test_no_other_count_is_a_moment(count):
    with pytest.raises(InvalidInput):
        clock.from_micros(count)


@pytest.mark.parametrize(
    ("ts", "moment"),
    [
        ("1562120917.000300", datetime(2019, 7, 3, 2, 28, 37, 300, tzinfo=UTC)),
        ("1562120917.0003", datetime(2019, 7, 3, 2, 28, 37, 300, tzinfo=UTC)),
        ("1562120917", datetime(2019, 7, 3, 2, 28, 37, tzinfo=UTC)),
        ("9999999999.999999", datetime(2286, 11, 20, 17, 46, 39, 999999, tzinfo=UTC)),  # a float ends in 1.0
        ("0.000001", datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
    ],
)
def test_slack_timestamps_are_exact(ts, moment):
    assert clock.from_slack_ts(ts) == moment


@given(st.integers(0, 253402300799999999))
def test_slack_timestamps_keep_every_digit(count):
    assert clock.micros(clock.from_slack_ts(f"{count // 1_000_000}.{count % 1_000_000:06}")) == count


@pytest.mark.parametrize(
    "ts",
    [
        "",
        ".",
        "1562120917.",
        ".000300",
        "-1.000000",
        "+1.0",
        " 1562120917.000300",
        "1562120917.000300\n",
        "1e9",
        "nan",
        "1562120917,000300",
        "1562120917.0003001",
        "1562120917.00030\uff10",
        "253402300800.000000",
        "9" * 40,
        1562120917.0003,
        1562120917,
        None,
        b"1562120917.000300",
    ],
)
def test_what_is_no_slack_timestamp_is_refused(ts):
    with pytest.raises(InvalidInput):
        clock.from_slack_ts(ts)
