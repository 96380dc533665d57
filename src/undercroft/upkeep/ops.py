"""Health and statistics."""

import time
from typing import Any

from sqlalchemy import bindparam, func, select

from undercroft.archive.models import Attachment, Channel, Message, Quarantine, Reaction
from undercroft.audit.models import AuditEvent
from undercroft.core.dialects.base import Description
from undercroft.core.operation import operation
from undercroft.core.runtime.base import Ports
from undercroft.core.scope import FLEET
from undercroft.core.tx import Tx
from undercroft.errors import DatabaseError, SchemaMissing, SchemaOutdated, SchemaTooNew
from undercroft.tenants.models import Tenant
from undercroft.upkeep.records import FleetStats, Health, Info, TenantStats
from undercroft.users.models import User


def _count(model: Any) -> Any:
    return select(func.count()).select_from(model).where(model.tenant_id == bindparam("tenant_id")).scalar_subquery()


_TENANT_STATS = select(
    *(_count(model) for model in (User, Channel, Message, Attachment, Reaction, Quarantine, AuditEvent)),
    *(  # by the id, which is in the order of time and has an index
        select(Message.sent_at)
        .where(Message.tenant_id == bindparam("tenant_id"))
        .order_by(order)
        .limit(1)
        .scalar_subquery()
        for order in (Message.id, Message.id.desc())
    ),
)
_TENANTS = select(func.count(), func.count(Tenant.deleted_at))


def tenant_stats(tx: Tx) -> TenantStats:
    """Count what the tenant holds, in one statement."""
    return TenantStats(*tx.rows(_TENANT_STATS)[0])


def health(ports: Ports) -> Health:
    """Tell whether the database answers; never raises for a database that does not."""
    start = time.perf_counter()
    try:
        ports.run(_PING)
        start = time.perf_counter()
        ports.run(_PING)
        elapsed = time.perf_counter() - start
        described = ports.run(_DESCRIBE)
    except (DatabaseError, SchemaMissing, SchemaOutdated, SchemaTooNew) as error:
        elapsed = time.perf_counter() - start
        facts = ports.facts
        return Health(
            "unhealthy", facts.engine, elapsed * 1000, schema_head=facts.head, pool=facts.pool, error=error.code
        )
    facts = ports.facts
    return Health(
        "healthy",
        facts.engine,
        elapsed * 1000,
        server_version=described.server_version,
        schema_revision=described.revision,
        schema_head=facts.head,
        pool=facts.pool,
        tables=described.tables,
    )


def info(ports: Ports) -> Info:
    """Describe the database."""
    described, facts = ports.run(_DESCRIBE), ports.facts
    return Info(
        engine=facts.engine,
        address=facts.address,
        server_version=described.server_version,
        schema_revision=described.revision,
        schema_head=facts.head,
        bytes=described.bytes,
    )


def fleet_stats(ports: Ports) -> FleetStats:
    """Count tenants and measure tables."""
    tenants, deleted = ports.within(FLEET).run(_COUNT_TENANTS)
    described = ports.run(_DESCRIBE)
    return FleetStats(tenants - deleted, deleted, described.bytes, described.tables)


def _ping(tx: Tx) -> None:
    tx.sql("SELECT 1")


def _count_tenants(tx: Tx) -> tuple[int, int]:
    counted, deleted = tx.rows(_TENANTS)[0]
    return counted, deleted


def _describe(tx: Tx) -> Description:
    return tx.dialect.describe(tx)


_PING = operation(_ping, access="read")
_COUNT_TENANTS = operation(_count_tenants, access="read")
_DESCRIBE = operation(_describe, access="read")
