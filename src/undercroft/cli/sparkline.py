"""Counts by day as a line of blocks."""

from collections.abc import Mapping
from datetime import date

_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(counts: Mapping[date, int], width: int = 40) -> str:
    """Return the days from the first to the last in at most ``width`` equal columns; the lowest block is nothing."""
    if not counts:
        return ""
    first = min(counts)
    days = (max(counts) - first).days + 1
    columns = [0] * min(width, days)
    for day, count in counts.items():
        columns[(day - first).days * len(columns) // days] += count
    highest = max(columns) or 1
    return "".join(_BLOCKS[-(-column * (len(_BLOCKS) - 1) // highest)] for column in columns)
