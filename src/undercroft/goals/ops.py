"""Operations on goals."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete as sa_delete, select, update
from sqlalchemy.dialects.postgresql import insert

from undercroft.core import ids
from undercroft.core.pages import Filtered, check_limit
from undercroft.core.tx import Tx
from undercroft.errors import InvalidInput, NotFound
from undercroft.goals.models import BusinessGoal as Row, GoalProgress
from undercroft.goals.records import Goal, Progress, Status
from undercroft.goals.rules import NEW, check_key, checked, settled

_NAMES = tuple(field.name for field in fields(Goal))
_COLUMNS = tuple(getattr(Row, name) for name in _NAMES)
_CHANGEABLE = tuple(name for name in _NAMES if name not in {"key", "created_at"})
_MINE = Row.tenant_id == bindparam("tenant_id")
_ITS_PROGRESS = (GoalProgress.tenant_id == bindparam("tenant_id"), GoalProgress.goal_key == bindparam("key"))
_GET = select(*_COLUMNS).where(_MINE, Row.key == bindparam("key"))
_LOCK = _GET.with_for_update()
_ADD = (
    insert(Row)
    .values(tenant_id=bindparam("tenant_id"), **{name: bindparam(name) for name in _NAMES})
    .on_conflict_do_nothing()
    .returning(*_COLUMNS)
)
_CHANGE = (
    update(Row)
    .where(_MINE, Row.key == bindparam("key"))
    .values({name: bindparam(f"new_{name}", type_=Row.__table__.c[name].type) for name in _CHANGEABLE})
    .returning(*_COLUMNS)
)
_REACHED = insert(GoalProgress).values(
    tenant_id=bindparam("tenant_id"),
    id=bindparam("id"),
    goal_key=bindparam("key"),
    progress=bindparam("progress"),
    status=bindparam("status"),
    actor=bindparam("by"),
    recorded_at=bindparam("now"),
)
_DELETE = sa_delete(Row).where(_MINE, Row.key == bindparam("key"))
_FORGET = sa_delete(GoalProgress).where(*_ITS_PROGRESS)
_LIST = Filtered(
    select(*_COLUMNS).where(_MINE).order_by(Row.key).limit(bindparam("limit")),
    area=Row.area == bindparam("area"),
    status=Row.status == bindparam("status"),
    owner=Row.owner == bindparam("owner"),
    priority=Row.priority >= bindparam("priority"),
    after=Row.key > bindparam("after"),
)
_REACHED_BY_THEN: Any = select(
    GoalProgress.id, GoalProgress.progress, GoalProgress.status, GoalProgress.actor, GoalProgress.recorded_at
)
_PROGRESS = Filtered(
    _REACHED_BY_THEN.where(*_ITS_PROGRESS).order_by(GoalProgress.id.desc()).limit(bindparam("limit")),
    before=GoalProgress.id < bindparam("before"),
)


def save(
    tx: Tx,
    key: str,
    *,
    title: str | None = None,
    description: str | None = None,
    area: str | None = None,
    status: Status | None = None,
    priority: int | None = None,
    progress: int | None = None,
    owner: str | None = None,
    weekly_actions: Sequence[str] | None = None,
    success_metrics: Mapping[str, Any] | None = None,
    by: str | None = None,
) -> Goal:
    """Make a goal, or change what is given of one that exists; what changes progress or status is kept in its history.

    A new goal needs a title; its area is ``general``, its status ``not_started``, its priority 3 where nothing is said.
    A goal that is completed has made 100 % of its way, unless ``progress`` says otherwise. ``by`` is the platform's id
    of who says so.

    Raises:
        InvalidInput: a value out of its range, a status that there is not, a new goal without a title.
    """
    told = settled(
        checked(
            {
                "title": title,
                "description": description,
                "area": area,
                "status": status,
                "priority": priority,
                "progress": progress,
                "owner": owner,
                "weekly_actions": weekly_actions,
                "success_metrics": success_metrics,
            }
        )
    )
    found = tx.row(_LOCK, {"key": check_key(key)})
    if found is None:
        made = _add(tx, key, told)
        if made is not None:
            _record(tx, made, by)
            return made
        found = tx.rows(_LOCK, {"key": key})[0]  # somebody else has just made it
    old = Goal(*found)
    new = {name: told.get(name, getattr(old, name)) for name in _CHANGEABLE} | {"updated_at": tx.now}
    goal = Goal(*tx.rows(_CHANGE, {"key": key, **{f"new_{name}": value for name, value in new.items()}})[0])
    if (goal.progress, goal.status) != (old.progress, old.status):
        _record(tx, goal, by)
    return goal


def get(tx: Tx, key: str) -> Goal:
    """Look up a goal.

    Raises:
        NotFound: the tenant has no such goal.
    """
    found = tx.row(_GET, {"key": check_key(key)})
    if found is None:
        message = f"The tenant has no goal {key!r}."
        raise NotFound(message)
    return Goal(*found)


def list_(
    tx: Tx,
    *,
    area: str | None = None,
    status: Status | None = None,
    owner: str | None = None,
    priority: int | None = None,
    limit: int = 100,
    after: str | None = None,
) -> list[Goal]:
    """List goals by key, those of at least a priority for one; ``after`` is the key of the last of the page before."""
    checked({"status": status, "priority": priority})
    statement, used = _LIST.given(
        area=area, status=status, owner=owner, priority=priority, after=after, limit=check_limit(limit)
    )
    return [Goal(*found) for found in tx.rows(statement, used)]


def progress(tx: Tx, key: str, *, limit: int = 100, before: UUID | None = None) -> list[Progress]:
    """Return how a goal came along, the newest first; ``before`` is the id of the last one of the page before."""
    statement, used = _PROGRESS.given(key=check_key(key), before=before, limit=check_limit(limit))
    return [Progress(*found) for found in tx.rows(statement, used)]


def delete(tx: Tx, key: str) -> bool:
    """Delete a goal with its history; tells whether there was one."""
    there = tx.run(_DELETE, {"key": check_key(key)}) > 0
    if there:
        tx.run(_FORGET, {"key": key})
    return there


def _add(tx: Tx, key: str, told: Mapping[str, Any]) -> Goal | None:
    if "title" not in told:
        message = "A new goal needs a title."
        raise InvalidInput(message, field="title")
    made = tx.row(_ADD, {"key": key, **NEW, **told, "created_at": tx.now, "updated_at": tx.now})
    return None if made is None else Goal(*made)


def _record(tx: Tx, goal: Goal, by: str | None) -> None:
    reached = {"progress": goal.progress, "status": goal.status, "by": by, "now": tx.now}
    tx.run(_REACHED, {"id": ids.new(), "key": goal.key, **reached})
