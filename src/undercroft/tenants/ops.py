"""Operations on the fleet's directory of tenants."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, null, select, update as sa_update
from sqlalchemy.dialects.postgresql import insert

from undercroft.core import ids
from undercroft.core.pages import Filtered, check_limit
from undercroft.core.tx import Tx
from undercroft.errors import InvalidInput, TenantDeleted, TenantUnknown
from undercroft.tenants.models import Tenant as Row
from undercroft.tenants.records import Tenant

DEFAULT = "local:default"
"""The key of the tenant of a bot that has only one; every database has it from its first revision."""

_COLUMNS = (
    Row.tenant_id,
    Row.platform + ":" + Row.native_id,
    Row.name,
    Row.plan_tier,
    Row.subscription_status,
    Row.settings,
    Row.created_at,
    Row.updated_at,
    Row.deleted_at,
)
_GET = select(*_COLUMNS).where(Row.tenant_id == bindparam("id"))
_CREATE = (
    insert(Row)
    .values(
        tenant_id=bindparam("id"),
        platform=bindparam("platform"),
        native_id=bindparam("native_id"),
        name=bindparam("name"),
        plan_tier=bindparam("plan_tier"),
        subscription_status=bindparam("subscription_status"),
        settings=bindparam("settings"),
        created_at=bindparam("now"),
        updated_at=bindparam("now"),
        deleted_at=null(),
    )
    .on_conflict_do_nothing()
)
_CHANGE = (
    sa_update(Row)
    .where(Row.tenant_id == bindparam("id"))
    .values(
        name=bindparam("name"),
        plan_tier=bindparam("plan_tier"),
        subscription_status=bindparam("subscription_status"),
        settings=bindparam("settings"),
        updated_at=bindparam("now"),
    )
)
_MARK = (
    sa_update(Row)
    .where(Row.tenant_id == bindparam("id"))
    .values(deleted_at=bindparam("deleted_at"), updated_at=bindparam("now"))
)
_LIST = Filtered(
    select(*_COLUMNS).order_by(Row.tenant_id).limit(bindparam("limit")),
    plan_tier=Row.plan_tier == bindparam("plan_tier"),
    subscription_status=Row.subscription_status == bindparam("subscription_status"),
    living=Row.deleted_at.is_(None),
    after=Row.tenant_id > bindparam("after"),
)


def ensure(
    tx: Tx,
    tenant: str,
    *,
    name: str | None = None,
    plan_tier: str | None = None,
    subscription_status: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Tenant:
    """Create the tenant if there is none, else change what is given.

    Raises:
        InvalidInput: the key is not of the form ``platform:id``.
        TenantDeleted: it was deleted; restore it first.
    """
    platform, native_id = ids.parse_tenant_name(tenant)
    new = {
        "id": tenant_id(tenant),
        "platform": platform,
        "native_id": native_id,
        "name": native_id if name is None else name,
        "plan_tier": plan_tier or "free",
        "subscription_status": subscription_status or "active",
        "settings": dict(settings or {}),
        "now": tx.now,
    }
    if tx.run(_CREATE, new):
        return get(tx, tenant)
    return update(
        tx, tenant, name=name, plan_tier=plan_tier, subscription_status=subscription_status, settings=settings
    )


def get(tx: Tx, tenant: str) -> Tenant:
    """Look up a tenant, a deleted one too.

    Raises:
        TenantUnknown: there is none of this key.
    """
    row = tx.row(_GET, {"id": tenant_id(tenant)})
    if row is None:
        raise TenantUnknown(tenant=tenant)
    return Tenant(*row)


def list_(
    tx: Tx,
    *,
    plan_tier: str | None = None,
    subscription_status: str | None = None,
    include_deleted: bool = False,
    limit: int = 100,
    after: str | None = None,
) -> list[Tenant]:
    """List tenants in the order of their ids; ``after`` is the key of the last one of the page before."""
    statement, used = _LIST.given(
        plan_tier=plan_tier,
        subscription_status=subscription_status,
        living=None if include_deleted else True,
        after=None if after is None else tenant_id(after),
        limit=check_limit(limit),
    )
    return [Tenant(*row) for row in tx.rows(statement, used)]


def update(
    tx: Tx,
    tenant: str,
    *,
    name: str | None = None,
    plan_tier: str | None = None,
    subscription_status: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Tenant:
    """Change what is given, ``settings`` key by key, and leave the rest.

    Raises:
        TenantUnknown: there is none of this key.
        TenantDeleted: it was deleted; restore it first.
    """
    old = get(tx, tenant)
    if old.deleted_at is not None:
        raise TenantDeleted(tenant=tenant)
    new = replace(
        old,
        name=old.name if name is None else name,
        plan_tier=plan_tier or old.plan_tier,
        subscription_status=subscription_status or old.subscription_status,
        settings={**old.settings, **(settings or {})},
    )
    if new == old:
        return old
    new = replace(new, updated_at=tx.now)
    tx.run(
        _CHANGE,
        {
            "id": new.id,
            "name": new.name,
            "plan_tier": new.plan_tier,
            "subscription_status": new.subscription_status,
            "settings": new.settings,
            "now": tx.now,
        },
    )
    return new


def soft_delete(tx: Tx, tenant: str) -> Tenant:
    """Put the tenant and all it holds out of reach of every call, until it is restored or purged."""
    old = get(tx, tenant)
    if old.deleted_at is not None:
        return old
    tx.announce("tenants")  # no process answers from its memory any more
    return _marked(tx, old, tx.now)


def restore(tx: Tx, tenant: str) -> Tenant:
    """Bring a deleted tenant back with all it held."""
    old = get(tx, tenant)
    return old if old.deleted_at is None else _marked(tx, old, None)


def purge(tx: Tx, tenant: str) -> int:
    """Remove a deleted tenant and all it held for good; returns the number of rows removed.

    On PostgreSQL rows that go with another of the tenant's rows (a result's names of tables) are not counted.

    Raises:
        TenantUnknown: there is none of this key.
        InvalidInput: it is not deleted.
        UnderLegalHold: something of it is under a legal hold.
    """
    old = get(tx, tenant)
    if old.deleted_at is None:
        message = "Only a deleted tenant can be purged."
        raise InvalidInput(message, field="tenant", hint="call store.tenants.soft_delete(...) first")
    return tx.dialect.purge_tenant(tx, old.id)


def tenant_id(tenant: str) -> UUID:
    """Compute a tenant's id from its key, such as ``slack:T123``."""
    return ids.named("tenant", *ids.parse_tenant_name(tenant))


def _marked(tx: Tx, old: Tenant, deleted_at: datetime | None) -> Tenant:
    tx.run(_MARK, {"id": old.id, "deleted_at": deleted_at, "now": tx.now})
    return replace(old, deleted_at=deleted_at, updated_at=tx.now)
