"""Counting and removing what is older than its policy allows, a batch a transaction.

A batch takes the tenant's row of the run first and asks for policy and hold again behind it. So two runs at once take
turns, and whoever lengthens a policy or sets a hold is sure of it when his call returns.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert

from undercroft.audit import ops as audit
from undercroft.core.schema import any_of
from undercroft.core.server_time import server_now
from undercroft.core.tx import Tx
from undercroft.upkeep.models import FLEET_ID, RETENTION, UpkeepRun
from undercroft.upkeep.retention.classes import CLASSES
from undercroft.upkeep.retention.ops import list_, take_turn
from undercroft.upkeep.retention.records import LastRun, Policy
from undercroft.upkeep.retention.rules import horizon

_NOW = select(server_now().label("now"))
_COUNTED = [(name, number, rows) for name, one in CLASSES.items() for number, rows in enumerate(one.rows)]
_COUNT = select(*(rows.count(f"{name}_{number}").label(f"{name}_{number}_rows") for name, number, rows in _COUNTED))
_NOTED = insert(UpkeepRun).values(
    tenant_id=bindparam("tenant_id"),
    job=RETENTION,
    started_at=bindparam("started_at"),
    finished_at=bindparam("finished_at"),
    removed=bindparam("removed"),
)
_NOTE = _NOTED.on_conflict_do_update(
    index_elements=[UpkeepRun.tenant_id, UpkeepRun.job],
    set_={name: _NOTED.excluded[name] for name in ("started_at", "finished_at", "removed")},
)
_CLAIMED = insert(UpkeepRun).values(
    tenant_id=bindparam("tenant_id"), job=RETENTION, removed=0, next_run_at=server_now("every")
)
_CLAIM = _CLAIMED.on_conflict_do_update(
    index_elements=[UpkeepRun.tenant_id, UpkeepRun.job],
    set_={"next_run_at": _CLAIMED.excluded.next_run_at},
    where=(UpkeepRun.next_run_at.is_(None)) | (UpkeepRun.next_run_at <= server_now()),
)
_RUNS = select(
    UpkeepRun.tenant_id, UpkeepRun.started_at, UpkeepRun.finished_at, UpkeepRun.removed, UpkeepRun.next_run_at
).where(any_of(UpkeepRun.tenant_id, "owners"), UpkeepRun.job == RETENTION)


@dataclass(frozen=True, slots=True)
class Due:
    """What of a data class is older than its policy allows."""

    tenant: str
    policy: Policy
    before: datetime
    rows: int


def moment(tx: Tx) -> datetime:
    """Return the database's time."""
    return tx.value(_NOW)  # type: ignore[no-any-return]  # a moment


def due(tx: Tx, now: datetime, named: Collection[str] = ()) -> list[Due]:
    """Count what of each data class is too old at a moment; classes without any are left out, unless they are named."""
    policies = {policy.data_class: policy for policy in list_(tx)}
    before = {name: horizon(policy, now) for name, policy in policies.items()}
    bounds = {f"{name}_{number}": rows.bound(before[name]) for name, number, rows in _COUNTED}
    found = dict.fromkeys(policies, 0)
    for (name, _, _), rows in zip(_COUNTED, tx.rows(_COUNT, bounds)[0], strict=True):
        found[name] += rows
    return [
        Due(tx.tenant_name or "", policies[name], before[name], rows)
        for name, rows in found.items()
        if rows or name in named
    ]


def remove(
    tx: Tx, data_class: str, *, now: datetime, batch: int, announced: Mapping[str, int] | None
) -> tuple[int, bool]:
    """Remove about so many rows of a data class; returns how many, and whether there are more.

    ``announced`` are the numbers of rows that a run is going to remove: its first batch puts them into the audit trail.
    """
    take_turn(tx)
    policy = next(policy for policy in list_(tx) if policy.data_class == data_class)
    if policy.hold is not None or policy.keep is None:
        return 0, False
    removed, more = 0, False
    for rows in CLASSES[data_class].rows:
        here, left = rows.remove(tx, horizon(policy, now), batch)
        removed += here
        more |= left
    if removed and announced is not None:
        log_removal(tx, now, announced)
    return removed, more


def drop(tx: Tx, data_class: str) -> dict[UUID, int]:
    """Drop the years of a data class that no tenant keeps; returns how many rows each tenant lost with them."""
    keep = CLASSES[data_class].keep
    return dict(tx.dialect.drop_expired(tx, data_class, None if keep is None else int(keep.total_seconds())))


def log_removal(tx: Tx, now: datetime, rows: Mapping[str, int]) -> None:
    """Put into a tenant's audit trail what a run removes."""
    audit.log(tx, "retention.run", resource_type="retention", data={"at": now.isoformat(), "rows": dict(rows)})


def note(tx: Tx, started_at: datetime, removed: int, *, finished: bool) -> None:
    """Write down that a run began, or what it did."""
    values = {"started_at": started_at, "removed": removed, "finished_at": moment(tx) if finished else None}
    tx.run(_NOTE, values)


def note_fleet(tx: Tx, started_at: datetime, removed: int, *, finished: bool) -> None:
    """Write the same down for the fleet; at the end the space of what was removed is given back."""
    values = {"started_at": started_at, "removed": removed, "finished_at": moment(tx) if finished else None}
    tx.run(_NOTE, {"tenant_id": FLEET_ID, **values})
    if finished and removed:
        tx.dialect.give_back(tx)


def runs(tx: Tx, tenant_id: UUID) -> tuple[LastRun | None, datetime | None]:
    """Return the last run over a tenant, or over the fleet, and when the next one is due if anything has said so."""
    found = {row[0]: row[1:] for row in tx.rows(_RUNS, {"owners": [tenant_id, FLEET_ID]})}
    started_at, finished_at, removed, _ = found.get(tenant_id, (None, None, 0, None))
    last = None if started_at is None else LastRun(started_at, finished_at, removed)
    return last, found[FLEET_ID][3] if FLEET_ID in found else None


def claim(tx: Tx, every: float) -> float | None:
    """Take the run that is due, of which the next is due in ``every`` seconds; else tell in how many seconds it is."""
    if tx.run(_CLAIM, {"tenant_id": FLEET_ID, "every": every}):
        return None
    _, next_run_at = runs(tx, FLEET_ID)
    return every if next_run_at is None else max(0.0, (next_run_at - moment(tx)).total_seconds())
