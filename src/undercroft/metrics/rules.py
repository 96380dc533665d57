"""Sketches: how values are distributed, in little room, so that minutes add up to hours and hours to days.

A sketch counts values in logarithmic classes (DDSketch: Masson, Rim and Lee, VLDB 2019): class i holds what lies in
(G^(i-1), G^i], where G = (1 + A) / (1 - A), and answers with 2 G^i / (G + 1), which is off by the share A at most.
Negative values are classed by their size; what is nearer to zero than TINY counts as zero. Two sketches are merged by
adding their counts, so the merged one is exactly that of all values together, in whatever order they came.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from undercroft.core.clock import from_micros, micros
from undercroft.errors import InvalidInput
from undercroft.metrics.records import Bucket, Resolution

ACCURACY = 0.01
TINY = 1e-12
_GROWTH = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_GROWTH = math.log(_GROWTH)
SECONDS: Mapping[Resolution, int] = {"minute": 60, "hour": 3600, "day": 86_400}
LONGEST_NAME = 200


@dataclass(slots=True)
class Sketch:
    """The counts of a distribution's classes, negative values apart."""

    zeros: int = 0
    above: Counter[int] = field(default_factory=Counter)
    below: Counter[int] = field(default_factory=Counter)

    def add(self, value: float) -> None:
        """Count a value."""
        if abs(value) < TINY:
            self.zeros += 1
        else:
            (self.above if value > 0 else self.below)[math.ceil(math.log(abs(value)) / _LOG_GROWTH)] += 1

    def merge(self, other: "Sketch") -> None:
        """Add the counts of another one."""
        self.zeros += other.zeros
        self.above.update(other.above)
        self.below.update(other.below)

    def quantile(self, share: float) -> float:
        """Return the value of the nearest rank: the first with so large a share of all values at or below it."""
        count = self.zeros + self.above.total() + self.below.total()
        rank = max(1, math.ceil(share * count))
        for value, number in self._ascending():
            rank -= number
            if rank <= 0:
                return value
        raise ValueError  # nothing was counted

    def _ascending(self) -> Iterable[tuple[float, int]]:
        yield from ((-_middle(place), self.below[place]) for place in sorted(self.below, reverse=True))
        yield 0.0, self.zeros
        yield from ((_middle(place), self.above[place]) for place in sorted(self.above))

    def to_json(self) -> dict[str, Any]:
        """Return it as it is stored."""
        written = {"above": self.above, "below": self.below}
        counts = {name: {str(place): n for place, n in one.items()} for name, one in written.items() if one}
        return {"zeros": self.zeros, **counts} if self.zeros else counts

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read what was stored."""
        above, below = (
            Counter({int(place): n for place, n in stored.get(name, {}).items()}) for name in ("above", "below")
        )
        return cls(stored.get("zeros", 0), above, below)


@dataclass(slots=True)
class Tally:
    """What measurements add up to; the unit is that of the last one that has any."""

    unit: str | None = None
    count: int = 0
    total: float = 0.0
    lowest: float = math.inf
    highest: float = -math.inf
    sketch: Sketch = field(default_factory=Sketch)

    def add(self, value: float, unit: str | None = None) -> None:
        """Add a measurement."""
        self.unit = unit or self.unit
        self.count += 1
        self.total += value
        self.lowest = min(self.lowest, value)
        self.highest = max(self.highest, value)
        self.sketch.add(value)

    def merge(self, other: "Tally") -> None:
        """Add what others add up to."""
        self.unit = other.unit or self.unit
        self.count += other.count
        self.total += other.total
        self.lowest = min(self.lowest, other.lowest)
        self.highest = max(self.highest, other.highest)
        self.sketch.merge(other.sketch)

    def bucket(self, start: datetime, seconds: float) -> Bucket:
        """Return it as the result for a period."""
        quantiles = (self.sketch.quantile(share) for share in (0.5, 0.95, 0.99))
        p50, p95, p99 = (min(max(value, self.lowest), self.highest) for value in quantiles)
        mean = self.total / self.count
        rate = self.count / seconds
        return Bucket(
            start, seconds, self.count, self.total, self.lowest, self.highest, mean, rate, p50=p50, p95=p95, p99=p99
        )


def bucket_of(at: datetime, resolution: Resolution) -> datetime:
    """Return the beginning of the minute, hour or day, UTC, that a moment is in."""
    length = SECONDS[resolution] * 1_000_000
    return from_micros(micros(at) // length * length)


def check_name(name: Any) -> str:
    """Return a metric's name; raises InvalidInput for an empty one or one of more than 200 characters."""
    if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_NAME:
        message = f"A metric's name is text of 1 to {LONGEST_NAME} characters."
        raise InvalidInput(message, field="name", hint="such as slack_response_time")
    return str(name)


def check_value(value: Any) -> float:
    """Return a value as a float; raises InvalidInput for what is no number, or no finite one."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        message = "A measurement is a finite number."
        raise InvalidInput(message, field="value")
    return float(value)


def check_resolution(resolution: Resolution) -> Resolution:
    """Return a resolution; raises InvalidInput for another word."""
    if resolution not in SECONDS:
        message = f"A bucket is a {', '.join(SECONDS)}."
        raise InvalidInput(message, field="bucket")
    return resolution


def period(number: float, field: str, unit: timedelta) -> timedelta:
    """Return a length of time; raises InvalidInput for one that is not positive, or longer than a hundred years."""
    if not 0 < number * unit.total_seconds() <= 100 * 366 * 86_400:
        message = "The period must be positive, and no more than a hundred years."
        raise InvalidInput(message, field=field)
    return number * unit


def _middle(place: int) -> float:
    return 2 * math.exp(place * _LOG_GROWTH) / (_GROWTH + 1)
