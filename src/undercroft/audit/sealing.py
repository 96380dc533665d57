"""Storing events and giving each its place in the chain.

Where one process at a time writes, both happen in the transaction of the event. Elsewhere a statement that is its own
transaction stores events with their links, and is refused where the chain has grown meanwhile. Inside a longer
transaction that would make everybody wait for its end, so there an event is only marked as pending, and sealed in a
transaction of its own right after the commit; the next call seals what a crash left over.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, exists, func, select

from undercroft.audit.models import AuditArchive, AuditEvent as Row, AuditLink, AuditPending
from undercroft.audit.records import AuditEvent, Written
from undercroft.audit.rules import NO_HASH, Link, chained
from undercroft.core.operation import gathered
from undercroft.core.runtime.ports import Ports
from undercroft.core.tx import Params, Tx
from undercroft.errors import SerializationFailure, UniqueViolation

TRIES = 4
MOST = 500
"""Events that are sealed in one transaction."""
REMEMBERED = 10_000
"""Tenants whose chain's end a store remembers."""

Hashed = tuple[UUID, bytes]
"""The id of an event, and its hash."""

EVENTS = Row.metadata.tables["undercroft.audit_events"]
LINKS = Row.metadata.tables["undercroft.audit_links"]
PENDING = Row.metadata.tables["undercroft.audit_pending"]


def _end(model: Any, column: Any) -> Any:
    newest = select(column).where(model.tenant_id == bindparam("tenant_id")).order_by(model.sequence.desc()).limit(1)
    return newest.scalar_subquery()


_PENDING = exists().where(AuditPending.tenant_id == bindparam("tenant_id"))
_END = select(
    func.coalesce(_end(AuditLink, AuditLink.sequence), _end(AuditArchive, AuditArchive.sequence), 0),
    func.coalesce(_end(AuditLink, AuditLink.hash), _end(AuditArchive, AuditArchive.hash)),
    _PENDING,
)
_OLDEST = (
    select(AuditPending.event_id)
    .where(AuditPending.tenant_id == bindparam("tenant_id"))
    .order_by(AuditPending.event_id)
    .limit(MOST)
)
_TAKE = (
    delete(AuditPending)
    .where(AuditPending.tenant_id == bindparam("tenant_id"), AuditPending.event_id.in_(_OLDEST))
    .returning(AuditPending.event_id, AuditPending.event_hash)
)


def store(tx: Tx, events: Sequence[Written]) -> None:
    """Store events, in the order in which they are to stand in the chain."""
    hashes = [(event.id, event.event_hash) for event, _ in events]
    if tx.alone:
        _store_and_seal(tx, hashes, [document for _, document in events])
        return
    tx.insert_many(EVENTS, [_row(tx, *written) for written in events], conflict="error")
    if not tx.dialect.one_writer:
        tx.insert_many(PENDING, [_mark(tx, *pair) for pair in hashes], conflict="error")
        tx.afterwards(SEAL)
    elif _seal(tx, hashes):
        _seal_pending(tx)


def _store_and_seal(tx: Tx, hashes: Sequence[Hashed], documents: Sequence[bytes]) -> None:
    ends: dict[Any, tuple[int, bytes]] = tx.dialect.remembered.setdefault("audit ends", {})
    tenant = tx.tenant_id
    end = ends.pop(tenant, None)  # put back once it is known to be the end still
    for _ in range(TRIES):
        if end is None:
            end, pending = read_end(tx)
            if pending:
                tx.afterwards(SEAL)
        links = chained(tenant, end, hashes)
        try:
            appended = tx.append_chained(EVENTS, LINKS, documents, links, end=end)
        except UniqueViolation as error:
            if error.context.get("constraint") != LINKS.primary_key.name:
                raise
        else:
            if appended:
                if len(ends) >= REMEMBERED:
                    ends.clear()
                ends[tenant] = links[-1].sequence, links[-1].hash
                return
        end = None  # another process was faster
    raise SerializationFailure


def read_end(tx: Tx) -> tuple[tuple[int, bytes], bool]:
    """Return the sequence and hash of the last link, and whether events wait for theirs."""
    [(sequence, hash_, pending)] = tx.rows(_END)
    return (sequence, NO_HASH if hash_ is None else bytes(hash_)), bool(pending)


def seal_pending(tx: Tx, asked: Sequence[None]) -> list[int]:
    """Give places to the oldest events that have none, 500 at most; how many is everybody's answer."""
    return [_seal_pending(tx)] * len(asked)


def _seal_pending(tx: Tx) -> int:
    taken = sorted(tx.rows(_TAKE))
    if taken:
        _seal(tx, taken)
    return len(taken)


def _seal(tx: Tx, events: Sequence[Hashed]) -> bool:
    end, pending = read_end(tx)
    try:
        tx.insert_many(LINKS, _rows(tx, chained(tx.tenant_id, end, events)), conflict="error")
    except UniqueViolation as error:  # another process was faster: all of it again
        raise SerializationFailure from error
    return pending


def _row(tx: Tx, event: AuditEvent, document: bytes) -> Params:
    told = {name: getattr(event, name) for name in AuditEvent.__slots__}
    return {"tenant_id": tx.tenant_id, "canonical": document, **told}


def _mark(tx: Tx, event_id: UUID, event_hash: bytes) -> Params:
    return {"tenant_id": tx.tenant_id, "event_id": event_id, "event_hash": event_hash}


def _rows(tx: Tx, links: Sequence[Link]) -> list[Params]:
    tenant = tx.tenant_id
    return [
        {
            "tenant_id": tenant,
            "sequence": link.sequence,
            "event_id": link.event_id,
            "event_hash": link.event_hash,
            "previous": link.previous,
            "hash": link.hash,
        }
        for link in links
    ]


def _asked() -> None:
    """Ask for what is pending to be sealed."""


SEAL = gathered(_asked, seal_pending, single="write")


def seal(ports: Ports) -> int:
    """Give every event that waits for one its place in the chain, and return how many there were."""
    sealed = 0
    while True:
        count: int = ports.run(SEAL.single, [None])[0]
        sealed += count
        if count < MOST:
            return sealed
