"""Times as people write them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from undercroft.cli import moments
from undercroft.errors import InvalidInput


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch):
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "first", "behind"),
    [
        ("2024", at(2024, 1, 1), at(2025, 1, 1)),
        ("2024-02", at(2024, 2, 1), at(2024, 3, 1)),
        ("2024-12", at(2024, 12, 1), at(2025, 1, 1)),
        ("2024-02-29", at(2024, 2, 29), at(2024, 3, 1)),
        ("2024-05-17T09:30", at(2024, 5, 17, 9, 30), at(2024, 5, 17, 9, 30)),
        ("2024-05-17T09:30:00+09:00", at(2024, 5, 17, 0, 30), at(2024, 5, 17, 0, 30)),
        ("2024-05-17 09:30Z", at(2024, 5, 17, 9, 30), at(2024, 5, 17, 9, 30)),
    ],
)
def test_a_period_begins_and_ends(text: str, first: datetime, behind: datetime):
    assert moments.since(text) == first
    assert moments.until(text) == behind


@pytest.mark.parametrize(
    ("text", "ago"), [("30d", timedelta(days=30)), ("6w", timedelta(weeks=6)), ("36h", timedelta(hours=36))]
)
def test_so_long_ago(text: str, ago: timedelta):
    assert abs(datetime.now(UTC) - ago - moments.since(text)) < timedelta(minutes=1)


def test_today_and_yesterday():
    assert moments.until("yesterday") == moments.since("today")
    assert moments.until("today") - moments.since("today") == timedelta(days=1)


def test_a_date_is_one_of_the_local_zone(monkeypatch: pytest.MonkeyPatch):
    import time

    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    assert moments.since("2024-05-17") == datetime(2024, 5, 17, tzinfo=ZoneInfo("Asia/Tokyo"))
    assert moments.since("2024-05-17").utcoffset() == timedelta(hours=9)


def test_a_day_that_the_clock_makes_longer_ends_at_midnight(monkeypatch: pytest.MonkeyPatch):
    import time

    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    assert moments.until("2024-10-27") == datetime(2024, 10, 28, tzinfo=ZoneInfo("Europe/Berlin"))
    assert moments.until("2024-10-27").astimezone(UTC) - moments.since("2024-10-27").astimezone(UTC) == timedelta(
        hours=25
    )


@pytest.mark.parametrize("text", ["", "soon", "2024-13", "2024-02-30", "999999d", "17.05.2024", "0000", "9999"])
def test_what_is_no_time_is_refused_with_the_option_and_examples(text: str):
    with pytest.raises(InvalidInput, match=r"--until is no time.*2024-05-17"):
        moments.until(text)
