"""Operations on the audit trail: it is written and read, never changed."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, literal_column, select
from typing_extensions import Unpack

from undercroft.audit import sealing
from undercroft.audit.models import AuditEvent as Row
from undercroft.audit.records import AuditEvent, EventFields, NewEvent, Status, Written
from undercroft.audit.redaction import redacted, redacted_text
from undercroft.audit.rules import STATUSES, event_bytes, event_hash
from undercroft.core import ids
from undercroft.core.clock import require_aware, utc_now
from undercroft.core.pages import Filtered, check_limit
from undercroft.core.runtime.place import Place
from undercroft.core.scope import Scope
from undercroft.core.tx import Tx
from undercroft.errors import InvalidInput, TenantNotSet

_COLUMNS = (
    Row.id,
    Row.occurred_at,
    Row.event_type,
    Row.category,
    Row.action,
    Row.status,
    Row.description,
    Row.actor,
    Row.resource_type,
    Row.resource_id,
    Row.ip,
    Row.user_agent,
    Row.data,
    Row.event_hash,
)
_TOLD = NewEvent._fields[2:]
_SEARCH = Filtered(
    select(*_COLUMNS).where(Row.tenant_id == bindparam("tenant_id")).order_by(Row.id.desc()).limit(bindparam("limit")),
    actor=Row.actor == bindparam("actor"),
    event_type=Row.event_type == bindparam("event_type"),
    category=Row.category == bindparam("category"),
    status=Row.status == bindparam("status"),
    failed=Row.status != literal_column("'success'"),  # as the partial index has it: a parameter would hide it
    resource_type=Row.resource_type == bindparam("resource_type"),
    resource_id=Row.resource_id == bindparam("resource_id"),
    ip=Row.ip == bindparam("ip"),
    since=Row.id >= bindparam("since"),
    until=Row.id < bindparam("until"),
    before=Row.id < bindparam("before"),
)


def new_event(
    event_type: str,
    *,
    category: str = "",
    action: str = "",
    by: str | None = None,
    status: Status = "success",
    description: str = "",
    resource_type: str | None = None,
    resource_id: str | None = None,
    ip: str | None = None,
    user_agent: str | None = None,
    data: Mapping[str, Any] | None = None,
) -> NewEvent:
    """Write down what somebody did; inside a transaction it is stored with the work or not at all.

    ``event_type`` is a dotted name such as ``config.set``; ``category`` and ``action`` default to its two halves.
    ``by`` is the native id of who did it, None for the program itself. What ``data`` holds under names of secrets
    (password, token, api_key …), and tokens of known forms in any text, are replaced by ``[redacted]`` before anything
    is hashed or stored: the trail cannot be rewritten.

    Raises:
        InvalidInput: an empty type, an unknown status, or ``data`` that JSON cannot keep exactly.
    """
    if not event_type:
        message = "An audit event needs a type."
        raise InvalidInput(message, field="event_type")
    if status not in STATUSES:
        message = f"An audit event's status is one of {', '.join(STATUSES)}."
        raise InvalidInput(message, field="status")
    head, _, tail = event_type.partition(".")
    return NewEvent(
        id=ids.new(),
        occurred_at=utc_now(),
        event_type=event_type,
        category=category or head,
        action=action or tail or head,
        status=status,
        description=description,
        actor=by,
        resource_type=resource_type,
        resource_id=resource_id,
        ip=ip,
        user_agent=user_agent,
        data=dict(data or {}),
    )


def prepare(scope: Scope, place: Place, told: NewEvent) -> Written:
    """Take the secrets out of an event, write it down as its final bytes, and hash them."""
    if scope.tenant_id is None:
        raise TenantNotSet
    return _written(scope.tenant_id, place.sensitive, told)


def append(tx: Tx, events: Sequence[NewEvent | Written]) -> list[AuditEvent]:
    """Store events with their final bytes."""
    written = [
        event if isinstance(event, Written) else _written(tx.tenant_id, tx.dialect.sensitive, event) for event in events
    ]
    sealing.store(tx, written)
    return [one.event for one in written]


def _written(tenant: UUID, sensitive: frozenset[str], told: NewEvent) -> Written:
    event = _without_secrets(told, sensitive)
    document = event_bytes(tenant, event.id, event.occurred_at, dict(zip(_TOLD, event[2:], strict=True)))
    return Written(AuditEvent(*event, event_hash(document)), document)


def _without_secrets(event: NewEvent, names: frozenset[str]) -> NewEvent:
    data = redacted(event.data, names) if event.data else event.data
    description, user_agent = redacted_text(event.description), redacted_text(event.user_agent or "")
    if data is event.data and description is event.description and user_agent == (event.user_agent or ""):
        return event
    return event._replace(data=data, description=description, user_agent=user_agent or event.user_agent)


def log(tx: Tx, event_type: str, **fields: Unpack[EventFields]) -> AuditEvent:
    """Write down what somebody did, in the transaction of the work; see `new_event`."""
    return append(tx, [new_event(event_type, **fields)])[0]


def search(
    tx: Tx,
    *,
    by: str | None = None,
    event_type: str | None = None,
    category: str | None = None,
    status: Status | None = None,
    resource_type: str | None = None,
    resource_id: str | None = None,
    ip: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 100,
    before: UUID | None = None,
) -> list[AuditEvent]:
    """Find events, newest first; ``before`` is the id of the last one of the page before."""
    statement, used = _SEARCH.given(
        actor=by,
        event_type=event_type,
        category=category,
        status=status,
        resource_type=resource_type,
        resource_id=resource_id,
        ip=ip,
        since=None if since is None else ids.floor(require_aware(since, "since")),
        until=None if until is None else ids.floor(require_aware(until, "until")),
        before=before,
        limit=check_limit(limit),
    )
    return [AuditEvent(*row) for row in tx.rows(statement, used)]


def recent(tx: Tx, *, limit: int = 50) -> list[AuditEvent]:
    """Return the newest events."""
    return search(tx, limit=limit)


def failures(tx: Tx, *, hours: float = 24, limit: int = 100) -> list[AuditEvent]:
    """Return what failed or was denied in the last hours, newest first."""
    if hours <= 0:
        message = "The period must be positive."
        raise InvalidInput(message, field="hours")
    since = ids.floor(tx.now - timedelta(hours=hours))
    statement, used = _SEARCH.given(failed=True, since=since, limit=check_limit(limit))
    return [AuditEvent(*row) for row in tx.rows(statement, used)]
