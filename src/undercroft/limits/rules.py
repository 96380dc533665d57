"""The arithmetic of limits, in integers alone: nothing is rounded, so nothing is given twice.

What was taken is counted in parts. A part of a fixed period is a unit. In a bucket a unit has as many parts as the
milliseconds of ``per``, so that each millisecond drains ``refill`` parts; a bucket is full, for its user, when it has
drained. `ops` says the same once more in SQL, and a property test holds the two together.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

from undercroft.core.clock import EPOCH
from undercroft.errors import InvalidInput
from undercroft.limits.records import Decision, Limit

Kind = Literal["period", "bucket"]
Per = Literal["second", "minute", "hour", "day", "month"]
Each = Literal["tenant", "user", "resource", "user and resource"]

LENGTHS: dict[str, int] = {"second": 1000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000, "month": 0}
"""Milliseconds; a month has no length of its own."""
MOST_PARTS = 10**18
MOST_UNITS = 10**15
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Count:
    """A counter as the database keeps it: parts used at a moment.

    ``period`` is as in `started`, ``ends`` 0 for a bucket.
    """

    period: int
    ends: int
    used: int
    at: int
    capacity: int
    refill: int

    @property
    def parts(self) -> int:
        """How many parts a unit has."""
        return -self.period if self.period < 0 else 1


def drained(count: Count, now: int) -> int:
    """Return the parts that are still used at a moment; a clock that went back drains nothing."""
    elapsed = now - count.at
    if count.refill == 0 or elapsed <= 0:
        return count.used
    return 0 if elapsed > count.used // count.refill else count.used - elapsed * count.refill


def started(kind: Kind, per: Per, now: int) -> tuple[int, int]:
    """Return when the period of a moment began and ends; for a bucket minus the parts of its unit, and 0.

    So a bucket that is given another ``per`` is another counter, and never reads parts of another size.
    """
    length = LENGTHS[per]
    if kind == "bucket":
        return -length, 0
    if length:
        begun = now - now % length
        return begun, begun + length
    first = (EPOCH + timedelta(milliseconds=now)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (first + timedelta(days=32)).replace(day=1)
    return _millis(first), _millis(following)


def take(count: Count, units: int, now: int) -> Count | None:
    """Return the counter after units were taken, None where they are refused."""
    at = max(count.at, now)
    used = drained(count, at) + units * count.parts
    if used > count.capacity:
        return None
    return Count(count.period, count.ends, used, at, count.capacity, count.refill)


def refund(count: Count, units: int, now: int) -> Count:
    """Return the counter after units came back; never more than the whole is free."""
    at = max(count.at, now)
    used = max(0, drained(count, at) - units * count.parts)
    return Count(count.period, count.ends, used, at, count.capacity, count.refill)


def remaining(count: Count) -> int:
    """Return the whole units that could be taken."""
    return max(0, count.capacity - count.used) // count.parts


def decision(
    limit: str, count: Count, units: int, *, allowed: bool, user: str | None = None, resource: str | None = None
) -> Decision:
    """Tell what became of a take, or would; the counter is as it stands now, at ``count.at``."""
    parts, now = count.parts, count.at
    missing = count.used + units * parts - count.capacity
    if allowed:
        retry: int | None = None
    elif units * parts > count.capacity:
        retry = None  # never: it is more than the whole
    elif count.refill:
        retry = now + _divided_up(max(0, missing), count.refill)
    else:
        retry = count.ends
    resets = count.ends or now + (_divided_up(count.used, count.refill) if count.refill else 0)
    window = count.ends - count.period if count.ends else _divided_up(count.capacity, max(1, count.refill))
    return Decision(
        name=limit,
        allowed=allowed,
        units=units,
        limit=count.capacity // parts,
        remaining=remaining(count),
        resets_at=_moment(resets),
        resets_after=max(0, resets - now) / 1000,
        retry_at=None if retry is None else _moment(retry),
        retry_after=None if retry is None else max(0, retry - now) / 1000,
        window=window / 1000,
        user=user,
        resource=resource,
        period=count.period,
    )


def check_limit(name: str, amount: int, *, kind: Kind, per: Per, burst: int | None, each: Each) -> Limit:
    """Return a definition; raises InvalidInput for what cannot be counted."""
    check_name(name)
    for field, value, known in (("kind", kind, Kind), ("per", per, Per), ("each", each, Each)):
        if value not in get_args(known):
            message = f"It is one of {', '.join(get_args(known))}."
            raise InvalidInput(message, field=field)
    if (kind, per) in {("bucket", "month"), ("period", "second")}:
        message = "A bucket refills each second, minute, hour or day; a period is a minute, hour, day or month."
        raise InvalidInput(message, field="per")
    if burst is not None and kind == "period":
        message = "A period has no burst: all of it may be taken at once."
        raise InvalidInput(message, field="burst", hint='leave it out, or use kind="bucket"')
    most = MOST_UNITS if kind == "period" else MOST_PARTS // LENGTHS[per]
    for field, number in (("amount", amount), ("burst", amount if burst is None else burst)):
        if type(number) is not int or not 1 <= number <= most:
            message = f"It is a whole number from 1 to {most}."
            raise InvalidInput(message, field=field, hint="count money in cents, or smaller parts")
    return Limit(name, kind, amount, per, amount if burst is None else burst, each)


def check_units(units: int) -> int:
    """Return a number of units; raises InvalidInput for what is no positive whole number."""
    if type(units) is not int or not 1 <= units <= MOST_UNITS:
        message = "Units are a positive whole number."
        raise InvalidInput(message, field="units", hint="count money in cents, or smaller parts")
    return units


def check_name(name: str) -> str:
    """Return a limit's name; raises InvalidInput for an empty one, or one of more than 200 characters."""
    if not 1 <= len(name) <= LONGEST:
        message = f"A limit's name has 1 to {LONGEST} characters."
        raise InvalidInput(message, field="name")
    return name


def _divided_up(number: int, by: int) -> int:
    return -(-number // by)


def _moment(millis: int) -> datetime:
    return EPOCH + timedelta(milliseconds=millis)


def _millis(moment: datetime) -> int:
    return int((moment.astimezone(UTC) - EPOCH) / timedelta(milliseconds=1))
