"""What the metrics slice takes and answers with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

Resolution = Literal["minute", "hour", "day"]


@dataclass(frozen=True, slots=True)
class NewMeasurement:
    """A measurement on its way in; ``at`` is the present moment where it is None."""

    name: str
    value: float
    unit: str | None = None
    data: Mapping[str, Any] | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement."""

    id: UUID
    name: str
    value: float
    unit: str | None
    data: Mapping[str, Any] | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Bucket:
    """What a period of measurements adds up to, from ``start``, UTC, for ``seconds``.

    Count, sum, minimum, maximum and mean are those of every single measurement; ``rate`` is measurements a second. A
    percentile is the nearest rank, off by 1 % of its value at most.
    """

    start: datetime
    seconds: float
    count: int
    sum: float
    min: float
    max: float
    mean: float
    rate: float
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Summary:
    """What a metric did in a window: ``total`` over all of it, None where nothing was measured, and by buckets.

    Buckets without a measurement are left out; the oldest comes first.
    """

    name: str
    unit: str | None
    total: Bucket | None
    buckets: tuple[Bucket, ...]


@dataclass(frozen=True, slots=True)
class MetricName:
    """A metric in a list: what was measured of it in the window, and the beginning of the last minute with any."""

    name: str
    unit: str | None
    count: int
    mean: float
    min: float
    max: float
    last_at: datetime
