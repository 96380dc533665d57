"""Health and statistics."""

import time
from typing import Any

from sqlalchemy import bindparam, func, select

from undercroft.archive.models import Attachment, Channel, Message, Quarantine, Reaction
from undercroft.audit.models import AuditEvent
from undercroft.core import ids
from undercroft.core.dialects.base import Description
from undercroft.core.operation import operation
from undercroft.core.runtime.base import Ports
from undercroft.core.runtime.place import ReplicaState
from undercroft.core.runtime.redis import Script
from undercroft.core.scope import FLEET
from undercroft.core.tx import Tx
from undercroft.crm.models import AccountMapping, CRMConnection
from undercroft.errors import DatabaseError, RedisUnavailable, SchemaMissing, SchemaOutdated, SchemaTooNew
from undercroft.meetings.models import MeetingSession
from undercroft.tenants.models import Tenant
from undercroft.upkeep import trial
from undercroft.upkeep.models import FLEET_ID
from undercroft.upkeep.records import FleetStats, Health, Info, RedisState, TenantStats, Trial
from undercroft.upkeep.retention import ops as retention, removal
from undercroft.users.models import User


def _count(model: Any, *conditions: Any) -> Any:
    mine = model.tenant_id == bindparam("tenant_id")
    return select(func.count()).select_from(model).where(mine, *conditions).scalar_subquery()


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
    _count(CRMConnection, CRMConnection.disconnected_at.is_(None)),
    _count(AccountMapping),
    _count(MeetingSession),
    _count(MeetingSession, MeetingSession.id >= bindparam("month")),
)
_ALIVE = Script("return 1")
_TENANTS = select(func.count(), func.count(Tenant.deleted_at))


def tenant_stats(tx: Tx) -> TenantStats:
    """Count what the tenant holds, in one statement, and tell how long it is kept."""
    last_run, next_run_at = removal.runs(tx, tx.tenant_id)
    month = tx.now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    counts = tx.rows(_TENANT_STATS, {"month": ids.floor(month)})[0]
    return TenantStats(*counts, retention=retention.list_(tx), last_run=last_run, next_run_at=next_run_at)


def health(ports: Ports, *, deep: bool = False) -> Health:
    """Tell whether the database answers, and with ``deep`` whether it takes, keeps and gives up a row.

    Never raises for a database that does not. Each statement may take ``query_timeout`` seconds.
    """
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
            "unhealthy",
            facts.engine,
            elapsed * 1000,
            schema_head=facts.head,
            pool=facts.pool,
            replica=_replica(ports),
            redis=redis(ports),
            trial=Trial() if deep else None,
            error=error.code,
        )
    tried, failure = trial.attempt(ports) if deep else (None, None)
    facts = ports.facts
    return Health(
        "healthy" if failure is None else "unhealthy",
        facts.engine,
        elapsed * 1000,
        server_version=described.server_version,
        schema_revision=described.revision,
        schema_head=facts.head,
        pool=facts.pool,
        tables=described.tables,
        replica=_replica(ports),
        redis=redis(ports),
        trial=tried,
        error=None if failure is None else failure.code,
    )


def _replica(ports: Ports) -> ReplicaState | None:
    replica = ports.facts.replica
    return None if replica is None else ports.wait(replica.look())


def redis(ports: Ports) -> RedisState | None:
    """Ask Redis, where there is one, for a sign of life."""
    if ports.redis is None:
        return None
    start, reason, answered = time.perf_counter(), None, True
    try:
        ports.script(_ALIVE, (), ())
    except RedisUnavailable as error:
        answered, reason = False, error.context.get("reason")
    took = (time.perf_counter() - start) * 1000
    return RedisState(str(ports.redis.address), answered, took, None if reason is None else str(reason))


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
    tenants, deleted, *upkeep = ports.within(FLEET).run(_FLEET)
    described = ports.run(_DESCRIBE)
    return FleetStats(tenants - deleted, deleted, described.bytes, described.tables, *upkeep)


def _ping(tx: Tx) -> None:
    tx.sql("SELECT 1")


def _fleet(tx: Tx) -> tuple[Any, ...]:
    return *tx.rows(_TENANTS)[0], retention.fleet_policies(tx), *removal.runs(tx, FLEET_ID)


def _describe(tx: Tx) -> Description:
    return tx.dialect.describe(tx)


_PING = operation(_ping, access="read")
_FLEET = operation(_fleet, access="read")
_DESCRIBE = operation(_describe, access="read")
