"""Counts by day as a line of blocks."""

from datetime import date, timedelta

from undercroft.cli.sparkline import sparkline

FIRST = date(2024, 2, 27)


def days(*counts: int) -> dict[date, int]:
    return {FIRST + timedelta(days=number): count for number, count in enumerate(counts) if count}


def test_nothing_is_the_lowest_block_and_one_is_more():
    assert sparkline(days(7, 0, 1, 4, 7)) == "█▁▂▅█"


def test_a_long_time_is_cut_into_equal_parts():
    assert sparkline(days(*[1] * 100), width=4) == "████"
    assert sparkline(days(*[1] * 50, *[2] * 50), width=2) == "▅█"
    assert len(sparkline(days(1, *[0] * 1000, 1))) == 40


def test_one_day_and_none():
    assert sparkline(days(3)) == "█"
    assert sparkline({}) == ""
