"""What the results slice answers with."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Reason = Literal["unparsed", "not_a_read", "too_large", "overtaken", "failed"]
"""Why a result is not in the cache.

``unparsed``: the SQL cannot be read in its dialect, so neither its tables nor that it only reads is known;
``not_a_read``: it changes or locks something, or is several statements; ``too_large``: more bytes than allowed;
``overtaken``: something was invalidated while it was loaded, or the lease ran out; ``failed``: the database did not
take it, which the log tells.
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """A result as JSON keeps it, and how it came: ``hit`` where nobody had to run anything for it.

    ``key`` names the entry, for `invalidate`; None where the SQL has none. ``reason`` tells why it was not stored.
    """

    value: Any = field(repr=False)
    key: str | None
    hit: bool
    stored: bool
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """Whether a result was stored, and why not."""

    key: str | None
    stored: bool
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Day:
    """What the cache did on a day, UTC, that begins at ``day``; ``hit_rate`` is None where nobody asked.

    ``uncacheable`` counts what could not be looked up at all; it is no part of the rate.
    """

    day: datetime
    hits: int
    misses: int
    uncacheable: int
    evicted: int
    invalidated: int

    @property
    def hit_rate(self) -> float | None:
        """The share of hits among hits and misses."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else None


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What the cache holds now, ``bytes`` of results in all, and what it did since it was first used."""

    entries: int
    expired: int
    bytes: int
    hits: int
    misses: int
    uncacheable: int
    evicted: int
    invalidated: int
