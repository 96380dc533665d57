"""The one way a configuration is changed: its row, a version that stays, and an event in the audit trail."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import SecretStr
from sqlalchemy import bindparam, func, literal_column, select, update

from undercroft.audit import ops as audit
from undercroft.audit.records import NewEvent
from undercroft.config.models import PAST_VALUE, VALUE, ConfigAudit as Past, Configuration as Row
from undercroft.config.records import Change, ConfigEntry
from undercroft.config.rules import check_version, read
from undercroft.core.schema import any_of
from undercroft.core.tx import Tx
from undercroft.errors import VersionConflict

TOPIC = "config"
ROWS = Row.metadata.tables["undercroft.configurations"]
PAST = Past.metadata.tables["undercroft.config_audit"]
_CHANGED = ("version", "category", "description", "is_sensitive", "value", "sealed", "created_at", "updated_at")
_LAST = select(func.coalesce(func.max(Past.position), literal_column("0"))).where(
    Past.tenant_id == bindparam("tenant_id")
)
_STATE = (Row.key, Row.version, Row.category, Row.description, Row.is_sensitive, Row.value, Row.sealed, Row.created_at)
_LOCK = (
    select(*_STATE, _LAST.scalar_subquery().label("last_position"))
    .where(Row.tenant_id == bindparam("tenant_id"), any_of(Row.key, "keys"))
    .order_by(Row.key)
    .with_for_update()
)
_CHANGE = (
    update(Row)
    .where(Row.tenant_id == bindparam("tenant_id"), Row.key == bindparam("its_key"))
    .values(
        {name: bindparam(f"new_{name}", type_=ROWS.c[name].type) for name in _CHANGED}
        | {"updated_by": bindparam("by", type_=ROWS.c.updated_by.type)}
    )
)


@dataclass(frozen=True, slots=True)
class State:
    """What a configuration is at the moment, under a lock; one that was never set has version 0."""

    key: str
    version: int
    category: str
    description: str
    is_sensitive: bool
    value: str | None
    sealed: bytes | None
    created_at: datetime
    last_position: int
    """Of the tenant's last change of any."""

    @property
    def exists(self) -> bool:
        """Whether it is set to something."""
        return self.value is not None or self.sealed is not None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a configuration is to become; what is None stays, and without a text it is deleted."""

    key: str
    text: SecretStr | None
    category: str | None = None
    description: str | None = None
    is_sensitive: bool | None = None
    rolled_back_to: int | None = None

    @property
    def change(self) -> Change:
        """What its version says was done."""
        if self.text is None:
            return "delete"
        return "set" if self.rolled_back_to is None else "rollback"


def locked(tx: Tx, keys: Sequence[str], *, making: bool) -> tuple[int, dict[str, State]]:
    """Lock configurations by their keys; ``making`` adds those that there are not, without a value.

    Returns the position of the change with them. Announced first, changes of a tenant take turns from here on, so that
    two of them, of several configurations each, never wait for each other.
    """
    announced = tx.announce(TOPIC)
    found = _locked(tx, keys)
    missing = [key for key in keys if key not in found]
    if not missing or not making:
        return _position(announced, found), found
    new = {"version": 0, "category": "general", "description": "", "is_sensitive": False}
    times = {"created_at": tx.now, "updated_at": tx.now}
    tx.insert_many(ROWS, [{"tenant_id": tx.tenant_id, "key": key, **new, **times} for key in sorted(missing)])
    found = _locked(tx, keys)
    return _position(announced, found), found


def check_expected(key: str, state: State | None, expected: int | None) -> None:
    """Raise VersionConflict where a configuration is at another version than expected, 0 standing for none."""
    if expected is None:
        return
    check_version(expected, "expected", 0)
    current = state.version if state is not None and state.exists else 0
    if expected != current:
        raise VersionConflict(key=key, expected=expected, current=current)


def write(tx: Tx, changes: Sequence[tuple[State, Wanted]], *, position: int, by: str | None) -> list[ConfigEntry]:
    """Change configurations that are locked, each to its next version."""
    entries = [_entry(tx, state, wanted, by) for state, wanted in changes]
    rows, versions = [], []
    for entry, (_, wanted) in zip(entries, changes, strict=True):
        about = {"category": entry.category, "description": entry.description, "is_sensitive": entry.is_sensitive}
        new = {"version": entry.version, **about, "created_at": entry.created_at, "updated_at": tx.now}
        new |= _stored(tx, VALUE, entry, wanted.text)
        rows.append({"its_key": entry.key, "by": by, **{f"new_{name}": value for name, value in new.items()}})
        past = {"tenant_id": tx.tenant_id, "key": entry.key, "version": entry.version, "position": position}
        past |= {
            "change": wanted.change,
            "rolled_back_to": wanted.rolled_back_to,
            **about,
            "changed_at": tx.now,
            "changed_by": by,
        }
        versions.append(past | _stored(tx, PAST_VALUE, entry, wanted.text))
    if len(rows) == 1:
        tx.run(_CHANGE, rows[0])
    else:
        tx.run_many(_CHANGE, rows)
    tx.insert_many(PAST, versions, conflict="error")
    audit.append(tx, [_event(entry, wanted, by) for entry, (_, wanted) in zip(entries, changes, strict=True)])
    return entries


def _position(announced: int, states: Mapping[str, State]) -> int:
    """Return what is above every position before: rows that were restored may come from another database's count."""
    return max(announced, *(state.last_position + 1 for state in states.values())) if states else announced


def _locked(tx: Tx, keys: Sequence[str]) -> dict[str, State]:
    return {row[0]: State(*row) for row in tx.rows(_LOCK, {"keys": list(keys)})}


def _entry(tx: Tx, state: State, wanted: Wanted, by: str | None) -> ConfigEntry:
    is_sensitive = state.is_sensitive if wanted.is_sensitive is None else wanted.is_sensitive
    return ConfigEntry(
        key=state.key,
        value=None if wanted.text is None or is_sensitive else read(wanted.text.get_secret_value()),
        version=state.version + 1,
        category=state.category if wanted.category is None else wanted.category,
        description=state.description if wanted.description is None else wanted.description,
        is_sensitive=is_sensitive,
        created_at=state.created_at if state.exists else tx.now,
        updated_at=tx.now,
        updated_by=by,
    )


def _stored(tx: Tx, column: Any, entry: ConfigEntry, text: SecretStr | None) -> dict[str, Any]:
    """Return a value as it is stored, in clear or sealed to its key and version."""
    if text is None:
        return {"value": None, "sealed": None}
    if entry.is_sensitive:
        return {"value": None, "sealed": column.seal(tx, (entry.key,), text, version=entry.version)}
    return {"value": text.get_secret_value(), "sealed": None}


def _event(entry: ConfigEntry, wanted: Wanted, by: str | None) -> NewEvent:
    data: dict[str, Any] = {"version": entry.version, "is_sensitive": entry.is_sensitive}
    if wanted.rolled_back_to is not None:
        data["rolled_back_to"] = wanted.rolled_back_to
    return audit.new_event(f"config.{wanted.change}", by=by, resource_type="config", resource_id=entry.key, data=data)
