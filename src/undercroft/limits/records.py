"""What the limits slice answers with."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Limit:
    """A definition: ``amount`` units in each calendar ``per`` (UTC), or back each ``per`` to a bucket of ``burst``.

    ``each`` tells who has a counter of his own: the tenant, each user, each resource, or each pair.
    """

    name: str
    kind: str
    amount: int
    per: str
    burst: int
    each: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a take, or would; times are the database's.

    ``remaining`` units could be taken now. If nobody takes more, all of ``limit`` is free again at ``resets_at``, in
    ``resets_after`` seconds. A refused take can succeed at ``retry_at``, in ``retry_after`` seconds; both are None
    where it was allowed, and where it asks more than the whole. ``window`` is the seconds of the period, or in which a
    bucket refills. ``period`` names the counter for a refund.
    """

    name: str
    allowed: bool
    units: int
    limit: int
    remaining: int
    resets_at: datetime
    resets_after: float
    retry_at: datetime | None
    retry_after: float | None
    window: float
    user: str | None
    resource: str | None
    period: int


@dataclass(frozen=True, slots=True)
class Usage:
    """A counter that holds something: what one user, one resource or the whole tenant has used of a limit."""

    name: str
    user: str | None
    resource: str | None
    used: int
    limit: int
    remaining: int
    resets_at: datetime
