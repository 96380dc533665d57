"""Counts by day or by hour as a line of blocks."""

from collections.abc import Mapping
from datetime import date, timedelta

_BLOCKS = "▁▂▃▄▅▆▇█"
_DAY = timedelta(days=1)


def sparkline(counts: Mapping[date, int], width: int = 40, step: timedelta = _DAY) -> str:
    """Return the days from the first to the last in at most ``width`` equal columns; the lowest block is nothing.

    With a shorter ``step`` the counts are those of hours, by the moment each begins.
    """
    if not counts:
        return ""
    first = min(counts)
    steps = (max(counts) - first) // step + 1
    columns = [0] * min(width, steps)
    for moment, count in counts.items():
        columns[(moment - first) // step * len(columns) // steps] += count
    highest = max(columns) or 1
    return "".join(_BLOCKS[-(-column * (len(_BLOCKS) - 1) // highest)] for column in columns)
