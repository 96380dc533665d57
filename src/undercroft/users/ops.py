"""Operations on the users of a tenant."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, null, select, update as sa_update
from sqlalchemy.dialects.postgresql import insert

from undercroft.audit import ops as audit
from undercroft.core.operation import operation
from undercroft.core.pages import Filtered, check_limit
from undercroft.core.runtime.base import Ports
from undercroft.core.tx import Tx
from undercroft.errors import AccessDenied, InvalidInput, NotFound
from undercroft.users.models import User as Row
from undercroft.users.records import User
from undercroft.users.rules import Role, at_least, check_change, check_role

_COLUMNS = (
    Row.id,
    Row.native_id,
    Row.name,
    Row.display_name,
    Row.real_name,
    Row.email,
    Row.role,
    Row.is_bot,
    Row.is_stub,
    Row.timezone,
    Row.preferences,
    Row.profile,
    Row.created_at,
    Row.updated_at,
    Row.deleted_at,
)
_MINE = Row.tenant_id == bindparam("tenant_id")
_GET = select(*_COLUMNS).where(_MINE, Row.id == bindparam("id"))
_CREATE = (
    insert(Row)
    .values(
        tenant_id=bindparam("tenant_id"),
        platform=bindparam("platform"),
        deleted_at=null(),
        **{column.key: bindparam(column.key) for column in _COLUMNS[:-1]},
    )
    .on_conflict_do_nothing()
)
_CHANGEABLE = (
    "name",
    "display_name",
    "real_name",
    "email",
    "role",
    "is_bot",
    "is_stub",
    "timezone",
    "preferences",
    "profile",
)
_CHANGE = (
    sa_update(Row)
    .where(_MINE, Row.id == bindparam("id"))
    .values(updated_at=bindparam("now"), **{name: bindparam(name) for name in _CHANGEABLE})
)
_LIST = Filtered(
    select(*_COLUMNS).where(_MINE).order_by(Row.id).limit(bindparam("limit")),
    role=Row.role == bindparam("role"),
    email=Row.email == bindparam("email"),
    is_bot=Row.is_bot == bindparam("is_bot"),
    living=Row.deleted_at.is_(None),
    after=Row.id > bindparam("after"),
)
_OWNERS = select(func.count()).select_from(Row).where(_MINE, Row.role == "owner", Row.deleted_at.is_(None))


def user_id(tx: Tx, user: str) -> UUID:
    """Compute the id of a user of the transaction's tenant from the platform's own id."""
    return tx.named("user", user)


def ensure(
    tx: Tx,
    user: str,
    *,
    name: str | None = None,
    display_name: str | None = None,
    real_name: str | None = None,
    email: str | None = None,
    role: Role | None = None,
    is_bot: bool | None = None,
    timezone: str | None = None,
    preferences: Mapping[str, Any] | None = None,
    profile: Mapping[str, Any] | None = None,
) -> User:
    """Create the user if there is none, else change what is given; ``user`` is the platform's own id.

    ``role`` is that of a new user (member by default); `set_role` changes it later.

    Raises:
        InvalidInput: an empty id or an unknown role.
    """
    if not user:
        message = "A user needs the platform's id."
        raise InvalidInput(message, field="user")
    given: dict[str, Any] = {
        "name": name,
        "display_name": display_name,
        "real_name": real_name,
        "email": email,
        "is_bot": is_bot,
        "timezone": timezone,
    }
    known: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
    new = User(
        id=user_id(tx, user),
        native_id=user,
        name=name or "",
        display_name=display_name or "",
        real_name=real_name or "",
        email=email,
        role=check_role(role or "member"),
        is_bot=bool(is_bot),
        is_stub=False,
        timezone=timezone,
        preferences=dict(preferences or {}),
        profile=dict(profile or {}),
        created_at=tx.now,
        updated_at=tx.now,
        deleted_at=None,
    )
    values = {column.key: getattr(new, column.key) for column in _COLUMNS[:-1]}
    if tx.run(_CREATE, {"platform": tx.platform, **values}):
        return new
    old = get(tx, user)
    return _change(
        tx,
        old,
        replace(
            old,
            **known,
            is_stub=False,
            preferences={**old.preferences, **(preferences or {})},
            profile={**old.profile, **(profile or {})},
        ),
    )


def get(tx: Tx, user: str) -> User:
    """Look up a user by the platform's id.

    Raises:
        NotFound: the tenant has no such user.
    """
    row = tx.row(_GET, {"id": user_id(tx, user)})
    if row is None:
        message = "The tenant has no such user."
        raise NotFound(message, user=user)
    return User(*row)


def list_(
    tx: Tx,
    *,
    role: Role | None = None,
    email: str | None = None,
    is_bot: bool | None = None,
    include_deleted: bool = False,
    limit: int = 100,
    after: str | None = None,
) -> list[User]:
    """List users in the order of their ids; ``after`` is the platform's id of the last one of the page before."""
    statement, used = _LIST.given(
        role=None if role is None else check_role(role),
        email=email,
        is_bot=is_bot,
        living=None if include_deleted else True,
        after=None if after is None else user_id(tx, after),
        limit=check_limit(limit),
    )
    return [User(*row) for row in tx.rows(statement, used)]


def set_role(tx: Tx, user: str, role: Role, *, by: str | None = None) -> User:
    """Give a user another role, and write that down; ``by`` is who asks, None for the program itself.

    Raises:
        AccessDenied: ``by`` may not or is deleted, or no owner would be left.
        NotFound: the tenant has no such user, or none such as ``by``.
    """
    new = check_role(role)
    actor = None if by is None else get(tx, by)
    if actor is not None and actor.deleted_at is not None:
        message = "Who is deleted may not change roles."
        raise AccessDenied(message, user=by)
    old = get(tx, user)
    check_change(None if actor is None else actor.role, old.role, new, owners=tx.value(_OWNERS))
    changed = _change(tx, old, replace(old, role=new))
    audit.log(
        tx,
        "user.set_role",
        by=by,
        resource_type="user",
        resource_id=user,
        data={"old": old.role, "new": new},
    )
    return changed


def require(ports: Ports, user: str, role: Role) -> User:
    """Return the user where his role includes the one needed.

    Raises:
        AccessDenied: it does not, he is deleted, or there is no such user; the attempt is in the audit trail.
    """
    needed = check_role(role)
    try:
        found: User | None = ports.run(_READ, user)
    except NotFound:
        found = None
    if found is not None and found.deleted_at is None and at_least(found.role, needed):
        return found
    has = found.role if found is not None else None
    ports.run(_DENY, user, needed, has)
    message = f"This needs the role {needed}."
    raise AccessDenied(message, user=user)


def _deny(tx: Tx, user: str, needed: Role, has: Role | None) -> None:
    audit.log(tx, "user.require", category="access", by=user, status="denied", data={"needed": needed, "has": has})


_READ = operation(get, access="read")
_DENY = operation(_deny, access="append")


def _change(tx: Tx, old: User, new: User) -> User:
    if new == old:
        return old
    new = replace(new, updated_at=tx.now)
    tx.run(_CHANGE, {"id": new.id, "now": tx.now, **{name: getattr(new, name) for name in _CHANGEABLE}})
    return new
