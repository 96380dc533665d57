"""What retention answers with."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Source = Literal["default", "fleet", "tenant"]


@dataclass(frozen=True, slots=True)
class Hold:
    """That nothing of a data class may be removed, since when and why."""

    held_at: datetime
    reason: str
    held_by: str | None


@dataclass(frozen=True, slots=True)
class Policy:
    """How long a data class is kept, None for ever; ``source`` tells who says so."""

    data_class: str
    about: str
    keep: timedelta | None
    source: Source
    set_at: datetime | None = None
    set_by: str | None = None
    hold: Hold | None = None


@dataclass(frozen=True, slots=True)
class Removal:
    """Rows of a tenant that are older than their policy allows.

    ``rows`` were removed, in a dry run would be; under a legal hold they stay. What belongs to a message is not counted
    beside it.
    """

    tenant: str
    data_class: str
    rows: int
    before: datetime
    held: bool = False


@dataclass(frozen=True, slots=True)
class RetentionRun:
    """What a run did, or in a dry run would do; ``finished`` is False where it was stopped before its end."""

    at: datetime
    dry_run: bool
    removals: list[Removal]
    finished: bool = True

    @property
    def rows(self) -> int:
        """How many rows were removed, or would be."""
        return sum(removal.rows for removal in self.removals if not removal.held)


@dataclass(frozen=True, slots=True)
class LastRun:
    """When upkeep last ran, without an end where it was killed or still runs, and how many rows it removed."""

    started_at: datetime
    finished_at: datetime | None
    removed: int
