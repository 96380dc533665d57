"""Values as people read them and as programs do."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from rich.text import Text

from undercroft.cli.cells import Duration, Size, plain, shown

MOMENT = datetime(2024, 5, 17, 9, 30, 1, 500, tzinfo=timezone(timedelta(hours=9)))


@pytest.mark.parametrize(
    ("value", "for_people", "for_programs"),
    [
        (1234567, "1,234,567", "1234567"),
        (0, "0", "0"),
        (True, "yes", "true"),
        (None, "-", ""),
        ("日本語", "日本語", "日本語"),
        ("a\tb\nc", "a\tb\nc", "a b c"),
        ("\x1b[2J\x9b0m\x07", "\ufffd[2J\ufffd0m\ufffd", "\ufffd[2J\ufffd0m\ufffd"),
        (Text("x", style="bold"), Text("x", style="bold"), "x"),
        (Size(None), "-", ""),
        (Size(0), "0 B", "0"),
        (Size(999), "999 B", "999"),
        (Size(1_000), "1.0 kB", "1000"),
        (Size(184_320), "184 kB", "184320"),
        (Size(23_456_789), "23.5 MB", "23456789"),
        (Size(5 * 10**15), "5,000.0 TB", "5000000000000000"),
        (Duration(0.00012), "0.12 ms", "0.000"),
        (Duration(0.0123), "12 ms", "0.012"),
        (Duration(0.5), "500 ms", "0.500"),
        (Duration(12.34), "12.3 s", "12.340"),
        (Duration(83), "1 min 23 s", "83.000"),
        (Duration(3_725), "1 h 02 min", "3725.000"),
    ],
)
def test_a_value(value: object, for_people: object, for_programs: str):
    assert shown(value) == for_people
    assert plain(value) == for_programs


def test_a_moment_is_utc_for_programs_and_local_for_people():
    assert plain(MOMENT) == "2024-05-17T00:30:01.000500Z"
    assert shown(MOMENT) == f"{MOMENT.astimezone():%Y-%m-%d %H:%M}"
    assert plain(datetime(2024, 1, 1, tzinfo=UTC)) == "2024-01-01T00:00:00Z"
