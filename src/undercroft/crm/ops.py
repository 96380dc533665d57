"""Operations on connections to CRMs.

Whoever may change which one is the default locks all of a tenant's connections first, which are few. Where there is
none yet, the unique index lets one of those who come at once be the first.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, false, literal, null, select, true, update
from sqlalchemy.dialects.postgresql import insert

from undercroft.audit import ops as audit
from undercroft.core import ids
from undercroft.core.canonical import check_text
from undercroft.core.pages import Filtered
from undercroft.core.tx import Tx
from undercroft.crm.models import CRMConnection as Row
from undercroft.crm.records import Connection
from undercroft.crm.rules import check_reference
from undercroft.errors import InvalidInput, NotFound

_COLUMNS = tuple(getattr(Row, field.name) for field in fields(Connection))
_MINE = Row.tenant_id == bindparam("tenant_id")
_IT = (_MINE, Row.id == bindparam("id"), Row.disconnected_at.is_(None))
_DEFAULT = select(*_COLUMNS).where(_MINE, Row.is_default)
_GET = select(*_COLUMNS).where(*_IT)
_LIST = Filtered(
    select(*_COLUMNS).where(_MINE).order_by(Row.id).limit(literal(1000)),
    connected=Row.disconnected_at.is_(None),
)
_LOCK = select(Row.id).where(_MINE).order_by(Row.id).with_for_update()
_NEW = insert(Row).values(
    tenant_id=bindparam("tenant_id"),
    id=bindparam("id"),
    provider=bindparam("provider"),
    name=bindparam("name"),
    credentials=bindparam("credentials"),
    settings=bindparam("settings"),
    connected_by=bindparam("by"),
    connected_at=bindparam("now"),
    updated_at=bindparam("now"),
    disconnected_at=null(),
)
_FIRST = _NEW.values(is_default=true()).on_conflict_do_nothing().returning(*_COLUMNS)
_OTHER = _NEW.values(is_default=false())
_KEPT = ("credentials", "settings", "connected_by", "connected_at", "updated_at", "disconnected_at")
_AGAIN = _OTHER.on_conflict_do_update(
    index_elements=[Row.tenant_id, Row.provider, Row.name],
    set_={name: _OTHER.excluded[name] for name in _KEPT},
).returning(*_COLUMNS)
_CLEAR = update(Row).where(_MINE, Row.is_default, Row.id != bindparam("id")).values(is_default=false())
_CHOOSE = update(Row).where(*_IT).values(is_default=true(), updated_at=bindparam("now")).returning(*_COLUMNS)
_DISCONNECT = (
    update(Row)
    .where(*_IT)
    .values(is_default=false(), credentials=literal(""), disconnected_at=bindparam("now"), updated_at=bindparam("now"))
    .returning(Row.provider)
)


def connect(
    tx: Tx,
    provider: str,
    *,
    credentials: str,
    name: str,
    settings: Mapping[str, Any] | None,
    default: bool,
    by: str | None,
) -> Connection:
    """Store a connection, in place of the one of the same provider and name."""
    if not check_text(provider, "provider"):
        message = "A connection needs the name of a CRM, such as hubspot."
        raise InvalidInput(message, field="provider")
    given = {
        "id": ids.new(),
        "provider": provider,
        "name": name,
        "credentials": check_reference(credentials),
        "settings": dict(settings or {}),
        "by": by,
        "now": tx.now,
    }
    tx.rows(_LOCK)
    row = tx.row(_FIRST, given) or tx.rows(_AGAIN, given)[0]
    made = Connection(*row)
    if not made.is_default and (default or tx.row(_DEFAULT) is None):
        made = _choose(tx, made.id)
    told = {"provider": provider, "name": name, "default": made.is_default}
    audit.log(tx, "crm.connect", by=by, resource_type="crm_connection", resource_id=str(made.id), data=told)
    return made


def default(tx: Tx) -> Connection | None:
    """Return the tenant's default connection, None where there is none."""
    row = tx.row(_DEFAULT)
    return None if row is None else Connection(*row)


def list_(tx: Tx, *, include_disconnected: bool = False) -> list[Connection]:
    """List the tenant's connections, the oldest first; not more than 1000."""
    statement, used = _LIST.given(connected=None if include_disconnected else True)
    return [Connection(*row) for row in tx.rows(statement, used)]


def get(tx: Tx, connection: UUID | None) -> Connection:
    """Look up a connection, the default one without an id.

    Raises:
        NotFound: it is disconnected, or there is none.
    """
    row = tx.row(_DEFAULT) if connection is None else tx.row(_GET, {"id": connection})
    if row is None:
        raise _none(connection)
    return Connection(*row)


def set_default(tx: Tx, connection: UUID, *, by: str | None) -> Connection:
    """Make a connection the default one."""
    chosen = _choose(tx, connection)
    audit.log(tx, "crm.set_default", by=by, resource_type="crm_connection", resource_id=str(connection))
    return chosen


def disconnect(tx: Tx, connection: UUID, *, by: str | None) -> bool:
    """Forget where a connection's secret lies."""
    provider = tx.value(_DISCONNECT, {"id": connection, "now": tx.now})
    if provider is None:
        return False
    told = {"provider": provider}
    audit.log(tx, "crm.disconnect", by=by, resource_type="crm_connection", resource_id=str(connection), data=told)
    return True


def _choose(tx: Tx, connection: UUID) -> Connection:
    tx.rows(_LOCK)
    tx.run(_CLEAR, {"id": connection})
    row = tx.row(_CHOOSE, {"id": connection, "now": tx.now})
    if row is None:
        raise _none(connection)
    return Connection(*row)


def _none(connection: UUID | None) -> NotFound:
    message = "The tenant has no default CRM." if connection is None else "The tenant has no such connection."
    return NotFound(message, hint="connect one with crm.connect(...)")
