"""As whom a user asks a warehouse, and what he may ask there."""

from collections.abc import Collection
from dataclasses import fields

from sqlalchemy import and_, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert

from undercroft.audit import ops as audit
from undercroft.core.operation import operation
from undercroft.core.runtime.base import Ports
from undercroft.core.tx import Tx
from undercroft.errors import AccessDenied, InvalidInput, NotFound
from undercroft.users.models import User, UserMapping as Row
from undercroft.users.ops import user_id
from undercroft.users.records import DatabaseMapping
from undercroft.users.rules import denial

_COLUMNS = tuple(getattr(Row, field.name) for field in fields(DatabaseMapping))
_MINE = (Row.tenant_id == bindparam("tenant_id"), Row.user_id == bindparam("user_id"))
_GET = select(*_COLUMNS).where(*_MINE)
_RIGHTS = (
    select(*_COLUMNS, User.deleted_at)
    .select_from(Row)
    .outerjoin(User, and_(User.tenant_id == Row.tenant_id, User.id == Row.user_id))
    .where(*_MINE)
)
_NEW = insert(Row).values(
    tenant_id=bindparam("tenant_id"),
    user_id=bindparam("user_id"),
    **{column.key: bindparam(column.key) for column in _COLUMNS},
)
_KEPT = {"native_id", "created_at"}
_PUT = _NEW.on_conflict_do_update(
    index_elements=[Row.tenant_id, Row.user_id],
    set_={column.key: _NEW.excluded[column.key] for column in _COLUMNS if column.key not in _KEPT},
).returning(*_COLUMNS)
_REMOVE = delete(Row).where(*_MINE)


def map_database(
    tx: Tx,
    user: str,
    *,
    database_user: str,
    role: str = "",
    allowed_databases: Collection[str] = (),
    permissions: Collection[str] = ("read",),
    by: str | None = None,
) -> DatabaseMapping:
    """Say as whom a user asks the warehouse, in place of what was said before; written down in the audit trail.

    ``role`` is the warehouse's. ``allowed_databases`` are names as `authorize_query` will get them, ``*`` for all;
    ``permissions`` are words of your own, ``*`` for all. ``by`` is who says so, None for the program itself.

    Raises:
        InvalidInput: an empty name, or one text where several are expected.
    """
    if not user or not database_user:
        message = "A mapping needs the platform's id of a user, and a user of the database."
        raise InvalidInput(message, field="database_user" if user else "user")
    given = {
        "native_id": user,
        "database_user": database_user,
        "role": role,
        "allowed_databases": _names(allowed_databases, "allowed_databases"),
        "permissions": _names(permissions, "permissions"),
    }
    times = {"created_at": tx.now, "updated_at": tx.now}
    mapping = _mapping(*tx.rows(_PUT, {"user_id": user_id(tx, user), **given, **times})[0])
    told = {name: value for name, value in given.items() if name != "native_id"}
    audit.log(tx, "user.map_database", by=by, resource_type="user", resource_id=user, data=told)
    return mapping


def unmap_database(tx: Tx, user: str, *, by: str | None = None) -> bool:
    """Take a user's way into the warehouse away; tells whether he had one. Written down in the audit trail."""
    if not tx.run(_REMOVE, {"user_id": user_id(tx, user)}):
        return False
    audit.log(tx, "user.unmap_database", by=by, resource_type="user", resource_id=user)
    return True


def database_mapping(tx: Tx, user: str) -> DatabaseMapping:
    """Look up as whom a user asks the warehouse.

    Raises:
        NotFound: he does not.
    """
    row = tx.row(_GET, {"user_id": user_id(tx, user)})
    if row is None:
        message = "The user has no mapping to a database."
        raise NotFound(message, hint="make one with users.map_database(...)", user=user)
    return _mapping(*row)


def authorize_query(ports: Ports, user: str, *, database: str, permission: str = "read") -> DatabaseMapping:
    """Return as whom the user may ask the database; ask before every query, and pass its ``rights`` to ``results``.

    Names are compared exactly.

    Raises:
        AccessDenied: he may not: there is no such user, no mapping, or it lacks the database or the permission. The
            attempt is in the audit trail, with the reason.
    """
    mapping, deleted = ports.run(_READ, user)
    reason = denial(mapping, database, permission, deleted=deleted)
    if reason is None:
        granted: DatabaseMapping = mapping
        return granted
    ports.run(_DENY, user, database, permission, reason)
    message = f"The user may not ask this database: {reason}."
    raise AccessDenied(message, hint="see users.map_database(...)", user=user, database=database)


def _rights(tx: Tx, user: str) -> tuple[DatabaseMapping | None, bool]:
    row = tx.row(_RIGHTS, {"user_id": user_id(tx, user)})
    return (None, False) if row is None else (_mapping(*row[:-1]), row[-1] is not None)


def _deny(tx: Tx, user: str, database: str, permission: str, reason: str) -> None:
    data = {"database": database, "permission": permission, "reason": reason}
    audit.log(tx, "user.authorize_query", category="access", by=user, status="denied", data=data)


_READ = operation(_rights, access="read")
_DENY = operation(_deny, access="append")


def _mapping(*values: object) -> DatabaseMapping:
    names = (field.name for field in fields(DatabaseMapping))
    return DatabaseMapping(
        **{  # type: ignore[arg-type]  # a row of the columns that are named after the fields
            name: tuple(value) if isinstance(value, list) else value for name, value in zip(names, values, strict=True)
        }
    )


def _names(names: Collection[str], field: str) -> list[str]:
    if isinstance(names, str) or not all(names):
        message = "Names are a list of texts that are not empty."
        raise InvalidInput(message, field=field, hint='pass ["SALES"], not "SALES"')
    return sorted(set(names))
