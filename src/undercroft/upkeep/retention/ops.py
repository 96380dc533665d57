"""Operations on policies and legal holds; every change is in the audit trail."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert

from undercroft.audit import ops as audit
from undercroft.core.schema import any_of
from undercroft.core.tx import Tx
from undercroft.errors import InvalidInput
from undercroft.upkeep.models import FLEET_ID, RETENTION, LegalHold, RetentionPolicy as Row, UpkeepRun
from undercroft.upkeep.retention.classes import data_class as class_of
from undercroft.upkeep.retention.records import Hold, Policy
from undercroft.upkeep.retention.rules import Stored, effective

_STORED = select(Row.tenant_id, Row.data_class, Row.keep_seconds, Row.set_at, Row.set_by).where(
    any_of(Row.tenant_id, "owners")
)
_HOLDS = select(LegalHold.data_class, LegalHold.held_at, LegalHold.reason, LegalHold.held_by).where(
    LegalHold.tenant_id == bindparam("tenant_id")
)
_NEW = insert(Row).values(
    tenant_id=bindparam("tenant_id"),
    data_class=bindparam("data_class"),
    keep_seconds=bindparam("keep_seconds"),
    set_at=bindparam("now"),
    set_by=bindparam("by"),
)
_SET = _NEW.on_conflict_do_update(
    index_elements=[Row.tenant_id, Row.data_class],
    set_={name: _NEW.excluded[name] for name in ("keep_seconds", "set_at", "set_by")},
)
_RESET = delete(Row).where(Row.tenant_id == bindparam("tenant_id"), Row.data_class == bindparam("data_class"))
_NEW_HOLD = insert(LegalHold).values(
    tenant_id=bindparam("tenant_id"),
    data_class=bindparam("data_class"),
    reason=bindparam("reason"),
    held_at=bindparam("now"),
    held_by=bindparam("by"),
)
_HOLD = _NEW_HOLD.on_conflict_do_update(
    index_elements=[LegalHold.tenant_id, LegalHold.data_class], set_={"reason": _NEW_HOLD.excluded.reason}
)
_RELEASE = delete(LegalHold).where(
    LegalHold.tenant_id == bindparam("tenant_id"), LegalHold.data_class == bindparam("data_class")
)
_NEW_TURN = insert(UpkeepRun).values(tenant_id=bindparam("tenant_id"), job=RETENTION, removed=0)
_TURN = _NEW_TURN.on_conflict_do_update(
    index_elements=[UpkeepRun.tenant_id, UpkeepRun.job], set_={"started_at": UpkeepRun.started_at}
)


def take_turn(tx: Tx) -> None:
    """Wait for a batch that is being removed from the tenant, and keep the next one waiting until this commits."""
    tx.run(_TURN)


def list_(tx: Tx) -> list[Policy]:
    """List the policy of every data class, the tenant's own, else the fleet's, else the default."""
    stored = [Stored(*row) for row in tx.rows(_STORED, {"owners": [tx.tenant_id, FLEET_ID]})]
    return effective(stored, {name: Hold(*rest) for name, *rest in tx.rows(_HOLDS)})


def set_(tx: Tx, data_class: str, *, keep: timedelta | None, by: str | None = None) -> Policy:
    """Keep a data class of this tenant for so long, None for ever, whatever the fleet's policy is.

    ``by`` is the native id of who decides, for the audit trail.

    Raises:
        InvalidInput: an unknown data class, or a period that it cannot have.
    """
    return _change(tx, data_class, class_of(data_class).check(keep), by, reset=False)


def reset(tx: Tx, data_class: str, *, by: str | None = None) -> Policy:
    """Let the fleet's policy hold for this tenant again.

    Raises:
        InvalidInput: an unknown data class.
    """
    return _change(tx, class_of(data_class).name, None, by, reset=True)


def hold(tx: Tx, data_class: str, *, reason: str, by: str | None = None) -> Policy:
    """Put a data class under legal hold: upkeep removes nothing of it, and the tenant cannot be purged.

    From the moment this returns; a batch that is under way is waited for.

    Raises:
        InvalidInput: an unknown data class, or no reason.
    """
    if not reason.strip():
        message = "A legal hold needs a reason."
        raise InvalidInput(message, field="reason")
    class_of(data_class)
    take_turn(tx)
    tx.run(_HOLD, {"data_class": data_class, "reason": reason, "by": by, "now": tx.now})
    audit.log(tx, "retention.hold", by=by, resource_type="retention", resource_id=data_class, data={"reason": reason})
    return _of(tx, data_class)


def release(tx: Tx, data_class: str, *, by: str | None = None) -> bool:
    """Release a data class from its legal hold; tells whether there was one.

    Raises:
        InvalidInput: an unknown data class.
    """
    class_of(data_class)
    if not tx.run(_RELEASE, {"data_class": data_class}):
        return False
    audit.log(tx, "retention.release", by=by, resource_type="retention", resource_id=data_class)
    return True


def fleet_policies(tx: Tx) -> list[Policy]:
    """List the policy that each data class has where a tenant says nothing of its own."""
    return effective([Stored(*row) for row in tx.rows(_STORED, {"owners": [FLEET_ID]})], {})


def change_fleet(tx: Tx, data_class: str, keep: timedelta | None, by: str | None, *, reset: bool) -> None:
    """Change the fleet's policy, or with ``reset`` let the default hold again."""
    _write(tx, FLEET_ID, data_class, keep, by, reset=reset)


def log_change(tx: Tx, data_class: str, keep: timedelta | None, by: str | None, *, reset: bool, of: str) -> None:
    """Put a change of a policy into the audit trail of a tenant; ``of`` is whose policy it is."""
    data: dict[str, Any] = {"of": of}
    if not reset:
        data["keep_seconds"] = _seconds(keep)
    audit.log(
        tx,
        "retention.reset" if reset else "retention.set",
        by=by,
        resource_type="retention",
        resource_id=data_class,
        data=data,
    )


def _change(tx: Tx, data_class: str, keep: timedelta | None, by: str | None, *, reset: bool) -> Policy:
    take_turn(tx)
    _write(tx, tx.tenant_id, data_class, keep, by, reset=reset)
    log_change(tx, data_class, keep, by, reset=reset, of="tenant")
    return _of(tx, data_class)


def _write(tx: Tx, owner: UUID, data_class: str, keep: timedelta | None, by: str | None, *, reset: bool) -> None:
    key = {"tenant_id": owner, "data_class": data_class}
    if reset:
        tx.run(_RESET, key)
    else:
        tx.run(_SET, {**key, "keep_seconds": _seconds(keep), "by": by, "now": tx.now})


def _seconds(keep: timedelta | None) -> int | None:
    return None if keep is None else int(keep.total_seconds())


def _of(tx: Tx, data_class: str) -> Policy:
    return next(policy for policy in list_(tx) if policy.data_class == data_class)
