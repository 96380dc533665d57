"""Which policy holds: a tenant's own before the fleet's, and that before the default."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from undercroft.core.clock import EPOCH
from undercroft.upkeep.models import FLEET_ID
from undercroft.upkeep.retention.classes import CLASSES
from undercroft.upkeep.retention.records import Hold, Policy, Source


class Stored(NamedTuple):
    """A row of the table of policies."""

    tenant_id: UUID
    data_class: str
    keep_seconds: int | None
    set_at: datetime
    set_by: str | None


def effective(stored: Iterable[Stored], holds: Mapping[str, Hold]) -> list[Policy]:
    """Return the policy of every data class, in the order of their table."""
    said = {(row.data_class, row.tenant_id == FLEET_ID): row for row in stored}
    found: list[Policy] = []
    for name, one in CLASSES.items():
        row = said.get((name, False)) or said.get((name, True))
        hold = holds.get(name)
        if row is None:
            found.append(Policy(name, one.about, one.keep, "default", hold=hold))
            continue
        keep = None if row.keep_seconds is None else timedelta(seconds=row.keep_seconds)
        source: Source = "fleet" if row.tenant_id == FLEET_ID else "tenant"
        found.append(Policy(name, one.about, keep, source, row.set_at, row.set_by, hold))
    return found


def horizon(policy: Policy, now: datetime) -> datetime:
    """Return the moment before which a policy lets go of things; the beginning of time where it keeps all."""
    return EPOCH if policy.keep is None or now - EPOCH < policy.keep else now - policy.keep
