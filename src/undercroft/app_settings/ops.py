"""Operations on settings.

Each change is announced first, which makes changes of a tenant's settings take turns: who looks what there was before
finds what the one before has written. What users prefer is answered from settings too, so both topics are announced;
that of preferences first, as whoever announces both does.
"""

from typing import Any

from sqlalchemy import bindparam, delete as sa_delete, select
from sqlalchemy.dialects.postgresql import insert

from undercroft.app_settings.models import AppSetting as Row
from undercroft.app_settings.records import Setting
from undercroft.audit import ops as audit
from undercroft.core.canonical import check_text
from undercroft.core.pages import Filtered, check_limit
from undercroft.core.tx import Tx
from undercroft.core.values import Value, check_name, decoded, encoded

TOPIC, PREFERENCES = "settings", "preferences"
_TOLD = 200
"""Characters of a value that the audit trail keeps: it is kept for ever."""
_COLUMNS: tuple[Any, ...] = (
    Row.name,
    Row.kind,
    Row.value,
    Row.description,
    Row.created_at,
    Row.updated_at,
    Row.updated_by,
)
_MINE = (Row.tenant_id == bindparam("tenant_id"), Row.name == bindparam("name"))
_GET = select(Row.kind, Row.value).where(*_MINE)
_OLD = select(*_COLUMNS).where(*_MINE)
_ADD = insert(Row).values(
    tenant_id=bindparam("tenant_id"),
    name=bindparam("name"),
    kind=bindparam("kind"),
    value=bindparam("value"),
    description=bindparam("description"),
    created_at=bindparam("created_at"),
    updated_at=bindparam("now"),
    updated_by=bindparam("by"),
)
_SET = _ADD.on_conflict_do_update(
    index_elements=[Row.tenant_id, Row.name],
    set_={name: _ADD.excluded[name] for name in ("kind", "value", "description", "updated_at", "updated_by")},
)
_DELETE = sa_delete(Row).where(*_MINE)
_LIST = Filtered(
    select(*_COLUMNS).where(Row.tenant_id == bindparam("tenant_id")).order_by(Row.name).limit(bindparam("limit")),
    after=Row.name > bindparam("after"),
)


def load(tx: Tx, name: str) -> tuple[str, str] | None:
    """Return the kind and the text of a setting, None where there is none."""
    found = tx.row(_GET, {"name": check_name(name)})
    return None if found is None else (found[0], found[1])


def get(stored: tuple[str, str] | None, name: str, default: Any = None) -> Any:
    """Return the value of a setting, of exactly the type that was set, or ``default`` where there is none.

    A setting may be None: `list` tells what is set.

    Raises:
        InvalidInput: an empty name, or one of more than 200 characters; or the value was written past our calls.
    """
    del name  # what was loaded by
    return default if stored is None else decoded(*stored)


def set_(tx: Tx, name: str, value: Value, *, description: str | None = None, by: str | None = None) -> Setting:
    """Set a setting, and write down who did in the audit trail; one that is so already is left as it is.

    A value is a bool, int, float, str, an aware datetime, which comes back in UTC, or JSON: a list, dict or None. It is
    stored in clear; what is secret belongs to `secrets`. A description that is not given stays.

    Raises:
        InvalidInput: another type, also within JSON; NaN or an infinity, a naive datetime, text with NUL; a value of
            more than 65,536 characters; an empty name, or one of more than 200 characters.
    """
    kind, text = encoded(value)
    check_name(name)
    _announce(tx)
    row = tx.row(_OLD, {"name": name})
    old = None if row is None else Setting(*row)
    told = ("" if old is None else old.description) if description is None else check_text(description, "description")
    if old is not None and (old.kind, old.text, old.description) == (kind, text, told):
        return old
    new = Setting(name, kind, text, told, tx.now if old is None else old.created_at, tx.now, by)
    written = {"name": name, "kind": kind, "value": text, "description": told, "created_at": new.created_at}
    tx.run(_SET, {**written, "now": tx.now, "by": by})
    _log(tx, "set", name, by, {"kind": kind, "old": _told(old), "new": _told(new)})
    return new


def delete(tx: Tx, name: str, *, by: str | None = None) -> bool:
    """Delete a setting; tells whether there was one. Written down in the audit trail."""
    check_name(name)
    _announce(tx)
    row = tx.row(_OLD, {"name": name})
    if row is None:
        return False
    tx.run(_DELETE, {"name": name})
    _log(tx, "delete", name, by, {"old": _told(Setting(*row))})
    return True


def list_(tx: Tx, *, limit: int = 100, after: str | None = None) -> list[Setting]:
    """List settings by name; ``after`` is the name of the last one of the page before."""
    statement, used = _LIST.given(after=after, limit=check_limit(limit))
    return [Setting(*row) for row in tx.rows(statement, used)]


def _announce(tx: Tx) -> None:
    for topic in (PREFERENCES, TOPIC):
        tx.announce(topic)


def _told(setting: Setting | None) -> dict[str, str] | None:
    """Return what the trail keeps of a value: under its name, so that what is named like a secret is left out."""
    if setting is None:
        return None
    return {setting.name: setting.text if len(setting.text) <= _TOLD else f"{setting.text[:_TOLD]}…"}


def _log(tx: Tx, verb: str, name: str, by: str | None, data: dict[str, Any]) -> None:
    audit.log(tx, f"setting.{verb}", by=by, resource_type="setting", resource_id=name, data=data)
