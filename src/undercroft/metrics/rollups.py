"""What measurements add up to, kept beside them: by minute, hour and day, each measurement counted once."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, select, true, update

from undercroft.core import ids
from undercroft.core.operation import operation
from undercroft.core.runtime.ports import Ports
from undercroft.core.schema import any_of
from undercroft.core.tx import Tx
from undercroft.metrics.models import Metric as Row, MetricRollup as Rollup
from undercroft.metrics.records import Resolution
from undercroft.metrics.rules import SECONDS, Sketch, Tally, bucket_of, period

BATCH = 5000

TABLE = Rollup.metadata.tables["undercroft.metric_rollups"]
_MINE = Row.tenant_id == bindparam("tenant_id")
_ROLLED = Rollup.tenant_id == bindparam("tenant_id")
_PENDING = (
    select(Row.id).where(_MINE, Row.rolled_up.is_(False)).order_by(Row.id).limit(bindparam("limit")).with_for_update()
)
_TAKE = (
    update(Row)
    .where(_MINE, any_of(Row.id, "ids"), Row.rolled_up.is_(False))
    .values(rolled_up=true())
    .returning(Row.name, Row.unit, Row.value, Row.measured_at)
)
_SUMS = ("unit", "count", "total", "lowest", "highest", "sketch")
_LOCK = (
    select(Rollup.id, *(getattr(Rollup, name) for name in _SUMS))
    .where(_ROLLED, any_of(Rollup.id, "ids"))
    .order_by(Rollup.id)
    .with_for_update()
)
_CHANGE = (
    update(Rollup)
    .where(_ROLLED, Rollup.id == bindparam("rollup_id"))
    .values({name: bindparam(f"new_{name}", type_=TABLE.c[name].type) for name in _SUMS})
)
_FORGET = delete(Row).where(_MINE, any_of(Row.id, "ids"))
_OLD = (
    select(Row.id)
    .where(_MINE, Row.rolled_up.is_(True), Row.id < bindparam("before"))
    .order_by(Row.id)
    .limit(bindparam("limit"))
)
_OLD_ROLLUPS = (
    select(Rollup.id)
    .where(_ROLLED, Rollup.resolution == bindparam("resolution"), Rollup.id < bindparam("before"))
    .order_by(Rollup.id)
    .limit(bindparam("limit"))
)
_FORGET_ROLLUPS = delete(Rollup).where(_ROLLED, any_of(Rollup.id, "ids"))


def roll_up(ports: Ports) -> int:
    """Add what was measured since the last time to its minutes, hours and days; returns how many measurements.

    Each is counted once, whoever rolls up at the same moment, and one that is logged late as well. Readers wait for
    nothing; 5000 are taken a transaction.
    """
    taken: int = 0
    while True:
        count: int = ports.run(_ROLL_UP)
        taken += count
        if count < BATCH:
            return taken


def cleanup(ports: Ports, *, raw_days: float = 30, minute_days: float = 90, hour_days: float = 1100) -> int:
    """Remove single measurements that are rolled up, rollups by minute and by hour, older than so many days each.

    Days stay. Returns how many rows were removed, 5000 a transaction.

    Raises:
        InvalidInput: a period is not positive.
    """
    kept: dict[Resolution | None, float] = {None: raw_days, "minute": minute_days, "hour": hour_days}
    for resolution, days in kept.items():
        period(days, f"{resolution or 'raw'}_days", timedelta(days=1))
    removed: int = 0
    for resolution, days in kept.items():
        while True:
            count = ports.run(_REMOVE, resolution, days)
            removed += count
            if count < BATCH:
                break
    return removed


def add_pending(tx: Tx) -> int:
    """Add some of what is not rolled up yet; returns how many measurements."""
    pending = [id_ for (id_,) in tx.rows(_PENDING, {"limit": BATCH})]
    if not pending:
        return 0
    taken = tx.rows(_TAKE, {"ids": pending})
    new: dict[UUID, tuple[str, Resolution, datetime, Tally]] = {}
    for name, unit, value, at in taken:
        for resolution in SECONDS:
            start = bucket_of(at, resolution)
            key = rollup_id(tx, name, resolution, start)
            new.setdefault(key, (name, resolution, start, Tally()))[3].add(value, unit)
    rows = [
        {"tenant_id": tx.tenant_id, "id": key, "name": name, "resolution": SECONDS[resolution], "started_at": start}
        | {"unit": None, "count": 0, "total": 0.0, "lowest": 0.0, "highest": 0.0, "sketch": {}}
        for key, (name, resolution, start, _) in sorted(new.items())
    ]
    tx.insert_many(TABLE, rows)
    for key, *sums in tx.rows(_LOCK, {"ids": list(new)}):
        if sums[1]:
            new[key][3].merge(_stored(sums))
    tx.run_many(_CHANGE, [_changed(key, tally) for key, (*_, tally) in sorted(new.items())])
    return len(pending)


def remove(tx: Tx, resolution: Resolution | None, days: float) -> int:
    """Remove some rollups that are old enough, or single measurements; returns how many rows."""
    given: dict[str, Any] = {"before": ids.floor(tx.now - timedelta(days=days)), "limit": BATCH}
    if resolution is None:
        found, forget = tx.rows(_OLD, given), _FORGET
    else:
        found, forget = tx.rows(_OLD_ROLLUPS, {**given, "resolution": SECONDS[resolution]}), _FORGET_ROLLUPS
    return int(tx.run(forget, {"ids": [id_ for (id_,) in found]})) if found else 0


def rollup_id(tx: Tx, name: str, resolution: Resolution, start: datetime) -> UUID:
    """Compute the id of a rollup: it carries its beginning, as a message's does, and is found without a look-up."""
    return ids.message(tx.named("metric", name), resolution, start)


_ROLL_UP = operation(add_pending)
_REMOVE = operation(remove)


def _stored(sums: list[Any]) -> Tally:
    unit, count, total, lowest, highest, sketch = sums
    return Tally(unit, count, total, lowest, highest, Sketch.from_json(sketch))


def _changed(key: UUID, tally: Tally) -> dict[str, Any]:
    sums = (tally.unit, tally.count, tally.total, tally.lowest, tally.highest, tally.sketch.to_json())
    return {"rollup_id": key, **{f"new_{name}": value for name, value in zip(_SUMS, sums, strict=True)}}
